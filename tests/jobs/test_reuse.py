"""``--reuse``: the result of an earlier run that did the same, if it is the same and still there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahstore.ids import CommitId
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running.reuse import find_same
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.refs import Refs
from tests.jobs import repositories
from tests.jobs.conftest import House
from tests.jobs.test_deaths import elsewhere, odd, wait_for_death, wait_until

__all__ = ["odd"]


@pytest.fixture
def counted(house: House) -> Path:
    """Make code that counts how often it is run, in the file that this returns."""
    count = house.root / "count"
    code = f"""
import os, sys
from pathlib import Path
with open({str(count)!r}, "a") as file:
    file.write("x")
Path(os.environ["AH_OUTPUT_DIR"], "model").write_bytes(os.urandom(20))
"""
    evaluation = f"""
import os
from pathlib import Path
with open({str(count)!r}, "a") as file:
    file.write("x")
Path(os.environ["AH_RESULTS_DIR"], "metric.json").write_text('{{"a": 1}}')
"""
    house.make_code({"train.py": code, "evaluate.py": evaluation})
    return count


def times(counted: Path) -> int:
    return len(counted.read_text())


def trained(house: House, **options: Any) -> RunRecord:
    done = house.wait(house.train(reuse=True, **options))
    assert done.status == "Succeeded", (done.reason, house.log(done))
    return done


def test_a_new_branch_gets_the_commit_that_was_made(house: House, counted: Path) -> None:
    first = trained(house)
    assert first.reused_from is None
    second = trained(house, branch="c", volume="20Mi", timeout=100, retries=3)
    assert times(counted) == 1
    assert second.reused_from is not None
    assert (second.reused_from.run, second.reused_from.name) == (first.id, first.name)
    assert second.commit == first.commit == house.head("c") == house.head("b")
    assert second.command == first.command
    assert (second.outcome, first.outcome["exit_status"]) == ({}, 0)
    assert f"run {first.name} did the same: its result is taken" in house.log(second)
    third = trained(house, branch="d")
    assert third.reused_from == second.reused_from
    # Without the wish it is done again, whatever was done before.
    assert house.wait(house.train()).commit != first.commit
    assert times(counted) == 2


def test_a_branch_that_is_there_already_stays(house: House, counted: Path) -> None:
    first = trained(house)
    again = trained(house)
    assert (again.commit, house.head("b"), times(counted)) == (first.commit, first.commit, 1)


def test_a_branch_at_which_the_commit_began_goes_forward_to_it(house: House, counted: Path) -> None:
    start = house.head("main")
    assert start is not None
    first = trained(house)
    Refs(house.repo).create(house.model.id, "c", "branch", start, by="user")
    second = trained(house, branch="c")
    assert (second.commit, house.head("c"), times(counted)) == (first.commit, first.commit, 1)


def test_another_branch_gets_a_commit_with_the_same_tree(house: House, counted: Path) -> None:
    first = trained(house)
    extra = house.root / "extra"
    extra.write_text("x")
    start = house.head("main")
    assert start is not None
    assert first.commit is not None
    Refs(house.repo).create(house.model.id, "c", "branch", start, by="user")
    made = commit_files(
        house.repo, house.model.id, "c", message="other", committer="user", add=[str(extra)]
    )
    assert made is not None
    second = trained(house, branch="c")
    assert (second.commit, times(counted)) == (house.head("c"), 1)
    assert second.commit is not None
    body = house.repo.read_commit(second.commit)
    assert body.parents == (made.commit,)
    assert body.tree == house.repo.read_commit(first.commit).tree
    # The files are those of the first run, and the commit says so, and who took them.
    assert (body.metadata["run"], body.metadata["reused_by"]) == (first.id, second.id)
    origin = find_origin(house.repo, second.commit, body)
    assert origin is not None
    assert origin.run_name == first.name


def test_what_is_not_the_same_is_done(house: House, counted: Path, tmp_path: Path) -> None:
    first = trained(house, params={"a": 1})
    assert first.commit is not None
    other = tmp_path / "other"
    other.write_text("x")
    base = house.head("main")
    assert base is not None
    runs = [trained(house, params={"a": 2}), trained(house, checkpoint=(house.model, "b"))]
    Refs(house.repo).create(house.model.id, "again", "branch", runs[1].commit, by="user")  # type: ignore[arg-type]
    runs.append(trained(house, params={"a": 1}, checkpoint=(house.model, "again")))
    commit_files(
        house.repo, house.dataset.id, "main", message="m", committer="user", add=[str(other)]
    )
    runs.append(trained(house, params={"a": 1}))
    repositories.commit(house.code, {"other.py": "1"})
    runs.append(trained(house, params={"a": 1}))
    assert [run.reused_from for run in runs] == [None] * 5
    assert times(counted) == 6


def test_another_number_of_threads_is_another_run(
    house: House, counted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    trained(house)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    trained(house)
    assert times(counted) == 2


@pytest.mark.parametrize(
    "change",
    [{"python": "3.0.0"}, {"python": None}, {"packages": {"numpy": "0"}}, {"machine": "other"},
     {"gpus": ["one"]}, {"seeds": {"seed": 1}}, {"unknown to this version": 1}],
)  # fmt: skip
def test_other_surroundings_are_not_the_same(
    change: dict[str, Any], house: House, counted: Path
) -> None:
    done = trained(house)
    records = RunRecords(house.repo)
    found = find_same(house.hub, records, done.spec, done.command, done.environment)
    assert found == done
    changed = {**done.environment, **change}
    assert find_same(house.hub, records, done.spec, done.command, changed) is None
    assert find_same(house.hub, records, done.spec, ["other"], done.environment) is None
    elsewhere_ = {**done.environment, "cpu": "another", "memory_bytes": 1, "release": "1"}
    assert find_same(house.hub, records, done.spec, done.command, elsewhere_) == done
    limits = replace(done.spec, volume=5000, timeout=1.0, branch="x", checkpoints="none")
    assert find_same(house.hub, records, limits, done.command, done.environment) == done


def test_failed_runs_are_none(house: House) -> None:
    house.make_code({"train.py": "raise SystemExit(1)"})
    for _ in range(2):
        done = house.wait(house.train(reuse=True))
        assert (done.status, done.reused_from) == ("Failed", None)


def test_an_evaluation_stands(house: House, counted: Path) -> None:
    def evaluated() -> RunRecord:
        return house.wait(
            house.jobs.evaluate(
                house.model, "main", dataset=house.dataset, volume="16Mi",
                git_repo=str(house.code), git_revision="master", reuse=True,
            )
        )  # fmt: skip

    first, second = evaluated(), evaluated()
    assert (second.status, times(counted)) == ("Succeeded", 1), second.reason
    assert second.evaluation == first.evaluation
    assert second.reused_from is not None
    assert len(house.hub.list_evaluations(house.model)) == 1
    # Deleted: then it is measured again.
    assert first.evaluation is not None
    house.hub.delete_evaluation(first.evaluation)
    third = evaluated()
    assert (third.reused_from, times(counted)) == (None, 2)
    assert len(house.hub.list_evaluations(house.model)) == 1


def test_what_is_gone_is_done_again(house: House, counted: Path) -> None:
    # A branch must never be pointed at a commit of which something is missing.
    packs = set(Path(house.root, "store", "packs").rglob("*"))
    first = trained(house)
    new = set(Path(house.root, "store", "packs").rglob("*")) - packs
    Refs(house.repo).delete(house.model.id, "b", "branch")
    for path in new:
        if path.is_file():
            path.unlink()
    second = trained(house, branch="c")
    assert (second.reused_from, times(counted)) == (None, 2)
    assert second.commit != first.commit


def test_a_deleted_branch_comes_back(house: House, counted: Path) -> None:
    first = trained(house)
    Refs(house.repo).delete(house.model.id, "b", "branch")
    second = trained(house)
    assert (second.commit, house.head("b"), times(counted)) == (first.commit, first.commit, 1)


def diverged(house: House) -> CommitId:
    """Make a branch ``c`` that a reused commit can't be put on as it is."""
    extra = house.root / "extra"
    extra.write_text("x")
    start = house.head("main")
    assert start is not None
    Refs(house.repo).create(house.model.id, "c", "branch", start, by="user")
    made = commit_files(
        house.repo, house.model.id, "c", message="m", committer="user", add=[str(extra)]
    )
    assert made is not None
    return made.commit


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("phase", "how"),
    [
        *(("committing", "diverged"), ("committed", "new")),
        *(pytest.param(p, "new", marks=LONG) for p in ("same", "before-committing", "committing")),
        *(
            pytest.param(p, "diverged", marks=LONG)
            for p in ("same", "before-committing", "committed")
        ),
    ],
)
def test_a_supervisor_killed_while_it_takes_a_result(
    phase: str, how: str, house: House, counted: Path, odd: Any
) -> None:
    first = trained(house)
    before = diverged(house) if how == "diverged" else None
    odd(phase, "die")
    run = house.train(branch="c", reuse=True)
    wait_for_death(run.supervisor)
    record = house.jobs.get(run.name)
    head = house.head("c")
    if phase == "committed":
        assert (record.status, record.commit) == ("Succeeded", head)
        assert record.reused_from is not None
    else:
        assert (record.status, record.commit, record.reused_from) == ("Failed", None, None)
        assert head == before
    assert house.head("b") == first.commit
    assert times(counted) == 1


