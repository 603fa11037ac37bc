"""Checkpoints that user code hands in while it runs: committed, answered, fenced."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ahstore import run as ah_run
from ahstore.errors import InvalidInputError, OutcomeUnknownError
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.provenance.explanation import explain
from ahstore.jobs.provenance.lineage import LineageReader
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running import checkpoints
from ahstore.jobs.running.checkpoints import Checkpointer
from ahstore.jobs.running.spool import Spool
from ahstore.versions.adding.commits import commit_tree
from ahstore.versions.history.log import log
from tests.jobs.conftest import House
from tests.jobs.test_deaths import elsewhere, odd, wait_for_death, wait_until

__all__ = ["odd"]

TRAIN = """
import os
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
for step in range(1, 4):
    (out / "model").write_text(f"state {step}")
    run.log(step=step, loss=1 / step)
    print("commit", run.checkpoint(out, step=step))
(out / "model").write_text("final")
"""


def own_branch(run: RunRecord) -> str:
    return "run-" + run.name.rpartition("-")[2]


def steps(house: House, branch: str) -> list[Any]:
    head = house.head(branch)
    assert head is not None
    return [commit.metadata.get("step") for _, commit in log(house.repo, head)]


def test_checkpoints_go_to_a_branch_of_the_run(house: House) -> None:
    done = house.wait(house.train(TRAIN))
    assert done.status == "Succeeded", house.log(done)
    branch = own_branch(done)
    # One commit per training on the target; each checkpoint, in order, on the run's own branch.
    assert steps(house, branch) == [3, 2, 1, None]
    assert house.repo.read_commit(done.commit).parents == (house.head("main"),)
    assert done.checkpoint is not None
    assert done.checkpoint.commit == house.head(branch)
    assert (done.checkpoint.number, done.checkpoint.step, done.publishing) == (3, 3, None)
    assert f"commit {done.checkpoint.commit.hex()}" in house.log(done)
    assert f"checkpoint: {done.checkpoint.commit.hex()[:8]} at step 3 on" in house.log(done)
    files = house.files(done.checkpoint.commit)
    assert files["model"] == b"state 3"
    metadata = json.loads(files["asset-hub.metadata"])
    assert metadata["midway"]["step"] == 3
    assert metadata["metrics"] == {"step": 3, "loss": 1 / 3}
    assert metadata["code"]["commit"] == done.spec.code.commit


def test_a_checkpoint_can_be_followed_to_its_run(house: House) -> None:
    done = house.wait(house.train(TRAIN))
    assert done.checkpoint is not None
    reader = LineageReader(house.hub, RunRecords(house.repo))
    said = explain(house.hub, reader, house.model, done.checkpoint.commit)
    assert f"by the training {done.name}, as a checkpoint at step 3 while it ran." in said[0]
    with pytest.raises(InvalidInputError, match="a checkpoint amid the training"):
        house.jobs.rerun(house.model, own_branch(done))


def test_checkpoints_may_go_to_the_target_or_nowhere(house: House) -> None:
    done = house.wait(house.train(TRAIN, checkpoints="target"))
    assert done.status == "Succeeded", house.log(done)
    assert steps(house, "b") == [None, 3, 2, 1, None]
    assert house.head(own_branch(done)) is None
    done = house.wait(house.train(branch="c", checkpoints="none"))
    assert done.status == "Succeeded", house.log(done)
    assert steps(house, "c") == [None, None]
    assert (house.head(own_branch(done)), done.checkpoint) == (None, None)
    assert "checkpoint step=3" in house.log(done)
    with pytest.raises(InvalidInputError, match="'other'"):
        house.train(checkpoints="other")
    with pytest.raises(InvalidInputError, match="only a training"):
        house.evaluate("", checkpoints="own")


def test_the_example_of_the_documentation_runs(house: House) -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/checkpoints.md").read_text()
    code = text.split("```python\n")[1].partition("```")[0]
    done = house.wait(house.train(code, params={"epochs": 2}))
    assert done.status == "Succeeded", done.reason
    assert steps(house, own_branch(done)) == [2, 1, None]
    more = house.wait(house.train(branch="c", checkpoint=(house.model, "b"), params={"epochs": 3}))
    assert steps(house, own_branch(more)) == [3, None, None]


def test_checkpoints_stay_when_the_code_fails(house: House) -> None:
    done = house.wait(house.train(TRAIN + "\nraise SystemExit(3)"))
    assert done.status == "Failed"
    assert house.head("b") is None
    assert steps(house, own_branch(done)) == [3, 2, 1, None]
    assert done.checkpoint is not None


def test_one_that_is_not_waited_for_is_what_it_was(house: House) -> None:
    # The code goes on to change its files at once: what was handed in must not change with them.
    code = """
