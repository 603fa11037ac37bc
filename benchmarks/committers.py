"""Many processes commit to one branch: how long, and how many packs were written for nothing.

``python -m benchmarks.committers WRITERS COMMITS FOLDER`` starts itself WRITERS times.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from ahstore import api
from ahstore.packs.place import Kind
from ahstore.packs.reader import list_packs
from benchmarks.inprocess import get_main
from benchmarks.parts import Rows

DATASET = "dataset/c/shared"


def write(name: str, commits: int, folder: Path) -> None:
    """Commit a small file of one's own, again and again."""
    source = folder / name
    with api.open() as store:
        main = get_main(store, DATASET)
        for at in range(commits):
            source.write_text(f"{name} {at}")
            assert main.create_commit(f"{name} {at}", add={str(source): f"{name}/{at}"})


def run_all(writers: int, commits: int, folder: Path) -> Rows:
    """Run the writers side by side; every commit must be in the branch's history afterwards."""
    folder.mkdir(parents=True)
    with api.open() as store:
        store.create_folder("dataset", "c")
        store.create(DATASET)
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.committers", name, str(commits), str(folder)]
        )
        for name in (f"writer-{at}" for at in range(writers))
    ]
    failed = [process.args for process in processes if process.wait()]
    seconds = time.perf_counter() - started
    assert not failed, failed
    return {"C1": {"seconds": seconds, "unused %": _unused_percent(writers * commits)}}


def _unused_percent(commits: int) -> float:
    """Return the share of packs that only hold a commit that lost a race."""
    with api.open() as store:
        main = get_main(store, DATASET)
        history = {bytes.fromhex(commit["id"]) for commit in main.iter_commit()}
        assert len(history) == commits + 1
        unused = total = 0
        for family, pack in list_packs(store.core.repo.storage):
            entries = store.core.repo.packs.read_index(family, pack)
            made = {bytes(address) for address, place in entries if place.kind is Kind.COMMIT}
            total += 1
            unused += bool(made) and made.isdisjoint(history)
    return 100 * unused / total


def _main(first: str, commits: str, folder: str) -> None:
    if first.isdigit():
        json.dump(run_all(int(first), int(commits), Path(folder)), sys.stdout)
    else:
        write(first, int(commits), Path(folder))


if __name__ == "__main__":
    _main(*sys.argv[1:])
