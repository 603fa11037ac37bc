"""Queued runs: so many at once, oldest first, whatever the others die of; and sweeps."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import InvalidInputError
from ahstore.ids import EntityId, RunId, new_entity_id
from ahstore.jobs.running.queueing import Ticket
from ahstore.jobs.sweep import branch_names, combinations
from tests.jobs.conftest import House

GATED = """
import os, time
from pathlib import Path
gate = Path({gate!r})
(gate / ("started-" + os.environ["AH_RUN_ID"])).touch()
while not (gate / "open").exists():
    time.sleep(0.02)
Path(os.environ["AH_OUTPUT_DIR"], "model").write_text(os.environ["AH_RUN_ID"])
"""


def some_run() -> RunId:
    return RunId(EntityId(new_entity_id()))


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_so_many_at_once_oldest_first(house: House) -> None:
    gate = house.root / "gate"
    gate.mkdir()
    code = GATED.format(gate=str(gate))
    runs = [house.train(code, branch="b0", at_once=2)]
    runs += [house.train(branch=f"b{number}", at_once=2) for number in range(1, 4)]

    def started() -> set[str]:
        return {path.name.removeprefix("started-") for path in gate.glob("started-*")}

    wait_until(lambda: len(started()) == 2)
    time.sleep(0.5)
    assert started() == {runs[0].id, runs[1].id}
    assert [house.jobs.get(run.name).status for run in runs[2:]] == ["Pending", "Pending"]
    # One that works is killed with its supervisor: its place must not stay taken.
    os.kill(house.jobs.get(runs[0].name).supervisor.pid, signal.SIGKILL)
    wait_until(lambda: runs[2].id in started())
    assert runs[3].id not in started()
    # One that waits can be stopped.
    stopped = house.jobs.stop(runs[3])
    assert stopped.status == "Stopped"
    (gate / "open").touch()
    assert [house.wait(run).status for run in runs] == [
        "Failed", "Succeeded", "Succeeded", "Stopped"
    ]  # fmt: skip
    assert list((house.root / "runs" / ".queue").iterdir()) == []


def test_a_run_that_is_not_queued_does_not_wait(house: House) -> None:
    gate = house.root / "gate"
    gate.mkdir()
    queued = house.train(GATED.format(gate=str(gate)), at_once=1)
    wait_until(lambda: list(gate.glob("started-*")))
    free = house.train("import os; open(os.environ['AH_OUTPUT_DIR'] + '/x', 'w')", branch="c")
    assert house.wait(free).status == "Succeeded"
    (gate / "open").touch()
    assert house.wait(queued).status == "Succeeded"


@pytest.mark.parametrize("number", [0, -1])
def test_none_at_once_is_refused(house: House, number: int) -> None:
    with pytest.raises(InvalidInputError):
        house.train("x", at_once=number)
    assert house.jobs.list(house.model) == []


def test_tickets(tmp_path: Path) -> None:
    folder = str(tmp_path / "queue")
    with Ticket(folder, some_run(), 2.0) as second:
        assert second.is_turn(1)
        with Ticket(folder, some_run(), 1.0) as first:
            assert first.is_turn(1)
            assert not second.is_turn(1)
            assert second.is_turn(2)
        assert second.is_turn(1)
        # A dead run's ticket, as a kill leaves it.
        Path(folder, f"{0.5:020.6f}-{some_run()}").touch()
        assert second.is_turn(1)
    assert os.listdir(folder) == []


def test_all_combinations() -> None:
    points = combinations({"lr": [0.1, 0.01], "bs": [16, 32]})
    assert points == [
        {"lr": 0.1, "bs": 16}, {"lr": 0.1, "bs": 32}, {"lr": 0.01, "bs": 16}, {"lr": 0.01, "bs": 32}
    ]  # fmt: skip
    assert branch_names("try", points) == [
        "try-lr-0.1-bs-16", "try-lr-0.1-bs-32", "try-lr-0.01-bs-16", "try-lr-0.01-bs-32"
    ]  # fmt: skip


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.lists(
            st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none()),
            min_size=1, max_size=3, unique_by=lambda value: repr(value),
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_every_combination_has_a_branch_of_its_own(grid: dict) -> None:
    # Two runs on one branch would bury each other's model.
    points = combinations(grid)
    names = branch_names("b", points)
    assert len(set(names)) == len(points)


@pytest.mark.parametrize(
    "grid",
    [{}, {"a": []}, {"a": "12"}, {"a": [1, 1]}, {"a": list(range(40)), "b": list(range(40))}],
)
def test_what_is_no_grid(grid: dict) -> None:
    with pytest.raises(InvalidInputError):
        combinations(grid)