import os
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
for step in range(20):
    with open(out / "model", "r+b" if step else "wb") as file:
        file.write(b"%08d" % step * 20_000)
    assert run.checkpoint(out / "model", step=step, wait=False) is None
"""
    done = house.wait(house.train(code))
    assert done.status == "Succeeded", house.log(done)
    head = house.head(own_branch(done))
    assert head is not None
    found = [
        (commit.metadata["step"], house.files(commit_id)["model"])
        for commit_id, commit in log(house.repo, head)
        if "step" in commit.metadata
    ]
    assert found == [(step, b"%08d" % step * 20_000) for step in reversed(range(20))]


def test_files_may_be_given_away(house: House) -> None:
    code = """
import os
from pathlib import Path
from ahstore import run
tmp = Path(os.environ["TMPDIR"], "step")
for wait in (True, False):
    (tmp / "sub").mkdir(parents=True)
    (tmp / "sub" / "model").write_text(str(wait))
    os.symlink("model", tmp / "sub" / "link")
    run.checkpoint(tmp, wait=wait, move=True)
    assert not tmp.exists()
Path(os.environ["AH_OUTPUT_DIR"], "model").write_text("final")
"""
    done = house.wait(house.train(code))
    assert done.status == "Succeeded", done.reason
    assert done.checkpoint is not None
    files = house.files(done.checkpoint.commit)
    assert (files["sub/model"], files["sub/link"]) == (b"False", b"False")
    assert done.checkpoint.step is None


def test_what_can_not_be_committed_is_told_to_the_code(house: House) -> None:
    # It must neither hang nor be taken for a checkpoint; the run can go on.
    code = """
import os
from pathlib import Path
from ahstore import run
bad = Path(os.environ["TMPDIR"], "bad")
bad.mkdir()
os.symlink("/etc/passwd", bad / "link")
try:
    run.checkpoint(bad, step=1)
except run.CheckpointError as error:
    print("refused:", error)
Path(os.environ["AH_OUTPUT_DIR"], "model").write_text("final")
"""
    done = house.wait(house.train(code))
    assert done.status == "Succeeded", done.reason
    assert "refused: checkpoint/link" in house.log(done)
    assert "a checkpoint was not committed: checkpoint/link" in house.log(done)
    assert (done.checkpoint, house.head(own_branch(done))) == (None, None)


def test_what_waits_counts_for_the_volume(house: House) -> None:
    code = """
import os
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"], "model")
out.write_bytes(os.urandom(9 << 20))
for step in range(50):
    run.checkpoint(out, wait=False)
"""
    done = house.wait(house.train(code, volume="16Mi"))
    assert done.status == "Failed"
    assert "outgrew its volume" in str(done.reason)


def test_waiting_takes_no_space_of_its_own(house: House) -> None:
    code = """
import os
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"], "model")
out.write_bytes(os.urandom(9 << 20))
for step in range(3):
    run.checkpoint(out)
"""
    done = house.wait(house.train(code, volume="16Mi"))
    assert done.status == "Succeeded", done.reason


def test_a_stop_does_not_wait_for_checkpoints(house: House) -> None:
    started = house.root / "started"
    code = f"""
import os
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
for number in range(2000):
    (out / str(number)).write_text(str(number))
Path({str(started)!r}).touch()
while True:
    run.checkpoint(out)
