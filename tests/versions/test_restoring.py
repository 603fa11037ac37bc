"""Restoring: many files by several processes, large ones in pieces, folders that come up whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from ahstore.errors import CorruptError, InvalidInputError, StorageError
from ahstore.ids import CommitId
from ahstore.versions import crew
from ahstore.versions.monitor import Monitor
from ahstore.versions.restoring import batch, small_files, target
from ahstore.versions.restoring import restorer as restoring
from ahstore.versions.restoring.checkout import download
from ahstore.versions.restoring.target import TargetFolder
from ahstore.versions.restoring.target_file import TargetFile
from ahstore.versions.restoring.workers import Workers
from tests.versions.kit import Asset


def shape(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return content, mtime and executable bits of all files below."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            key = str(path.relative_to(folder))
            found[key] = (path.read_bytes(), stat.st_mtime_ns, stat.st_mode & 0o111)
    return found


def rubbish(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if "ahpart" in path.name]


@pytest.fixture
def many(asset: Asset) -> CommitId:
    asset.write(**{f"d{at % 7}__s{at % 3}__f{at}": f"content {at}" for at in range(300)})
    asset.write(empty="", twice1="same", twice2="same", d0__big=os.urandom(5_000_000))
    asset.write(middle=os.urandom(900_000), run="#!/bin/sh\n")
    (asset.work / "run").chmod(0o755)
    os.utime(asset.work / "d1/s1/f1", ns=(1, 1_234_567_890_123_456_789))
    return asset.commit()


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let few files be enough for three processes; returns the children."""
    children: list[int] = []
    fork = os.fork

    def counted() -> int:
        child = fork()
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", counted)
    monkeypatch.setattr(crew, "processes", lambda: 3)
    monkeypatch.setattr(small_files, "SHARE_FILES", 50)
    monkeypatch.setattr(batch, "MAX_FILES", 16)
    return children


@pytest.mark.parametrize("existing", [False, True])
def test_all_is_as_it_was(asset: Asset, many: CommitId, tmp_path: Path, existing: bool) -> None:
    out = tmp_path / "o"
    if existing:
        (out / "d1/s1").mkdir(parents=True)
        (out / "d1/s1/f1").write_text("former")
        (out / "d1/other").write_text("stays")
    result = download(asset.repo, many, target=str(out))
    if existing:
        (out / "d1/other").unlink()
    assert shape(out) == shape(asset.work)
    assert result.files == len(shape(out))
    assert not rubbish(out)


@pytest.mark.parametrize("existing", [False, True])
def test_processes_share_small_files(
    asset: Asset, many: CommitId, tmp_path: Path, forking: list[int], existing: bool
) -> None:
    out = tmp_path / "o"
    for at in range(7 if existing else 0):
        (out / f"d{at}" / "s1").mkdir(parents=True)
    told: dict[str, int] = {"files": 0, "bytes_": 0}

    class Counting(Monitor):
        def advance(self, *, files: int = 0, bytes_: int = 0) -> None:
            told["files"] += files
            told["bytes_"] += bytes_

    result = download(asset.repo, many, target=str(out), monitor=Counting())
    assert len(forking) == 2
    assert shape(out) == shape(asset.work)
    assert not rubbish(out)
    assert told == {"files": result.files, "bytes_": result.size_bytes}


