"""Code that fails, writes nothing, writes what can't be kept, or outgrows its limits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ahstore.errors import (
    AhError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
)
from ahstore.hub.hub import Hub
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.records import RunRecord
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.jobs.conftest import House
from tests.jobs.repositories import git, make_repository

OUT = "import os, sys, time; from pathlib import Path; out = Path(os.environ['AH_OUTPUT_DIR'])\n"


def fail(house: House, code: str, **options: object) -> RunRecord:
    record = house.wait(house.train(OUT + code, **options))
    assert record.status == "Failed", house.log(record)
    assert house.head("b") is None
    assert record.commit is None
    return record


def test_a_failing_exit_names_the_status_and_the_last_lines(house: House) -> None:
    record = fail(house, "(out / 'x').touch(); print('almost there'); sys.exit(3)")
    assert record.reason == "train.py exited with status 3\nalmost there"
    record = fail(house, "raise ValueError('no such layer')")
    assert record.reason is not None
    assert record.reason.startswith("train.py exited with status 1\n")
    assert record.reason.endswith("ValueError: no such layer")
    # The workspace stays to be looked at; what can be had again is gone.
    assert Path(record.workspace, "code", "train.py").exists()
    assert "no such layer" in house.log(record)
    for _ in range(100):
        if not Path(record.workspace, "dataset").exists():
            break
        time.sleep(0.05)
    assert not Path(record.workspace, "dataset").exists()


@pytest.mark.parametrize("code", ["", "(out / 'folder' / 'empty').mkdir(parents=True)"])
def test_code_that_writes_nothing(code: str, house: House) -> None:
    assert fail(house, code).reason == "train.py wrote nothing to AH_OUTPUT_DIR"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.symlink('/etc/passwd', out / 'link')", "AH_OUTPUT_DIR/link is a symbolic link out of"),
        ("os.symlink('gone', out / 'link')", "AH_OUTPUT_DIR/link is a symbolic link to something"),
        (
            "(out / 'd').mkdir(); (out / 'd/f').touch(); os.symlink('d', out / 'link')",
            "AH_OUTPUT_DIR/link is a symbolic link to something that is not a file",
        ),
        ("os.mkfifo(out / 'pipe')", "AH_OUTPUT_DIR/pipe is not a regular file"),
        ("open(os.fsencode(out) + b'/bad\\xff', 'w')", "not valid UTF-8"),
        ("open(out / 'a\\nb', 'w')", "is not allowed"),
        ("open(out / 'a\\\\b', 'w')", "is not allowed"),
    ],
)
def test_outputs_that_can_not_be_kept(code: str, reason: str, house: House) -> None:
    record = fail(house, "(out / 'good').touch()\n" + code)
    assert record.reason is not None
    assert reason in record.reason
    assert str(house.root) not in record.reason


def test_links_inside_the_outputs_are_followed(house: House) -> None:
    code = OUT + "(out / 'best').write_text('x'); os.symlink('best', out / 'last')"
    done = house.wait(house.train(code))
    assert done.commit is not None
    files = house.files(done.commit)
    assert (files["best"], files["last"]) == (b"x", b"x")


def test_metadata_of_an_earlier_run_is_replaced(house: House) -> None:
    # Code that copies its checkpoint into its outputs copies the old metadata too.
    done = house.wait(house.train(OUT + "(out / 'asset-hub.metadata').write_text('old')"))
    assert done.commit is not None
    assert b"schema_version" in house.files(done.commit)["asset-hub.metadata"]


@pytest.mark.parametrize(
    "code",
    [
        "(out / 'big').write_bytes(b'x' * (20 << 20))",
        "[(out / f'f{i}').write_bytes(b'x' * (1 << 20)) for i in range(20)]; time.sleep(30)",
        "[(out / f'f{i}').write_bytes(b'x') for i in range(5000)]; time.sleep(30)",
        "os.mkdir('here'); [Path('here', str(i)).write_bytes(b'x' * (1 << 20)) for i in range(20)]",
        "import tempfile; [tempfile.NamedTemporaryFile(delete=False).write(b'x' * (1 << 20)) for i in range(20)]",
    ],
    ids=["one-file", "several", "many-small", "working-directory", "temporary"],
)
def test_a_run_that_outgrows_its_volume(code: str, house: House) -> None:
    record = fail(house, code)
    assert record.reason == "train.py outgrew its volume of 16Mi: give the run a larger one"


def test_code_larger_than_the_volume(house: House) -> None:
    house.make_code({"train.py": "", "data": "x" * (1 << 20)})
    record = house.wait(house.train(volume="500K"))
    assert record.status == "Failed"
    assert record.reason is not None
    assert "outgrew the run's volume of 500000" in record.reason


def test_a_run_that_takes_too_long(house: House) -> None:
    assert fail(house, "time.sleep(30)", timeout=0.5).reason == "train.py did not end within 0.5 s"


STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    (out / 'pid').write_text(str(os.getpid()))
    while True: time.sleep(1)
while True: time.sleep(1)
"""


