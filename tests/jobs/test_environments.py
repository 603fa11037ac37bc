"""Interpreters, variables and virtual environments of runs, with real ones and no network."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.ids import RunId
from ahstore.jobs.code.requirements import read_declaration
from ahstore.jobs.records import RunRecord
from ahstore.jobs.running.installer import installer_environment
from ahstore.jobs.running.interpreter import ask_interpreter, find_interpreter, find_uv
from ahstore.jobs.running.venv import Environments
from ahstore.jobs.runtime import Runtime
from ahstore.jobs.spec import RunSpec
from tests.jobs.conftest import House, supervisor_log
from tests.jobs.repositories import commit, make_repository
from tests.jobs.wheels import make_wheel

CANARY = "c4n4ry-s3cret"
TELL = """
import json, os, sys
from pathlib import Path
try:
    import ahpkg
    version = ahpkg.VERSION
except ImportError:
    version = None
from ahstore import run
run.log(step=1, loss=0.5)
Path(os.environ["AH_OUTPUT_DIR"], "told").write_text(json.dumps({
    "version": version, "executable": sys.executable, "prefix": sys.prefix,
    "python": list(sys.version_info[:2]), "venv": os.environ.get("VIRTUAL_ENV"),
    "env": {name: os.environ[name] for name in os.environ if name.startswith("MY_")},
    "which": os.popen("python -c 'import sys; print(sys.prefix)'").read().strip(),
}))
"""


def told(house: House, run: RunRecord) -> tuple[RunRecord, dict]:
    record = house.wait(run)
    assert record.status == "Succeeded", (record.reason, house.log(run), supervisor_log(record))
    assert record.commit is not None
    return record, json.loads(house.files(record.commit)["told"])


def canaries(house: House) -> list[Path]:
    """Return the files that hold the canary; a workspace may be on its way out meanwhile."""
    found = []
    for top in ("store", "runs", "cache"):
        for folder, _, names in os.walk(house.root / top):
            for name in names:
                with contextlib.suppress(OSError):
                    if CANARY.encode() in Path(folder, name).read_bytes():
                        found.append(Path(folder, name))
    return found


# Variables.


def test_variables_are_given_and_recorded_but_for_secrets(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A record is read by everyone who can read the store.
    monkeypatch.setenv("MY_OWN", CANARY)
    monkeypatch.setenv("MY_OTHER", "not named")
    code = (
        TELL.replace('for name in os.environ if name.startswith("MY_")', 'for name in ("MY_MODE",)')
        + 'print({name: value for name, value in os.environ.items() if name.startswith("MY_")})\n'
        + f'assert os.environ["MY_OWN"] == os.environ["MY_TOKEN"] == "{CANARY[:4]}" + "{CANARY[4:]}"\n'
        + 'assert "MY_OTHER" not in os.environ\n'
    )
    run = house.train(code, env={"MY_MODE": "fast", "MY_TOKEN": CANARY, "MY_OWN": None})
    record, said = told(house, run)
    assert said["env"] == {"MY_MODE": "fast"}
    assert record.spec.runtime.env == {"MY_MODE": "fast", "MY_TOKEN": None, "MY_OWN": None}
    assert RunSpec.from_value(record.spec.to_value()) == record.spec
    assert "***" in house.log(run)
    assert CANARY not in house.log(run) + repr(record)
    assert canaries(house) == []
    metadata = json.loads(house.files(record.commit)["asset-hub.metadata"])  # type: ignore[index]
    assert Runtime.from_value(metadata["runtime"]) == record.spec.runtime
    # Done again it needs what was not recorded, and takes it from nobody unasked.
    with pytest.raises(InvalidInputError, match="whose value is not recorded"):
        house.jobs.rerun(house.model, "b")
    again = house.jobs.rerun(house.model, "b", env={"MY_TOKEN": CANARY, "MY_OWN": None})
    assert house.wait(again).status == "Succeeded"
    assert canaries(house) == []


def test_a_result_is_taken_again_only_if_the_variables_are_known(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_OWN", "value of then")
    found = []
    for number, env in enumerate(
        [{"MY_A": "1"}, {"MY_A": "1"}, {"MY_A": "2"}, {"MY_OWN": None}, {"MY_OWN": None}]
    ):
        if not number:
            house.make_code({"train.py": TELL})
        record, _ = told(house, house.train(branch=f"b{number}", env=env, reuse=True))
        found.append(record.reused_from is not None)
    assert found == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"AH_RUN_ID": "x"}, "set by ahstore"),
        ({"HOME": "/x"}, "set by ahstore"),
        ({"A B": "x"}, "no name"),
        ({"": "x"}, "no name"),
        ({"A=B": "x"}, "no name"),
        ({"A": "x\0"}, "NUL"),
        ({"A": "x" * 70_000}, "bytes"),
        ({"MY_NOT_SET_ANYWHERE": None}, "not set"),
        ({"A": 1}, "text"),
    ],
)
def test_variables_that_can_not_be(env: dict, said: str, house: House) -> None:
    with pytest.raises(InvalidInputError, match=said):
        house.train(TELL, env=env)
    assert house.jobs.list(house.model) == []


# Interpreters.


def test_another_interpreter(house: House, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "py"], check=True)
    python = str(tmp_path / "py" / "bin" / "python")
    record, said = told(house, house.train(TELL, python=python))
    assert said["executable"] == python
    assert said["prefix"] == said["which"] == str(tmp_path / "py")
    assert record.spec.runtime.python == python
    assert record.environment["packages"] == {}
    again = house.wait(house.jobs.rerun(house.model, "b"))
    assert again.outcome["verdict"] == "same bytes"
    shutil.rmtree(tmp_path / "py")
    with pytest.raises(NotFoundError, match="no Python at"):
        house.jobs.rerun(house.model, "b")
    other = house.wait(house.jobs.rerun(house.model, "b", python=sys.executable))
    assert other.outcome["verdict"] == "differs"


def test_finding_interpreters(tmp_path: Path) -> None:
    caller = {"PATH": os.environ["PATH"]}
    short = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert find_interpreter(None, caller) == sys.executable
    assert ask_interpreter(find_interpreter(short, caller)).version.startswith(f"{short}.")
    assert ask_interpreter(find_interpreter("python3", caller)).version.startswith("3.")
    for missing in ("9.99", "no-such-python", str(tmp_path / "none")):
        with pytest.raises(NotFoundError):
            find_interpreter(missing, caller)
    liar = tmp_path / "python"
    liar.write_text("#!/bin/sh\necho no\n")
    liar.chmod(0o755)
    with pytest.raises(NotFoundError, match="no working Python"):
        ask_interpreter(str(liar))


@pytest.mark.parametrize("python", ["9.99", "/nowhere/python", "-c", ""])
def test_interpreters_that_are_not_there(python: str, house: House) -> None:
    with pytest.raises((NotFoundError, InvalidInputError)):
        house.train(TELL, python=python)
    assert house.jobs.list(house.model) == []


# Virtual environments.


@pytest.fixture
def wheels(house: House, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, which is all that installers know of."""
    folder = house.root / "wheels"
    make_wheel(folder, "ahpkg", "1.0", needs="ahdep>=1")
    make_wheel(folder, "ahpkg", "2.0", needs="ahdep>=1")
    make_wheel(folder, "ahdep", "1.5")
    for name, value in (
        ("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder)), ("UV_NO_INDEX", "1"),
        ("UV_FIND_LINKS", str(folder)), ("UV_CACHE_DIR", str(house.root / "uv")),
        ("PIP_EXTRA_INDEX_URL", f"https://u:{CANARY}@packages.invalid/simple"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return folder


def without_uv(monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    """Have no uv on the PATH, nor beside the Python that runs ahstore."""
    site = house.root / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import shutil\nwhich = shutil.which\n"
        "shutil.which = lambda name, *a, **k: None if name == 'uv' else which(name, *a, **k)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{site}:{os.environ.get('PYTHONPATH', '')}")


def envs(house: House) -> list[str]:
    return [each.key for each in Environments(str(house.root / "runs")).list()]


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_an_environment_of_requirements(
    installer: str, house: House, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installer == "pip":
        without_uv(monkeypatch, house)
    elif find_uv(dict(os.environ)) is None:
        pytest.skip("uv is not installed")
    house.make_code(
        {"sub/train.py": TELL, "requirements.txt": "-r more.txt\n", "more.txt": "ahpkg==1.0"}
    )
    record, said = told(house, house.train(venv=True, git_subpath="sub", env={"MY_X": "1"}))
    assert said["version"] == "1.0"
    assert said["venv"] == said["prefix"] == said["which"]
    assert said["venv"].startswith(str(house.root / "runs" / ".environments"))
    venv = record.environment["venv"]
    assert venv["installer"] == installer
    assert venv["from"] == "requirements.txt"
    assert set(venv["files"]) == {"requirements.txt", "more.txt"}
    packages = record.environment["packages"]
    assert (packages["ahpkg"], packages["ahdep"]) == ("1.0", "1.5")
    assert "numpy" not in packages
    assert canaries(house) == []
    if installer == "pip":
        return
    # Another commit, the same files: nothing is installed again, even with nothing to install from.
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    monkeypatch.setenv("UV_FIND_LINKS", "/nowhere")
    house.make_code(
        {"train.py": TELL + "#", "requirements.txt": "-r more.txt\n", "more.txt": "ahpkg==1.0"}
    )
    second, again = told(house, house.train(venv=True, branch="c"))
    assert again["venv"] == said["venv"]
    assert second.environment["venv"]["key"] == venv["key"] == envs(house)[0]
    done = house.wait(house.jobs.rerun(house.model, "c"))
    assert done.spec.runtime.venv
    assert done.outcome["verdict"] == "same bytes"


@pytest.mark.long
def test_other_requirements_are_another_environment(house: House, wheels: Path) -> None:
    found = []
    for version in ("1.0", "2.0"):
        house.make_code({"train.py": TELL, "requirements.txt": f"ahpkg=={version}"})
        found.append(told(house, house.train(venv=True, branch=f"b{version}")))
    assert [said["version"] for _, said in found] == ["1.0", "2.0"]
    assert found[0][1]["venv"] != found[1][1]["venv"]
    assert len(envs(house)) == 2


@pytest.mark.parametrize("right", [True, False])
def test_digests_of_packages_are_checked(right: bool, house: House, wheels: Path) -> None:
    lines = []
    for name in ("ahpkg-1.0", "ahdep-1.5"):
        data = (wheels / f"{name}-py3-none-any.whl").read_bytes()
        digest = hashlib.sha256(data if right else b"other").hexdigest()
        lines.append(f"{name.replace('-', '==')} \\\n    --hash=sha256:{digest}\n")
    house.make_code({"train.py": TELL, "requirements.txt": "".join(lines)})
    run = house.train(venv=True)
    if right:
        assert told(house, run)[1]["version"] == "1.0"
        return
    record = house.wait(run)
    assert record.status == "Failed"
    assert "hash" in (record.reason or "").lower()
    assert envs(house) == []


def test_a_pyproject_with_its_source(house: House, wheels: Path) -> None:
    house.make_code(
        {
            "train.py": "import mine\n" + TELL,
            "src/mine.py": "",
            "pyproject.toml": '[project]\nname = "mine"\nversion = "1"\ndependencies = ["ahpkg<2"]\n',
        }
    )
    record, said = told(house, house.train(venv=True))
    assert said["version"] == "1.0"
    assert record.environment["venv"]["from"] == "pyproject.toml"


@pytest.mark.skipif(find_uv(dict(os.environ)) is None, reason="uv is not installed")
def test_a_lock_of_uv(house: House, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["ahpkg"]\n'
    code = house.make_code({"train.py": TELL, "pyproject.toml": project})
    uv = find_uv(dict(os.environ))
    subprocess.run([uv, "lock", "-q"], cwd=code, check=True)
    lock = (code / "uv.lock").read_text()
    make_wheel(wheels, "ahpkg", "3.0")  # newer than what was locked
    house.make_code({"train.py": TELL, "pyproject.toml": project, "uv.lock": lock})
    record, said = told(house, house.train(venv=True))
    assert said["version"] == "2.0"
    assert set(record.environment["venv"]["files"]) == {"uv.lock", "pyproject.toml"}
    without_uv(monkeypatch, house)
    failed = house.wait(house.train(venv=True, branch="c"))
    assert "uv.lock needs uv" in (failed.reason or "")


@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.long)])
def test_what_can_not_be_installed(
    installer: str, house: House, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installer == "pip":
        without_uv(monkeypatch, house)
    house.make_code({"train.py": TELL, "requirements.txt": "no-such-package==9"})
    record = house.wait(house.train(venv=True))
    assert record.status == "Failed"
    assert record.reason is not None
    assert record.reason.startswith("the environment of requirements.txt can't be made")
    assert "no-such-package" in record.reason
    assert "no-such-package" in house.log(record)
    assert envs(house) == []
    assert not list((house.root / "runs" / ".environments").glob("*/venv"))
    assert house.head("b") is None
    assert canaries(house) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "nothing says which packages"),
        ({"requirements.txt": "-e .\n"}, "folder of the code"),
        ({"requirements.txt": "./lib\n"}, "folder of the code"),
        ({"requirements.txt": "mine @ file:///x/y\n"}, "folder of the code"),
        ({"requirements.txt": "-r ../../outside.txt\n"}, "outside of the code"),
        ({"requirements.txt": "-r /etc/passwd\n"}, "outside of the code"),
        ({"requirements.txt": "-r https://h/r.txt\n"}, "includes https"),
        ({"requirements.txt": "--find-links ../../..\n"}, "outside of the code"),
        ({"requirements.txt": "-r none.txt\n"}, "can't be read"),
        ({"requirements.txt": "-r sub\n", "sub/x": ""}, "not a regular file"),
        ({"pyproject.toml": "[tool.x]\n"}, "no .project."),
        ({"pyproject.toml": '[project]\ndynamic = ["dependencies"]\n'}, "dynamic"),
        ({"pyproject.toml": '[project]\ndependencies = ["-r x"]\n'}, "is no package"),
        ({"pyproject.toml": '[project]\ndependencies = ["a @ ./a"]\n'}, "folder of the code"),
        ({"pyproject.toml": "["}, "not valid TOML"),
        ({"uv.lock": '[[package]]\nname = "a"\nsource = { editable = "lib" }\n', "pyproject.toml": ""}, "folder of the code"),
        ({"uv.lock": ""}, "can't be read"),
    ],
)  # fmt: skip
def test_requirements_that_can_not_be_shared(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    code = tmp_path / "a" / "code"
    for name, text in files.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(text)
    code.mkdir(parents=True, exist_ok=True)
    with pytest.raises((InvalidInputError, NotFoundError), match=said):
        read_declaration(str(code), ".")


def test_a_run_whose_packages_are_not_said(house: House) -> None:
    with pytest.raises(NotFoundError, match="nothing says which packages"):
        house.train(TELL, venv=True)
    assert house.jobs.list(house.model) == []
    house.make_code({"train.py": TELL, "requirements.txt": "-e .\n"})
    record = house.wait(house.train(venv=True))
    assert record.status == "Failed"
    assert "folder of the code" in (record.reason or "")
    assert envs(house) == []


@pytest.mark.long
def test_packages_in_the_code(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # The files count, not only their names: another package of the same name is another environment.
    found = []
    for text in ("A = 1", "A = 2"):
        code = house.root / f"packed{text[-1]}"
        make_repository(
            code, {"train.py": TELL, "requirements.txt": "--no-index\n-f wheels\nahpkg\n"}
        )
        make_wheel(code / "wheels", "ahpkg", "1.0", text)
        commit(code, {})
        house.code = code
        monkeypatch.setenv("UV_CACHE_DIR", str(house.root / f"uv{text[-1]}"))
        found.append(told(house, house.train(venv=True, branch=f"b{text[-1]}")))
    assert [said["version"] for _, said in found] == ["1.0", "1.0"]
    assert found[0][1]["venv"] != found[1][1]["venv"]


def test_what_a_run_adds_is_not_there_for_the_next(house: House, wheels: Path) -> None:
    # Else what ran before decides what a run computes with, and nobody sees it.
    add = """
import sysconfig
os.chmod(sysconfig.get_path("purelib"), 0o700)
Path(sysconfig.get_path("purelib"), "extra.py").write_text("")
"""
    look = "import importlib.util\nassert importlib.util.find_spec('extra') is None\n"
    requirements = {"requirements.txt": "ahpkg"}
    for code, branch in ((add, "a"), (look, "b")):
        house.make_code({"train.py": look + TELL + code, **requirements})
        told(house, house.train(venv=True, branch=branch))


SLOW = """
import pathlib, time
pathlib.Path({started!r}).touch()
time.sleep(600)
"""


def slow_package(house: House, started: Path) -> None:
    """Code whose package takes for ever to be built."""
    house.make_code(
        {
            "train.py": TELL,
            "requirements.txt": "./slow-1.0.tar.gz\n",
        }
    )
    with tarfile.open(house.code / "slow-1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "slow-1.0/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n',
            "slow-1.0/slow.py": SLOW.format(started=str(started)),
            "slow-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    commit(house.code, {})


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_end_amid_the_installation(
    end: str, house: House, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half an environment that the next run takes for a whole one is a wrong result without a word.
    started = house.root / "started"
    slow_package(house, started)
    run = house.train(venv=True)
    house.wait_for(run, started)
    assert any(_is_of(pid, run) for pid in os.listdir("/proc") if pid.isdigit())
    if end == "stop":
        record = house.jobs.stop(run)
        assert record.status == "Stopped"
    else:
        os.kill(run.supervisor.pid, signal.SIGKILL)
        record = house.wait(run)
        assert record.status == "Failed"
    _until_gone(run)
    assert envs(house) == []
    assert house.head("b") is None
    # The same again, and now it can be built: nothing of the first is in the way.
    (key,) = {path.name[:32] for path in (house.root / "runs" / ".environments").iterdir()}
    with open(house.root / "runs" / ".environments" / f"{key}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (house.root / "runs" / ".environments" / key).mkdir(exist_ok=True)
    (house.root / "runs" / ".environments" / key / "venv").mkdir(exist_ok=True)
    (house.root / "runs" / ".environments" / key / "rest").write_text("of the first")
    started.unlink()
    second = house.train(venv=True, branch="c")
    house.wait_for(second, started)
    assert not (house.root / "runs" / ".environments" / key / "rest").exists()
    house.jobs.stop(second)


def _until_gone(run: RunRecord) -> None:
    """Wait until no process of the run is left: what it installs with, too."""
    deadline = time.monotonic() + 60
    while any(_is_of(pid, run) for pid in os.listdir("/proc") if pid.isdigit()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_of(pid: str, run: RunRecord) -> bool:
    try:
        return f"AH_RUN_ID={run.id}\0".encode() in Path("/proc", pid, "environ").read_bytes()
    except OSError:
        return False


def test_two_runs_that_need_the_same_make_it_once(house: House, wheels: Path) -> None:
    # Two installers in one folder at once would leave a mixture that both take for whole.
    house.make_code({"train.py": TELL, "requirements.txt": "ahpkg==1.0"})
    runs = [house.train(venv=True, branch=f"b{number}") for number in range(2)]
    said = [told(house, run)[1] for run in runs]
    assert said[0]["venv"] == said[1]["venv"]
    assert said[0]["version"] == said[1]["version"] == "1.0"
    logs = [house.log(run) for run in runs]
    assert sum("making an environment" in log for log in logs) == 1
    assert len(envs(house)) == 1


def test_a_run_that_is_tried_again_has_the_same(house: House, wheels: Path) -> None:
    code = house.make_code({"train.py": "", "requirements.txt": "ahpkg==1.0"})
    (code / "train.py").write_text("import os\nassert os.environ['AH_ATTEMPT'] == '2'\n" + TELL)
    run = house.train(venv=True, with_changes=True, retries=1, retry_wait=0, env={"MY_A": "1"})
    record, said = told(house, run)
    assert record.attempt == 2
    assert (said["version"], said["env"]) == ("1.0", {"MY_A": "1"})


# The environments themselves.


def test_environments_are_listed_and_removed(house: House, wheels: Path) -> None:
    house.make_code({"train.py": TELL, "requirements.txt": "ahpkg"})
    record, _ = told(house, house.train(venv=True))
    environments = Environments(str(house.root / "runs"))
    (found,) = environments.list()
    assert found.key == record.environment["venv"]["key"]
    assert not found.in_use
    with open(f"{found.folder}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert environments.list()[0].in_use
        # A run that is using it must not lose its packages.
        assert not environments.remove(found.key)
        assert environments.list()
    assert environments.remove(found.key)
    assert environments.list() == []
    assert not os.path.exists(found.folder)


@pytest.mark.long
def test_only_so_many_are_kept(
    house: House, wheels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house.make_code({"train.py": TELL, "requirements.txt": "ahpkg"})
    told(house, house.train(venv=True))
    environments = Environments(str(house.root / "runs"))
    (first,) = environments.list()
    folder = Path(first.folder).parent
    for number in range(12):
        other = folder / f"{number:032}"
        (other / "venv" / "lib").mkdir(parents=True)
        shutil.copy(Path(first.folder, "ready.json"), other)
        os.utime(other / "ready.json", (time.time() - 1000 - number,) * 2)
    house.make_code({"train.py": TELL + "#", "requirements.txt": "ahpkg"})
    told(house, house.train(venv=True, branch="c"))
    kept = envs(house)
    assert len(kept) == 10
    assert kept[0] == first.key
    assert f"{0:032}" in kept
    assert f"{11:032}" not in kept


def test_what_an_installer_sees_of_its_caller() -> None:
    caller = {
        "PATH": "/bin", "HOME": "/home/u", "PIP_INDEX_URL": "https://u:p@h/", "PIP_TARGET": "/x",
        "PIP_USER": "1", "UV_INDEX_MINE_PASSWORD": "x", "UV_SYSTEM_PYTHON": "1", "UV_PYTHON": "2",
        "AWS_SECRET_ACCESS_KEY": CANARY, "PYTHONPATH": "/x", "UV_PUBLISH_TOKEN": CANARY,
    }  # fmt: skip
    seen = installer_environment(caller, run=RunId("r"))  # type: ignore[arg-type]
    assert {"PATH", "HOME", "PIP_INDEX_URL", "UV_INDEX_MINE_PASSWORD"} <= set(seen)
    assert not {"PIP_TARGET", "PIP_USER", "UV_SYSTEM_PYTHON", "UV_PYTHON", "PYTHONPATH"} & set(seen)
    assert CANARY not in repr(seen)