def test_what_a_child_left_is_done_again(
    asset: Asset,
    many: CommitId,
    tmp_path: Path,
    forking: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A killed child leaves half a file under its name: passed over, it would pass for a whole one."""
    parent, write, seen = os.getpid(), TargetFile.write, [0]

    def half(self: TargetFile, data: bytes) -> None:
        seen[0] += 1
        if os.getpid() != parent and seen[0] > 20:
            write(self, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, data)

    monkeypatch.setattr(TargetFile, "write", half)
    download(asset.repo, many, target=str(tmp_path / "o"))
    assert len(forking) == 2
    assert shape(tmp_path / "o") == shape(asset.work)


def test_an_error_in_a_child_is_met_here(
    asset: Asset,
    many: CommitId,
    tmp_path: Path,
    forking: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = batch._checked

    def damaged(found: dict[bytes, bytes], chunk: bytes, length: int) -> bytes:
        if found[chunk] == b"content 299":
            raise CorruptError("damaged")
        return check(found, chunk, length)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "_checked", damaged)
    with pytest.raises(CorruptError, match="damaged"):
        download(asset.repo, many, target=str(tmp_path / "o"))
    assert forking
    assert not list((tmp_path / "o").rglob("f299"))
    assert not rubbish(tmp_path / "o")
    for child in forking:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def test_a_process_with_threads_is_not_forked() -> None:
    """A child of one would find locks held by threads that it does not have, and hang."""
    code = (
        "import threading\n"
        "from ahstore.versions import crew\n"
        "import os; os.sched_getaffinity = lambda pid: {0, 1}\n"
        "assert crew.processes() == 2\n"
        "stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait); thread.start()\n"
        "assert crew.processes() == 1\n"
        "stop.set(); thread.join()\n"
        "assert crew.processes() == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_fork_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    done: list[int] = []

    def mine() -> None:
        done.append(1)

    def theirs() -> None:
        done.append(2)

    assert crew.run_shares([mine, theirs]) == [theirs]
    assert done == [1]


@pytest.mark.parametrize("existing", [False, True])
def test_what_shows_is_whole_at_every_write(
    asset: Asset, many: CommitId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    """Killed at any moment, a download must not leave half a file under its name."""
    out, whole, write, seen = tmp_path / "o", shape(asset.work), TargetFile.write, [0]
    if existing:
        (out / "d1/s1").mkdir(parents=True)

    def looking(self: TargetFile, data: bytes) -> None:
        for path in out.rglob("*") if out.is_dir() else ():
            name = str(path.relative_to(out))
            if path.is_file() and "ahpart" not in name:
                seen[0] += 1
                assert path.read_bytes() == whole[name][0]
        write(self, data)

    monkeypatch.setattr(TargetFile, "write", looking)
    monkeypatch.setattr(batch, "MAX_FILES", 16)
    monkeypatch.setattr(small_files, "ROUND_FILES", 20)
    download(asset.repo, many, target=str(out))
    assert seen[0]
    assert shape(out) == whole


def test_two_downloads_make_the_same_folders(
    asset: Asset, many: CommitId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who comes second would otherwise fail, or lose what the first has written."""
    out, move = tmp_path / "o", target._move
    done = []

    def late(source: int, name: str, to: int, new: str) -> None:
        if not done:
            done.append(new)
            (out / new / "s1").mkdir(parents=True)
            (out / new / "s1" / "f999").write_text("of the other")
            (out / new / "s1" / "f7").write_text("of the other")
        move(source, name, to, new)

    monkeypatch.setattr(target, "_move", late)
    download(asset.repo, many, target=str(out))
    extra = out / done[0] / "s1" / "f999"
    assert extra.read_text() == "of the other"
    extra.unlink()
    assert set(shape(out)) - set(shape(asset.work)) <= {f"{done[0]}/s1/f7"}
    assert not rubbish(out)


@pytest.mark.parametrize("plant", ["link", "file"])
def test_what_took_the_name_of_a_new_folder_is_not_replaced(
    asset: Asset, many: CommitId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    """A link planted while a download runs must not lead it elsewhere."""
    out, victim, move = tmp_path / "o", tmp_path / "victim", target._move
    victim.mkdir()

    def late(source: int, name: str, to: int, new: str) -> None:
        if plant == "link":
            (out / new).symlink_to(victim)
        else:
            (out / new).write_text("mine")
        move(source, name, to, new)

    monkeypatch.setattr(target, "_move", late)
    with pytest.raises(InvalidInputError, match="a link or file stands"):
        download(asset.repo, many, target=str(out))
    assert not list(victim.iterdir())
    assert not rubbish(out)


def test_a_large_file_is_written_in_pieces(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "PIECE_BYTES", 300_000)
    content = os.urandom(10_000_000) + b"x" * 1_000_000
    asset.write(d__large=content, d__other=os.urandom(4_000_000))
    commit = asset.commit()
    out = tmp_path / "o"
    download(asset.repo, commit, target=str(out), read_only=True)
    assert (out / "d/large").read_bytes() == content
    assert shape(out) == shape(asset.work)
    assert (out / "d/large").stat().st_mode & 0o222 == 0
    (out / "d").chmod(0o755)


@pytest.mark.parametrize("most", [1, 65_536, 299_000])
def test_a_disk_that_takes_less_than_it_was_given(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What one call leaves over is written by others: else a file has holes and nobody says so."""
    monkeypatch.setattr(restoring, "PIECE_BYTES", 300_000)
    content = os.urandom(2_000_000)
    asset.write(large=content)
    commit = asset.commit()

    def some(fd: int, parts: list[memoryview], offset: int) -> int:
        return os.pwrite(fd, b"".join(parts)[:most], offset)

    monkeypatch.setattr(os, "pwritev", some)
    download(asset.repo, commit, target=str(tmp_path / "o"))
    assert (tmp_path / "o/large").read_bytes() == content


def test_a_large_file_that_fails_goes_away(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "PIECE_BYTES", 300_000)
    asset.write(d__large=os.urandom(5_000_000), a="1")
    commit = asset.commit()

    def full(_fd: int, _parts: list[memoryview], _offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(StorageError, match=r"no space left for .*d/large"):
        download(asset.repo, commit, target=str(tmp_path / "o"))
    assert not list((tmp_path / "o").rglob("large"))
    assert not rubbish(tmp_path / "o")


def test_calls_a_file(asset: Asset, tmp_path: Path) -> None:
    """Small files are little but system calls: open, write, time, close, and none besides."""
    with TargetFolder(str(tmp_path / "o"), read_only=False) as folder:
        new = folder.enter("d/f")
        assert new.fresh
        calls: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "write", "utime", "close", "rename", "stat", "fstat", "chmod",
                         "fchmod", "mkdir", "unlink", "link", "fsync"):  # fmt: skip
                call = getattr(os, name)
                patch.setattr(
                    os, name, lambda *a, _c=call, _n=name, **k: (calls.append(_n), _c(*a, **k))[1]
                )
            file = TargetFile(folder, new, "f", executable=True)
            file.write(b"1")
            file.commit(10**18)
    assert calls == ["open", "write", "utime", "close"]


def test_folders_and_files_open_are_bounded(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree with a file a folder would run into the limit of open files."""
    asset.write(**{f"d{at:04d}__f": str(at) for at in range(600)})
    commit = asset.commit()
    most = [0]
    write = TargetFile.write

    def counting(self: TargetFile, data: bytes) -> None:
        most[0] = max(most[0], len(os.listdir("/proc/self/fd")))
        write(self, data)

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(TargetFile, "write", counting)
    download(asset.repo, commit, target=str(tmp_path / "o"))
    assert most[0] < before + small_files.ROUND_FOLDERS + 60
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_workers_stop_at_the_first_error() -> None:
    begun: list[int] = []

    def fail() -> None:
        raise CorruptError("first")

    def work() -> None:
        with Workers(2, ahead=4) as workers:
            workers.submit(fail, lambda: None)
            for at in range(100):
                workers.submit(partial(begun.append, at), lambda: None)
            workers.drain()

    with pytest.raises(CorruptError, match="first"):
        work()
    assert len(begun) < 100
    assert not [t for t in threading.enumerate() if t.name == "ahstore-worker"]
