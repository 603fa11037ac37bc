"""What is synced, and when: seen from outside, in a trace of system calls, and from inside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ahstore.storage.cells import Cell, Cells
from ahstore.storage.leases import Lease
from ahstore.storage.local import LocalStorage
from tests.storage.oscalls import recorded

WORKER = Path(__file__).with_name("worker.py")
PACK = "packs/data/ab/" + "ab" * 16
CELL = Cell("ref", ("one", "main"))


def syncs_by(calls: list[tuple[str, str]], root: Path) -> list[str]:
    """Return the folders synced, relative to the store, and ``(file)``, ``(name)`` as they come."""
    events = []
    for name, path in calls:
        if name == "link":
            events.append("(name)")
        elif name == "fsync":
            is_folder = os.path.isdir(path)
            events.append(os.path.relpath(path, root) if is_folder else "(file)")
    return events


def test_a_first_file_syncs_all_folders_above(tmp_path: Path) -> None:
    # A folder whose own entry is not durable takes the acknowledged commit with it.
    root = tmp_path / "store"
    storage = LocalStorage(root, create=True)
    storage.create("hints/warm", b"", durable=False)
    with recorded() as calls:
        storage.create("cells/ref/one/main/ffffffffffff", b"")
    folder = "cells/ref/one/main"
    above = ["cells/ref/one", "cells/ref", "cells", "."]
    assert syncs_by(calls, root) == ["(file)", *above, "(name)", folder]
    with recorded() as calls:
        storage.create("cells/ref/one/main/fffffffffffe", b"")
    assert syncs_by(calls, root) == ["(file)", "(name)", folder]


def test_folders_made_by_others_are_synced_too(tmp_path: Path) -> None:
    # Who made them may have died before his own sync.
    root = tmp_path / "store"
    (root / "packs/data/ab").mkdir(parents=True)
    storage = LocalStorage(root)
    storage.create("hints/warm", b"", durable=False)
    with recorded() as calls, storage.new_file(PACK) as writer:
        writer.write(b"body")
        writer.commit()
    expected = ["(file)", "packs/data", "packs", ".", "(name)", "packs/data/ab"]
    assert syncs_by(calls, root) == expected


def test_a_folder_made_again_is_synced_again(tmp_path: Path) -> None:
    root = tmp_path / "store"
    storage = LocalStorage(root, create=True)
    storage.create("logs/run/1", b"")
    os.rename(root / "logs/run", root / "elsewhere")
    with recorded() as calls:
        storage.create("logs/run/1", b"")
    assert syncs_by(calls, root) == ["(file)", "logs", "(name)", "logs/run"]


def test_a_new_folder_costs_one_sync_where_the_way_up_is_durable(tmp_path: Path) -> None:
    root = tmp_path / "store"
    storage = LocalStorage(root, create=True)
    storage.create("logs/one/1", b"")
    with recorded() as calls:
        storage.create("logs/two/1", b"")
    assert syncs_by(calls, root) == ["(file)", "logs", "(name)", "logs/two"]


def test_a_new_store_is_durable_itself(tmp_path: Path) -> None:
    with recorded() as calls:
        LocalStorage(tmp_path / "a" / "b" / "store", create=True)
    assert syncs_by(calls, tmp_path) == ["a/b", "a", "."]


def test_leases_and_hints_are_not_synced(tmp_path: Path) -> None:
    # Not needed, and it would double the price of a small commit.
    storage = LocalStorage(tmp_path / "store", create=True)
    cells = Cells(storage)
    with recorded() as calls:
        lease = Lease.take(cells, [CELL])
        lease.extend([Cell("ref", ("two", "main"))])
        lease.check()
        lease.beat(force=True)
        lease.end()
    assert [name for name, _ in calls if name == "fsync"] == []
    assert list(storage.list("")) == []


def test_a_swap_costs_two_syncs(tmp_path: Path) -> None:
    cells = Cells(LocalStorage(tmp_path / "store", create=True))
    cells.swap(CELL, -1, {})
    with recorded() as calls:
        cells.swap(CELL, 0, {})
    assert [name for name, _ in calls].count("fsync") == 2
    assert len(calls) <= 8


def test_large_files_are_on_their_way_before_they_are_synced(tmp_path: Path, monkeypatch) -> None:
    # Else the disk sits idle while a gigabyte is hashed, and the commit waits for it at the end.
    told = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _fd, at, length, _how: told.append((at, length))
    )
    storage = LocalStorage(tmp_path / "store", create=True)
    with storage.new_file(PACK) as writer:
        for _ in range(20):
            writer.write(bytes(3 * 2**20))
        writer.commit()
    assert told == [(0, 18 * 2**20), (18 * 2**20, 18 * 2**20), (36 * 2**20, 18 * 2**20)]


def test_the_sync_decides_whatever_the_early_start_says(tmp_path: Path, monkeypatch) -> None:
    # File systems without it must not refuse packs, and with it the sync must not be left out.
    def refuses(*_: object) -> None:
        raise OSError(22, "no such advice here")

    monkeypatch.setattr(os, "posix_fadvise", refuses)
    storage = LocalStorage(tmp_path / "store", create=True)
    storage.create("hints/warm", b"", durable=False)
    with recorded() as calls, storage.new_file(PACK) as writer:
        writer.write(bytes(20 * 2**20))
        writer.commit()
    assert storage.stat(PACK).size == 20 * 2**20
    assert syncs_by(calls, tmp_path / "store")[0] == "(file)"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_order_as_the_kernel_sees_it(tmp_path: Path) -> None:
    # The inside view could be fooled by a call that does not go through os.
    trace, root = tmp_path / "trace", tmp_path / "store"
    calls = "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdir,mkdirat"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace)]
    done = subprocess.run(
        [*command, sys.executable, "-B", str(WORKER), "write", str(root), "0"],
        input="\n",
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
    )
    if done.returncode and "ptrace" in done.stderr.lower():
        pytest.skip("tracing is not allowed here")
    assert done.returncode == 0, done.stderr
    events = [_event(line, str(root)) for line in trace.read_text().splitlines()]
    done_events = [event for event in events if event and "/.local" not in event]
    tail = done_events[done_events.index("mkdir /cells") :]
    assert tail == [
        *("mkdir /cells", "mkdir /cells/ref", "mkdir /cells/ref/one", "mkdir /cells/ref/one/main"),
        *("sync file", "sync /cells/ref/one", "sync /cells/ref", "sync /cells", "sync "),
        *("link ffffffffffff", "sync /cells/ref/one/main"),
        *("sync file", "link fffffffffffe", "sync /cells/ref/one/main"),
        *("mkdir /packs", "mkdir /packs/data", "mkdir /packs/data/ab"),
        *("sync file", "sync /packs/data", "sync /packs", "sync "),
        *("link " + "ab" * 16, "sync /packs/data/ab"),
        *("mkdir /cells/lease", "mkdir /cells/lease/one"),
        "link ffffffffffff",
    ]


def _event(line: str, root: str) -> str | None:
    failed = re.search(r"= -1 E", line)
    call = re.search(r" (\w+)\(", line)
    if failed or not call or root not in line:
        return None
    kind = call.group(1)
    if kind.startswith("mkdir"):
        made = re.search(r'"([^"]*)"', line)
        return f"mkdir {made.group(1)[len(root) :]}" if made else None
    if kind in ("fsync", "fdatasync"):
        path = re.search(r"<([^>]*)>", line)
        assert path
        return "sync file" if "#" in path.group(1) else f"sync {path.group(1)[len(root) :]}"
    names = re.findall(r'"([^"]*)"', line)
    return f"link {names[-1]}"