"""
    run = house.train(code)
    house.wait_for(run, started)
    done = house.jobs.stop(run)
    assert done.status == "Stopped"
    assert house.head("b") is None
    last = house.head(own_branch(run))
    assert (None if done.checkpoint is None else done.checkpoint.commit) == last


# Deaths: the branch is old or new, the record says which.

LONG = pytest.mark.long
BEFORE = ["checkpoint", "before-publishing", "publishing"]


@pytest.mark.parametrize(
    "phase",
    [*(pytest.param(p, marks=LONG) for p in BEFORE[:2]), "publishing", "checkpoint-committed"],
)
def test_a_supervisor_killed_while_it_commits_a_checkpoint(
    phase: str, house: House, odd: Any
) -> None:
    odd(phase, "die")
    run = house.train(TRAIN)
    wait_for_death(run.supervisor)
    record = house.jobs.get(run.name)
    assert (record.status, record.fence_due, record.publishing) == ("Failed", False, None)
    head = house.head(own_branch(run))
    if phase in BEFORE:
        assert (head, record.checkpoint) == (None, None)
    else:
        assert record.checkpoint is not None
        assert (record.checkpoint.commit, record.checkpoint.step) == (head, 1)
    assert house.head("b") is None


@pytest.mark.parametrize(
    ("phase", "checkpoints"),
    [
        *(("publishing", "own"), ("publishing", "target")),
        *(pytest.param(p, c, marks=LONG) for p in BEFORE[:2] for c in ("own", "target")),
    ],
)
def test_a_paused_supervisor_declared_dead_commits_no_checkpoint(
    phase: str, checkpoints: str, house: House, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would put a commit on a branch for a run that everyone has been told is Failed, perhaps
    # after another run has gone on from there.
    flag = odd(phase, "pause")
    run = house.train(TRAIN, checkpoints=checkpoints)
    wait_until(flag.exists)
    record = elsewhere(house, monkeypatch, -1.0).look(house.jobs.get(run.name))
    assert (record.status, record.checkpoint, record.fence_due) == ("Failed", None, False)
    flag.unlink()
    monkeypatch.undo()
    wait_for_death(run.supervisor)
    for branch in ("b", own_branch(run)):
        assert house.head(branch) is None
    assert house.jobs.get(run.name) == record


def test_a_checkpoint_that_was_committed_is_seen_by_who_declares_the_run_dead(
    house: House, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = odd("checkpoint-committed", "pause")
    run = house.train(TRAIN)
    wait_until(flag.exists)
    record = elsewhere(house, monkeypatch, -1.0).look(house.jobs.get(run.name))
    assert record.status == "Failed"
    assert record.checkpoint is not None
    assert record.checkpoint.commit == house.head(own_branch(run))
    flag.unlink()
    monkeypatch.undo()
    wait_for_death(run.supervisor)
    assert house.jobs.get(run.name) == record


def test_a_supervisor_that_fails_in_a_checkpoint_says_so(house: House, odd: Any) -> None:
    odd("publishing", "fail")
    done = house.wait(house.train(TRAIN))
    assert done.status == "Failed"
    assert "CheckpointError: ahstore failed: RuntimeError: planted" in str(done.reason)
    assert (done.checkpoint, done.publishing) == (None, None)


def test_a_stop_after_a_checkpoint_was_committed_does_not_forget_it(house: House, odd: Any) -> None:
    # The last checkpoint is what a stopped run is resumed from.
    flag = odd("checkpoint-committed", "pause")
    run = house.train(TRAIN)
    wait_until(flag.exists)
    stopper = threading.Thread(target=house.jobs.stop, args=(run,))
    stopper.start()
    wait_until(lambda: house.jobs.get(run.name).stop_by is not None)
    flag.unlink()
    stopper.join()
    done = house.wait(run)
    assert done.status == "Stopped"
    assert done.checkpoint is not None
    assert done.checkpoint.commit == house.head(own_branch(run))


class Handed(Spool):
    """A spool that remembers what it answered."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.answers: list[tuple[str | None, str | None]] = []

    def answer(self, name: str, *, commit: str | None = None, error: str | None = None) -> None:
        self.answers.append((commit, error))
        super().answer(name, commit=commit, error=error)


