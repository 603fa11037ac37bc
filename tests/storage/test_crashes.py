"""What is left when a process is killed, or the disk fails, at each of its system calls."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ahstore.errors import AhError, OutcomeUnknownError, StorageError, StorageFullError
from ahstore.storage.cells import Cell, CellConflictError, Cells
from ahstore.storage.contract import AlreadyThereError
from ahstore.storage.local import LocalStorage
from tests.storage.oscalls import count_calls, failing, killed

CELL = Cell("ref", ("one", "main"))
BODY = b"body" * 1000
PACK = "packs/data/ab/" + "ab" * 16


def create(root: str) -> None:
    LocalStorage(root).create("index/one", BODY)


def new_file(root: str) -> None:
    with LocalStorage(root).new_file(PACK) as writer:
        writer.write(BODY[:1000])
        writer.write(BODY[1000:])
        writer.commit()


def swap(root: str) -> None:
    cells = Cells(LocalStorage(root), pause=lambda _seconds: None)
    cells.swap(CELL, cells.read(CELL).number, {"n": "new"})


def replace(root: str) -> None:
    LocalStorage(root).replace("hints/one", BODY)


WRITES = {create: "index/one", new_file: PACK, replace: "hints/one"}


def fresh(path: Path) -> str:
    shutil.rmtree(path, ignore_errors=True)
    storage = LocalStorage(path, create=True)
    Cells(storage).swap(CELL, -1, {"n": "old"})
    return str(path)


def count_calls_of(work: Callable[[str], None], tmp_path: Path) -> int:
    root = fresh(tmp_path / "s")
    return count_calls(lambda: work(root))


def check_whole(root: str, key: str) -> bool:
    """Make sure that the file is there whole or not at all, and say which."""
    storage = LocalStorage(root)
    assert [found for found in storage.list("") if not found.startswith("cells/")] in ([], [key])
    if not storage.exists(key):
        return False
    assert storage.read(key) == BODY
    return True


@pytest.mark.parametrize("work", WRITES)
@pytest.mark.parametrize("before", [True, False])
def test_killed_while_writing(tmp_path: Path, work: Callable[[str], None], before: bool) -> None:
    key = WRITES[work]
    total = count_calls_of(work, tmp_path)
    seen = set()
    for at in range(total):
        root = fresh(tmp_path / "s")
        killed(partial(work, root), at=at, before=before)
        seen.add(check_whole(root, key))
        with contextlib.suppress(AlreadyThereError):
            work(root)  # a retry works
        assert check_whole(root, key)
    assert False in seen
    assert True in seen or (before and work is replace)  # the rename is its last call


@pytest.mark.parametrize("before", [True, False])
def test_killed_while_swapping(tmp_path: Path, before: bool) -> None:
    # The head is exactly the old or the new one; anything else loses a branch.
    total = count_calls_of(swap, tmp_path)
    seen = set()
    for at in range(total):
        root = fresh(tmp_path / "s")
        killed(partial(swap, root), at=at, before=before)
        cells = Cells(LocalStorage(root))
        version = cells.read(CELL)
        assert (version.number, version.value["n"]) in ((0, "old"), (1, "new"))
        seen.add(version.number)
        assert cells.swap(CELL, version.number, {}).number == version.number + 1
    assert seen == {0, 1}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("work", WRITES)
def test_a_failing_disk_while_writing(
    tmp_path: Path, work: Callable[[str], None], code: int
) -> None:
    key = WRITES[work]
    total = count_calls_of(work, tmp_path)
    for at in range(total):
        root = fresh(tmp_path / "s")
        open_before = len(os.listdir("/proc/self/fd"))
        error: AhError | None = None
        with failing(at, code) as failed:
            try:
                work(root)
            except StorageError as caught:
                error = caught
        assert len(os.listdir("/proc/self/fd")) == open_before  # no descriptor leaks
        there = check_whole(root, key)
        if error is None:
            assert there, failed
        elif type(error) is StorageFullError:
            assert not there, failed
            assert "path" in error.details


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_while_swapping(tmp_path: Path, code: int) -> None:
    total = count_calls_of(swap, tmp_path)
    outcomes = set()
    for at in range(total):
        root = fresh(tmp_path / "s")
        outcome = "done"
        with failing(at, code) as failed:
            try:
                swap(root)
            except OutcomeUnknownError:
                outcome = "unknown"
            except StorageError:
                outcome = "failed"
        number = Cells(LocalStorage(root)).read(CELL).number
        # "Failed" for what did happen makes the user do it again; "done" for what did not loses it.
        assert (outcome, number) in (("done", 1), ("failed", 0), ("unknown", 0), ("unknown", 1)), (
            failed,
            at,
        )
        outcomes.add(outcome)
    assert outcomes == {"done", "unknown", "failed"}


@pytest.mark.parametrize("target", ["file", "folder"])
def test_after_a_failed_sync_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    # The kernel reports lost pages once; a second fsync succeeds and the data is gone.
    root = fresh(tmp_path / "s")
    cells = Cells(LocalStorage(root), pause=lambda _seconds: None)
    cells.swap(CELL, 0, {})
    real = os.fsync
    failures = [errno.EIO]

    def fsync(fd: int) -> None:
        is_folder = os.path.isdir(f"/proc/self/fd/{fd}")
        if failures and is_folder == (target == "folder"):
            code = failures.pop()
            raise OSError(code, os.strerror(code))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    expected = StorageError if target == "file" else OutcomeUnknownError
    with pytest.raises(expected):
        cells.swap(CELL, 1, {"n": "lost?"})
    assert failures == []


def test_the_store_does_not_come_back_as_an_empty_one(tmp_path: Path) -> None:
    root = fresh(tmp_path / "s")
    storage = LocalStorage(root)
    cells = Cells(storage)
    cells.read(CELL)
    shutil.rmtree(root)
    with pytest.raises((CellConflictError, StorageError)):
        cells.swap(CELL, 0, {})
    for action in (
        lambda: cells.swap(Cell("ref", ("two", "main")), -1, {}),
        lambda: storage.create("index/one", b""),
        lambda: storage.replace("hints/one", b""),
        lambda: storage.new_file(PACK),
    ):
        with pytest.raises(StorageError):
            action()
    with storage.lock("any"):
        pass
    assert not os.path.exists(root)


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    root = fresh(tmp_path / "s")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(StorageFullError, match="index/one"):
            create(root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not check_whole(root, "index/one")
    create(root)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    storage = LocalStorage(small_disk / "store", create=True)
    cells = Cells(storage)

    def fill() -> None:
        number = -1
        while True:
            number = cells.swap(CELL, number, {"filler": b"x" * 10_000}).number

    with pytest.raises(StorageFullError):
        fill()
    number = Cells(storage).read(CELL).number
    assert number > 10
    with pytest.raises(StorageFullError), storage.new_file(PACK) as writer:
        writer.write(b"x" * 300_000)
    with pytest.raises(StorageFullError):
        storage.replace("hints/one", b"x" * 300_000)
    assert sum(1 for _ in storage.list("")) == number + 1
    (small_disk / "store" / "hints").mkdir(exist_ok=True)
    assert len(list(cells.history(CELL))) == number + 1


def test_drafts_of_dead_writers_are_cleaned_when_old(tmp_path: Path) -> None:
    """A draft of a living writer that was removed would be an upload lost half way."""
    storage = LocalStorage(tmp_path / "store", create=True)
    storage.replace("hints/one", b"makes the folder of drafts")
    old, new = (tmp_path / "store/.local/tmp" / name for name in ("old", "new"))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (storage.now() - 7200,) * 2)
    assert storage.clean_leftovers(storage.now() - 3600) == 1
    assert (old.exists(), new.exists()) == (False, True)