def test_a_stop_ends_everything_and_commits_nothing(house: House) -> None:
    run = house.train(OUT + STUBBORN)
    pid = Path(run.workspace, "output", "pid")
    house.wait_for(run, pid)
    daemon = int(pid.read_text() or "0")
    started = time.monotonic()
    record = house.jobs.stop(run)
    assert time.monotonic() - started < 5
    assert (record.status, record.stop_by) == ("Stopped", "user")
    assert ProcessIdentity.find(daemon) is None
    assert house.head("b") is None
    assert house.jobs.stop(run) == record
    assert "[ahstore] stopped: asked for by user" in house.log(run)


def test_a_stop_right_after_the_start(house: House) -> None:
    record = house.jobs.stop(house.train(OUT + "(out / 'x').touch(); time.sleep(30)"))
    assert record.status == "Stopped"
    assert house.head("b") is None


def test_a_run_is_deleted_when_it_is_over(house: House) -> None:
    run = house.train(OUT + "print('hello'); time.sleep(30)")
    with pytest.raises(ConflictError, match="stop it first"):
        house.jobs.delete(run)
    stopped = house.jobs.stop(run)
    house.jobs.delete(stopped)
    assert house.jobs.list(house.model) == []
    for name in (run.name, run.id):
        with pytest.raises(NotFoundError, match="there is no run"):
            house.jobs.get(name)
    assert list(house.repo.storage.list(f"logs/{run.id}/")) == []
    with pytest.raises(NotFoundError):
        house.jobs.delete(stopped)


def test_what_a_deleted_run_committed_stays(house: House) -> None:
    done = house.wait(house.train(OUT + "(out / 'x').touch()"))
    house.jobs.delete(done)
    assert house.head("b") == done.commit
    assert not Path(done.workspace).exists()


def test_logs_are_read_while_they_grow(house: House) -> None:
    run = house.train(OUT + "(out / 'x').touch(); print('first'); time.sleep(1.5); print('last')")
    seen = [(line, house.jobs.get(run.name).status) for line in house.jobs.logs(run, follow=True)]
    assert ("first", "Running") in seen
    lines = [line for line, _ in seen]
    assert lines.index("first") < lines.index("last")
    assert lines == list(house.jobs.logs(run))