@pytest.mark.parametrize("how", ["new", pytest.param("diverged", marks=LONG)])
def test_a_paused_supervisor_declared_dead_takes_nothing(
    how: str, house: House, counted: Path, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(house)
    before = diverged(house) if how == "diverged" else None
    flag = odd("committing", "pause")
    run = house.train(branch="c", reuse=True)
    wait_until(flag.exists)
    record = elsewhere(house, monkeypatch, -1.0).look(house.jobs.get(run.name))
    assert (record.status, record.commit, record.reused_from) == ("Failed", None, None)
    flag.unlink()
    monkeypatch.undo()
    wait_for_death(run.supervisor)
    assert house.head("c") == before
    assert house.jobs.get(run.name) == record


def test_a_branch_that_had_the_commit_once_is_not_held_for_done(
    house: House, counted: Path, odd: Any
) -> None:
    # What tells a new commit's publication, that its branch ever had it, says nothing of an old one.
    first = trained(house)
    start = house.head("main")
    assert start is not None
    Refs(house.repo).move(house.model.id, "b", start, by="user", expect=first.commit)
    odd("committing", "die")
    run = house.train(reuse=True)
    wait_for_death(run.supervisor)
    assert (house.jobs.get(run.name).status, house.head("b")) == ("Failed", start)


def test_the_record_says_nothing_where_nothing_was_asked(house: House, counted: Path) -> None:
    done = house.wait(house.train())
    assert "reused_from" not in done.to_value()
    assert "reuse" not in done.spec.to_value()
    assert os.path.exists(counted)
