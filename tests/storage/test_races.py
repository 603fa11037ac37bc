"""Several processes at one key, one cell, one lock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ahstore.storage.cells import Cell, Cells
from ahstore.storage.local import LocalStorage
from ahstore.storage.locks import hold

WORKER = Path(__file__).with_name("worker.py")
CELL = Cell("ref", ("Asset", "main"))


def run_together(role: str, store: Path, *, processes: int, rounds: int) -> list[list[str]]:
    """Start the workers, let them go at once, return the lines each printed."""
    command = [sys.executable, str(WORKER), role, str(store), str(rounds)]
    workers = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=120)[0].splitlines() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * processes
    return outputs


@pytest.mark.parametrize("rounds", [400, pytest.param(5000, marks=pytest.mark.long)])
def test_of_eight_processes_exactly_one_creates(tmp_path: Path, rounds: int) -> None:
    # Two winners of one number: a commit that was acknowledged is lost.
    outputs = run_together("create", tmp_path / "store", processes=8, rounds=rounds)
    won = sorted(int(line.split()[1]) for lines in outputs for line in lines)
    assert won == list(range(rounds))


@pytest.mark.parametrize("rounds", [25, pytest.param(200, marks=pytest.mark.long)])
def test_eight_processes_count_one_cell_up(tmp_path: Path, rounds: int) -> None:
    run_together("increment", tmp_path / "store", processes=8, rounds=rounds)
    cells = Cells(LocalStorage(tmp_path / "store"))
    counts = [version.value["n"] for version in cells.history(CELL)]
    assert counts == list(range(8 * rounds, 0, -1))


def test_a_lock_that_is_never_released_holds_nobody_for_ever(tmp_path: Path) -> None:
    # A stopped process must not hang all others.
    with hold(str(tmp_path), "name"):
        waited = []

        def wait() -> None:
            start = time.monotonic()
            with hold(str(tmp_path), "name", wait_seconds=0.1):
                waited.append(time.monotonic() - start)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(10)
    assert len(waited) == 1
    assert waited[0] >= 0.1


def test_locks_are_few_files_and_stay(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store", create=True)
    for number in range(50):
        with storage.lock(f"cells/ref/x/{number}/"):
            pass
    before = sorted(os.listdir(tmp_path / "store" / ".local" / "locks"))
    with storage.lock("cells/ref/x/1/"):
        pass
    assert sorted(os.listdir(tmp_path / "store" / ".local" / "locks")) == before
    assert all(len(name) == 3 for name in before)


def test_where_no_lock_can_be_had_work_goes_on(tmp_path: Path) -> None:
    with hold(str(tmp_path / "nowhere"), "name"):
        pass