BAD: list[tuple[dict[str, object], type[AhError], str]] = [
    ({"branch": "-x"}, InvalidInputError, "branch name"),
    ({"branch": "a/b"}, InvalidInputError, "branch name"),
    ({"branch": "tagged"}, InvalidInputError, "is a tag"),
    ({"volume": "100Mib"}, InvalidInputError, "did you mean 100Mi"),
    ({"volume": "1"}, InvalidInputError, "volume"),
    ({"volume": -1}, InvalidInputError, "volume"),
    ({"timeout": -1.0}, InvalidInputError, "timeout"),
    ({"timeout": float("nan")}, InvalidInputError, "timeout"),
    ({"params": {"a": {1, 2}}}, InvalidInputError, "JSON"),
    ({"params": {"a": float("nan")}}, InvalidInputError, "JSON"),
    ({"params": {"a": "\ud800"}}, InvalidInputError, "JSON"),
    ({"params": {"a": "x" * 70000}}, InvalidInputError, "bytes"),
    ({"params": {"": 1}}, InvalidInputError, "parameter"),
    ({"dataset_ref": "nope"}, NotFoundError, "nope"),
    ({"git_repo": "/no/such/repository"}, NotFoundError, "no git repository"),
    ({"git_repo": "ext::sh -c x"}, InvalidInputError, "remote helpers"),
    ({"git_revision": "nope"}, NotFoundError, "no revision 'nope'"),
    ({"git_revision": "--help"}, InvalidInputError, "option"),
    ({"git_subpath": "nope"}, NotFoundError, "no folder 'nope'"),
    ({"git_subpath": "../x"}, InvalidInputError, "not allowed"),
    ({"git_subpath": "/etc"}, InvalidInputError, "absolute"),
    ({"git_subpath": "sub"}, NotFoundError, "nothing says what to run"),
    ({"git_subpath": "bad-toml"}, InvalidInputError, "not valid TOML"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_input_is_told_at_once(
    options: dict[str, object], error: type[AhError], message: str, house: House
) -> None:
    house.make_code({"train.py": "", "sub/readme": "", "bad-toml/asset-hub.toml": "["})
    main = house.head("main")
    assert main is not None
    Refs(house.repo).create(house.model.id, "tagged", "tag", main, by="user", via="main")
    before = sorted(house.repo.storage.list("cells/"))
    with pytest.raises(error, match=message):
        house.train(**options)
    # Nothing is left behind: no record, no name, no workspace, no process.
    assert sorted(house.repo.storage.list("cells/")) == before
    assert not (house.root / "runs").exists()


def test_an_empty_repository_is_told_at_once(house: House) -> None:
    empty = house.root / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    house.make_code({"train.py": ""})
    with pytest.raises(NotFoundError, match="is empty: commit to it first"):
        house.train(git_repo=str(empty))


def test_assets_of_the_wrong_kind(house: House) -> None:
    house.make_code({"train.py": ""})
    with pytest.raises(InvalidInputError, match="a dataset is needed"):
        house.train(dataset=house.model)
    with pytest.raises(InvalidInputError, match="a model is needed"):
        house.train(checkpoint=(house.dataset, "main"))
    with pytest.raises(InvalidInputError, match="a model is needed"):
        house.jobs.evaluate(
            house.dataset,
            "main",
            dataset=house.dataset,
            volume="1Mi",
            git_repo=str(house.code),
            git_revision="master",
        )


def test_a_store_in_memory_has_no_runs(house: House) -> None:
    repo = Repository.open("memory://runs", create=True)
    hub = Hub(repo, "user")
    model = hub.create_asset(hub.create_folder("model", "f").id, "m")
    dataset = hub.create_asset(hub.create_folder("dataset", "f").id, "d")
    make_repository(house.root / "code", {"train.py": ""})
    with pytest.raises(UnsupportedError, match="other processes"):
        Jobs(hub, runs_root=str(house.root), store_url=repo.url).train(
            model,
            branch="b",
            dataset=dataset,
            volume="1Mi",
            git_repo=str(house.root / "code"),
            git_revision="master",
        )


def test_a_repository_that_vanishes_fails_the_run(house: House) -> None:
    code = house.make_code({"train.py": ""})
    stored = house.jobs._records.create  # type: ignore[attr-defined]

    def vanish(record: RunRecord, *more: Any) -> RunRecord:
        code.rename(house.root / "gone")
        return stored(record, *more)

    house.jobs._records.create = vanish  # type: ignore[attr-defined,method-assign]
    record = house.wait(house.train())
    assert record.status == "Failed"
    assert record.reason is not None
    assert "fetching from git repository" in record.reason