@pytest.mark.parametrize("lands", [True, False])
def test_a_lost_answer_is_settled_before_the_code_gets_one(
    lands: bool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "Committed" for what is not there loses a training; "not committed" for what is there repeats it.
    run = house.train("import time; time.sleep(99)")
    wait_until(lambda: house.jobs.get(run.name).status == "Running")
    spool = Handed(str(house.root / "spool"))
    monkeypatch.setenv("AH_CHECKPOINT_SPOOL", str(house.root / "spool"))
    file = house.root / "model"
    file.write_text("x")
    ah_run.checkpoint(file, step=1, wait=False)

    def lose_answer(*arguments: Any, guard: Any, **options: Any) -> Any:
        if lands:
            made = commit_tree(*arguments, guard=guard, **options)
            assert made is not None
            commit = made.commit
        else:
            commit = CommitId(bytes(32))
            guard(commit)
        raise OutcomeUnknownError("no answer", commit=commit.hex())

    monkeypatch.setattr(checkpoints, "commit_tree", lose_answer)
    notes: list[str] = []
    Checkpointer(
        house.hub,
        RunRecords(house.repo),
        house.jobs.get(run.name),
        branch="own",
        attempt=1,
        spool=spool,
        metrics=dict,
        on_note=notes.append,
        on_phase=lambda _: None,
    ).close(cancel=False)
    head, record = house.head("own"), house.jobs.get(run.name)
    if lands:
        assert head is not None
        assert spool.answers == [(head.hex(), None)]
        assert record.checkpoint is not None
        assert (record.checkpoint.commit, record.publishing) == (head, None)
    else:
        assert (head, record.checkpoint) == (None, None)
        assert spool.answers == [(None, "no answer")]
        assert notes == ["a checkpoint was not committed: no answer"]
    house.jobs.stop(run)


# The helper, and what it hands in.


def test_outside_a_run_nothing_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AH_CHECKPOINT_SPOOL", raising=False)
    file = tmp_path / "model"
    with pytest.raises(FileNotFoundError):
        ah_run.checkpoint(file)
    with pytest.raises(ValueError, match="no files"):
        ah_run.checkpoint(tmp_path)
    file.write_text("x")
    assert ah_run.checkpoint(file, step=2) is None
    assert capsys.readouterr().out == f"checkpoint step=2 {file}\n"
    assert file.read_text() == "x"


def test_a_checkpoint_is_handed_in_whole_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(str(tmp_path / "spool"))
    monkeypatch.setenv("AH_CHECKPOINT_SPOOL", str(tmp_path / "spool"))
    file = tmp_path / "model"
    file.write_text("x")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ah_run.shutil, "copy2", fail)
        with pytest.raises(OSError, match="No space"):
            ah_run.checkpoint(file, wait=False)
    assert os.listdir(tmp_path / "spool") == []
    ah_run.checkpoint(file, step=1, wait=False)
    ah_run.checkpoint(file, wait=False)
    first, second = spool.names()
    assert (spool.read(first).step, spool.read(second).step) == (1, None)
    spool.answer(first, commit="00")
    assert spool.names() == [second]


@pytest.mark.parametrize(
    "request_json", ["", "[]", '{"step": "nan"}', '{"step": true}', '{"step": 1e300}', "{" * 10_000]
)
def test_a_malformed_request_is_refused(request_json: str, tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "spool"))
    request = tmp_path / "spool" / f"{1:020d}-1-0123abcd"
    (request / "files").mkdir(parents=True)
    (request / "files" / "x").touch()
    (request / "request.json").write_text(request_json)
    with pytest.raises(InvalidInputError):
        spool.read(request.name)


def test_a_folder_that_is_a_link_is_no_request(tmp_path: Path) -> None:
    # It would have the supervisor commit a folder that lies elsewhere.
    spool = Spool(str(tmp_path / "spool"))
    request = tmp_path / "spool" / f"{1:020d}-1-0123abcd"
    request.mkdir()
    os.symlink("/etc", request / "files")
    (request / "request.json").write_text('{"step": 1}')
    with pytest.raises(InvalidInputError):
        spool.read(request.name)


def test_the_record_of_a_run_without_checkpoints_is_as_it_was(house: House) -> None:
    # Stores of before must be read as before, and hold the same bytes.
    done = house.wait(house.train("import os; open(os.environ['AH_OUTPUT_DIR'] + '/m', 'w')"))
    assert {"checkpoint", "publishing"} & set(done.to_value()) == set()
    assert "checkpoints" not in done.spec.to_value()
    assert isinstance(done.commit, bytes)
    assert CommitId(done.commit) == house.head("b")
    assert AssetId(house.model.id) == done.spec.model
