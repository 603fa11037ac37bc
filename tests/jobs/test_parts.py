"""The small parts: commands, specs, logs, usage, workspaces, results."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ahstore.codec.canonical import decode, encode
from ahstore.errors import AhError, CorruptError, InvalidInputError, NotFoundError, StorageFullError
from ahstore.ids import AssetId, CommitId, EntityId, RunId, new_entity_id
from ahstore.jobs.code.command import choose_command, executable_argv, program_name
from ahstore.jobs.logs import LogReader, LogWriter
from ahstore.jobs.running.usage import folder_usage
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.spec import CodeVersion, PinnedVersion, RunSpec, check_subpath
from ahstore.storage.contract import Storage
from ahstore.storage.memory import MemoryStorage


def choose(kind: Any, files: dict[str, bytes]) -> tuple[str, ...]:
    return choose_command(kind, files, lambda name: files[name])


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"train.py": b""}, ("python", "train.py")),
        ({"train.sh": b"", "train.py": b""}, ("sh", "train.sh")),
        ({"asset-hub.toml": b"[train]\ncommand = \"a 'b c' d\""}, ("a", "b c", "d")),
        ({"asset-hub.toml": b'[train]\ncommand = ["a", "b c"]'}, ("a", "b c")),
        ({"asset-hub.toml": b"[evaluate]\ncommand = 'x'", "train.py": b""}, ("python", "train.py")),
        ({"asset-hub.toml": b"", "train.py": b""}, ("python", "train.py")),
    ],
)
def test_the_command_of_a_folder(files: dict[str, bytes], command: tuple[str, ...]) -> None:
    assert choose("train", files) == command


@pytest.mark.parametrize(
    "text",
    [
        b"[", b"\xff", b"train = 1", b"[train]\ncommand = 1", b"[train]\ncommand = ''",
        b"[train]\ncommand = []", b"[train]\ncommand = [1]", b"[train]\ncommand = \"'\"",
        b'[train]\ncommand = ["a\\u0000b"]', b"[train]\ncommand = ['']", b"a = " + b"[" * 50000,
    ],
)  # fmt: skip
def test_a_bad_config_is_told(text: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"asset-hub\.toml"):
        choose("train", {"asset-hub.toml": text, "train.py": b""})


def test_nothing_to_run_is_told() -> None:
    with pytest.raises(NotFoundError, match=r"no evaluate\.py, no evaluate\.sh"):
        choose("evaluate", {"train.py": b""})


def test_python_is_the_one_that_runs_ahstore() -> None:
    assert executable_argv(("python", "x.py")) == [sys.executable, "x.py"]
    assert executable_argv(("other", "x.py")) == ["other", "x.py"]
    assert program_name(("python", "-u", "x.py")) == "x.py"
    assert program_name(("make", "all")) == "make"


@pytest.mark.parametrize(
    ("subpath", "normal"),
    [(".", "."), ("", "."), ("./", "."), ("a/b/", "a/b"), ("./a", "a"), ("a/./b", "a/b")],
)
def test_subpaths(subpath: str, normal: str) -> None:
    assert check_subpath(subpath) == normal


@pytest.mark.parametrize(
    "subpath", ["..", "a/../b", "/", "/a", "a//b", "-x", "a\0", "a\\b", "a\nb"]
)
def test_hostile_subpaths(subpath: str) -> None:
    with pytest.raises(InvalidInputError, match="subpath"):
        check_subpath(subpath)


def make_spec(params: dict[str, Any]) -> RunSpec:
    asset = AssetId(new_entity_id())
    pinned = PinnedVersion(asset, "user/dataset/f/a", "main", CommitId(bytes(32)))  # type: ignore[arg-type]
    code = CodeVersion("https://h/r", "master", "1" * 40, ".")
    return RunSpec("train", asset, "user/model/f/m", "b", pinned, None, code, 4096, params, 1.5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), JSON, max_size=4)
)
def test_a_spec_is_stored_and_read_back(params: dict[str, Any]) -> None:
    spec = make_spec(params)
    assert RunSpec.from_value(decode(encode(spec.to_value()))) == spec


@pytest.mark.parametrize("key", ["type", "model", "dataset", "code", "volume", "params", "timeout"])
def test_a_damaged_spec_is_told(key: str) -> None:
    value = make_spec({}).to_value()
    for bad in (b"\x00", [1], {"a": 1}):
        with pytest.raises(CorruptError):
            RunSpec.from_value({**value, key: bad})
    del value[key]
    with pytest.raises(CorruptError):
        RunSpec.from_value(value)


def some_run() -> RunId:
    return RunId(EntityId(new_entity_id()))


def read_log(storage: Storage, run: RunId) -> list[str]:
    reader = LogReader(storage, run)
    return [*reader.new_lines(), *reader.rest()]


@given(st.lists(st.binary(max_size=20), max_size=30), st.integers(1, 5))
def test_a_log_gives_back_what_was_printed(parts: list[bytes], every: int) -> None:
    storage, run = MemoryStorage(), some_run()
    now = [0.0]
    log = LogWriter(storage, run, clock=lambda: now[0])
    reader = LogReader(storage, run)
    seen: list[str] = []
    for number, part in enumerate(parts):
        now[0] += 0.1
        log.write(part)
        if number % every == 0:
            seen.extend(reader.new_lines())
    log.close()
    seen.extend(reader.new_lines())
    seen.extend(reader.rest())
    whole = b"".join(parts)
    expected = whole.decode("utf-8", "replace").split("\n")
    assume("\r" not in whole.decode("latin-1"))
    assert seen == (expected if expected[-1] else expected[:-1])


@given(st.lists(st.text("ab\r\n", max_size=8).map(str.encode), max_size=20))
def test_what_was_overwritten_is_left_out(parts: list[bytes]) -> None:
    storage, run = MemoryStorage(), some_run()
    log = LogWriter(storage, run, clock=lambda: 0.0)
    for part in parts:
        log.write(part)
    log.close()
    lines = b"".join(parts).decode().split("\n")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    assert [line for line in read_log(storage, run) if line] == [line for line in shown if line]


def test_a_progress_bar_is_seen_while_it_moves() -> None:
    # Else an epoch of an hour would show nothing until its line ends, then one endless line.
    storage, run = MemoryStorage(), some_run()
    now = [0.0]
    log = LogWriter(storage, run, clock=lambda: now[0])
    for percent in range(101):
        now[0] += 0.05
        log.write(b"\r%3d%%|####|" % percent)
    log.write(b"\ndone\n")
    log.close()
    lines = read_log(storage, run)
    assert 3 < len(lines) < 40
    assert lines[-2:] == ["100%|####|", "done"]
    assert all("\r" not in line for line in lines)


def test_segments_come_more_rarely_as_a_run_grows_old() -> None:
    # A run of a day must not make a file a second in the store.
    storage, run = MemoryStorage(), some_run()
    now = [0.0]
    log = LogWriter(storage, run, clock=lambda: now[0])
    for _ in range(24 * 3600):
        now[0] += 1
        log.write(b"line\n")
    log.close()
    assert len(list(storage.list(f"logs/{run}/"))) < 6500
    assert len(read_log(storage, run)) == 24 * 3600


def test_printing_without_end_is_bounded() -> None:
    # Else a run could fill the store, which its volume does not cover.
    storage, run = MemoryStorage(), some_run()
    log = LogWriter(storage, run, max_bytes=100_000)
    for number in range(100_000):
        log.write(b"line %d\n" % number)
    log.close()
    size = sum(len(storage.read(key)) for key in storage.list(f"logs/{run}/"))
    assert size < 100_000 + (300 << 10)
    lines = read_log(storage, run)
    assert (lines[0], lines[-1]) == ("line 0", "line 99999")
    assert any("left out" in line for line in lines)
    assert log.last_lines().endswith("line 99999")


def test_a_line_without_end_is_bounded() -> None:
    storage, run = MemoryStorage(), some_run()
    log = LogWriter(storage, run)
    for _ in range(100):
        log.write(b"x" * 10_000)
    assert len(log._partial) <= 80_000
    log.close()
    assert read_log(storage, run) == ["x" * 1_000_000]


def test_a_full_store_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    storage, run = MemoryStorage(), some_run()
    now = [0.0]
    log = LogWriter(storage, run, clock=lambda: now[0])

    def full(*_: object, **__: object) -> None:
        raise StorageFullError("full")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "create", full)
        for number in range(5):
            now[0] += 100
            log.write(b"%d\n" % number)
    now[0] += 100
    log.close()
    assert read_log(storage, run) == ["0", "1", "2", "3", "4"]


def test_usage_counts_what_files_take(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    folders = folder_usage([str(tmp_path)])
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert folder_usage([str(tmp_path)]) == folders + (1 << 30)
    os.link(tmp_path / "sparse", tmp_path / "a" / "other-name")
    assert folder_usage([str(tmp_path)]) == folders + (1 << 30)
    (tmp_path / "sparse").unlink()
    (tmp_path / "a" / "other-name").unlink()
    for number in range(100):
        (tmp_path / "a" / f"empty{number}").touch()
    assert folder_usage([str(tmp_path)]) >= folders + 100 * 512
    os.symlink("/usr", tmp_path / "link")
    assert folder_usage([str(tmp_path)]) < 1 << 20
    assert folder_usage([str(tmp_path / "missing")]) == 0


def test_a_workspace_is_removed_whatever_the_run_did_to_it(tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").touch()
    workspace = Workspace.of(str(tmp_path / "runs"), some_run())
    workspace.create()
    inner = Path(workspace.output, "a", "b")
    inner.mkdir(parents=True)
    (inner / "file").touch()
    os.symlink(keep, inner / "link")
    inner.chmod(0)
    inner.parent.chmod(0o500)
    workspace.remove()
    assert not Path(workspace.root).exists()
    assert (keep / "file").exists()


def test_the_working_directory_lies_in_the_checkout(tmp_path: Path) -> None:
    # A link in a repository must not lead the run to another folder of the machine.
    workspace = Workspace(str(tmp_path / "w"))
    code = Path(workspace.code)
    (code / "real").mkdir(parents=True)
    (code / "file").touch()
    os.symlink("real", code / "inside")
    os.symlink("/etc", code / "outside")
    os.symlink(tmp_path, code / "above")
    assert workspace.code_folder(".") == str(code)
    assert workspace.code_folder("inside") == str(code / "real")
    for subpath in ("outside", "above", "..", "../..", "missing", "file"):
        with pytest.raises(InvalidInputError, match="subpath"):
            workspace.code_folder(subpath)


@given(st.text(max_size=40))
def test_any_subpath_is_normal_or_refused(text: str) -> None:
    try:
        normal = check_subpath(text)
    except AhError:
        return
    assert normal == "." or not normal.startswith(("/", "-"))
    assert ".." not in normal.split("/")
    assert json.loads(json.dumps(normal)) == normal
