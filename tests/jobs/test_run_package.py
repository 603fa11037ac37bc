"""``ahstore.run`` is there in every run, whichever Python runs it and whatever that has installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from ahstore import run as ah_run
from ahstore.jobs.running import run_package
from tests.jobs.conftest import House

ROOT = Path(ah_run.__file__).parents[1]
SEEN = "from ahstore import run; import ahstore, ahstore.run as again; assert again is run; "


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "python"
    run_package.write_run_package(str(folder))
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    return folder / "bin" / "python"


def site_of(python: Path) -> Path:
    return next(python.parents[1].glob("lib/python*/site-packages"))


def say(python: Path | str, packages: Path, code: str, **more: str) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), **more}
    done = subprocess.run(
        [python, "-c", SEEN + code], env=environment, capture_output=True, text=True, cwd=packages
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_python_without_ahstore_has_the_helper(bare: Path, packages: Path) -> None:
    assert say(bare, packages, "run.log(step=1, loss=0.5)") == "step=1 loss=0.5"
    said = say(bare, packages, "print(getattr(ahstore, 'open', None)); ahstore.__name__")
    assert said == "None"
    why = "\ntry: ahstore.open\nexcept AttributeError as error: print(error)"
    assert say(bare, packages, why) == (
        "module 'ahstore' has only 'run' here: ahstore itself is not installed for this Python"
    )


@pytest.mark.parametrize("how", ["folder", "finder"])
def test_an_installed_ahstore_of_another_version_is_not_hidden(
    how: str, bare: Path, packages: Path, tmp_path: Path
) -> None:
    # Code that uses both the helper and its own ahstore would find only one of them; and a helper
    # of another version than the supervisor's may speak otherwise.
    site, elsewhere = site_of(bare), tmp_path / "elsewhere" / "ahstore"
    package = site / "ahstore" if how == "folder" else elsewhere
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("version = 'old'\nfrom ahstore import part\n")
    (package / "part.py").write_text("where = __file__\n")
    (package / "__main__.py").write_text("print('the installed main')\n")
    (package / "run.py").write_text("raise SystemExit('the old helper')\n")
    if how == "finder":  # as editable installations have it
        (site / "finder.py").write_text(FINDER.format(str(package)))
        (site / "finder.pth").write_text("import finder\n")
    code = "print(ahstore.version, ahstore.part.where, run.__file__, ahstore.__file__)"
    parts = [package / "part.py", packages / "ahstore" / "run.py", package / "__init__.py"]
    assert say(bare, packages, code) == " ".join(map(str, ["old", *parts]))
    main = subprocess.run(
        [bare, "-m", "ahstore"],
        env={"PYTHONPATH": str(packages)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (main.stdout, main.stderr) == ("the installed main\n", "")
    for path in (*site.glob("finder.*"), *package.rglob("*.py")):
        path.unlink()


FINDER = """
import sys
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "ahstore":
            return spec_from_file_location(name, {0!r} + "/__init__.py")
sys.meta_path.append(Finder)
"""


def test_a_broken_ahstore_does_not_take_the_helper_away(bare: Path, packages: Path) -> None:
    package = site_of(bare) / "ahstore"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("import no_such_module\n")
    assert say(bare, packages, "run.log(loss=1)") == "loss=1"
    why = "\ntry: ahstore.open\nexcept AttributeError as error: print(error)"
    assert "can't be imported: ModuleNotFoundError" in say(bare, packages, why)
    (package / "__init__.py").unlink()


def test_the_ahstore_that_carries_the_run_out_is_whole(packages: Path) -> None:
    path = os.pathsep.join([str(packages), str(ROOT), *filter(None, sys.path)])
    code = (
        "import pickle, importlib.util as u; assert issubclass(ahstore.Store, object); "
        "print(ahstore.__file__, u.find_spec('ahstore.client').origin, run.__file__)"
    )
    assert say(sys.executable, packages, code, PYTHONPATH=path).split() == [
        str(ROOT / "ahstore" / "__init__.py"),
        str(ROOT / "ahstore" / "client" / "__init__.py"),
        str(packages / "ahstore" / "run.py"),
    ]


@pytest.mark.parametrize("module", [ah_run, run_package])
def test_old_pythons_can_read_it(module: object) -> None:
    # The Python of a run is the user's choice: one that can't even parse this ends his training.
    source = Path(module.__file__ or "").read_text()  # type: ignore[attr-defined]
    ast.parse(source, feature_version=(3, 7))
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }  # fmt: skip
    assert names <= set(sys.stdlib_module_names)


def test_a_run_in_a_bare_virtual_environment_logs_metrics(house: House, bare: Path) -> None:
    train = "from ahstore import run\nimport os, sys\nrun.log(step=1, loss=run.params()['x'])\n"
    train += "open(os.environ['AH_OUTPUT_DIR'] + '/python', 'w').write(sys.prefix)\n"
    toml = f"[train]\ncommand = ['{bare}', 'train.py']\n"
    house.make_code({"train.py": train, "asset-hub.toml": toml})
    done = house.wait(house.train(params={"x": 2.5}))
    assert done.status == "Succeeded", house.log(done)
    assert [(p["step"], p["loss"]) for p in house.jobs.metrics(done)] == [(1, 2.5)]
    assert done.commit is not None
    assert house.files(done.commit)["python"].decode() == str(bare.parents[1])


def test_runs_use_the_helper_of_their_supervisor(house: House) -> None:
    # Else a supervisor of a working copy is talked to by whatever happens to be installed.
    train = "from ahstore import run\nimport os\n"
    train += "open(os.environ['AH_OUTPUT_DIR'] + '/text', 'w').write(open(run.__file__).read())\n"
    done = house.wait(house.train(train))
    assert done.commit is not None, house.log(done)
    assert house.files(done.commit)["text"].decode() == Path(ah_run.__file__).read_text()
