"""Trying again and going on: from the last checkpoint, with nothing of the earlier attempt alive."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from ahstore.errors import AhError, ConflictError, InvalidInputError, NotFoundError
from ahstore.jobs.resuming import submit_resume
from ahstore.jobs.retries import MAX_RETRIES, Retries
from ahstore.jobs.running.processes import leftovers
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.refs import Refs
from tests.jobs.conftest import House
from tests.jobs.test_checkpoints import own_branch, steps
from tests.jobs.test_deaths import odd, wait_for_death, wait_until

__all__ = ["odd"]

# Goes on where it is told to; each attempt does one step, so three are needed.
TRAIN = """
import os, sys
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
assert not list(out.iterdir()), "something is left of the attempt before"
assert not Path("junk").exists()
Path("junk").touch()
old = os.environ.get("AH_CHECKPOINT_DIR")
done = int(Path(old, "model").read_text()) if old else 0
assert os.environ.get("AH_RESUMED_STEP", "0") == str(done)
print("attempt", os.environ["AH_ATTEMPT"], "from", done)
(out / "model").write_text(str(done + 1))
run.log(step=done + 1, loss=1.0)
run.checkpoint(out, step=done + 1)
if done + 1 < 3:
    sys.exit("broken")
"""


def test_a_training_is_tried_again_from_its_last_checkpoint(house: House) -> None:
    done = house.wait(house.train(TRAIN, retries=2, retry_wait=0))
    assert done.status == "Succeeded", (done.reason, house.log(done))
    assert [(failed.number, failed.reason.splitlines()[0]) for failed in done.attempts] == [
        (1, "train.py exited with status 1"),
        (2, "train.py exited with status 1"),
    ]
    assert steps(house, own_branch(done)) == [3, 2, 1, None]
    assert done.checkpoint is not None
    assert done.checkpoint.attempt == 3
    assert done.commit == house.head("b")
    assert house.repo.read_commit(done.commit).parents == (house.head("main"),)
    assert [p["step"] for p in house.jobs.metrics(done)] == [1, 2, 3]
    said = house.log(done)
    assert "attempt 1 of 3 failed: train.py exited with status 1; tries again in 0 s" in said
    assert "attempt 3 from 2" in said
    metadata = json.loads(house.files(done.commit)["asset-hub.metadata"])
    assert [failed["number"] for failed in metadata["failed_attempts"]] == [1, 2]


def test_there_are_no_more_attempts_than_were_asked_for(house: House) -> None:
    done = house.wait(house.train(TRAIN, retries=1, retry_wait=0))
    assert done.status == "Failed"
    assert done.reason is not None
    assert done.reason.startswith("train.py exited with status 1")
    assert len(done.attempts) == 1
    assert house.head("b") is None
    assert house.wait(house.train()).attempts == ()


def test_the_reason_of_an_attempt_is_its_own(house: House) -> None:
    code = """
import os, sys
if os.environ["AH_ATTEMPT"] == "1":
    print("words of the first", end="")
sys.exit(1)
"""
    done = house.wait(house.train(code, retries=1, retry_wait=0))
    assert done.attempts[0].reason == "train.py exited with status 1\nwords of the first"
    assert done.reason == "train.py exited with status 1"


def test_without_checkpoints_it_begins_anew(house: House) -> None:
    seen = house.root / "seen"
    code = f"""
import os, sys
from pathlib import Path
assert "AH_CHECKPOINT_DIR" not in os.environ
results = Path(os.environ["AH_RESULTS_DIR"])
assert not list(results.iterdir())
(results / "metric.json").write_text('{{"a": 1}}')
seen = Path({str(seen)!r})
seen.write_text(seen.read_text() + "x" if seen.exists() else "x")
sys.exit(len(seen.read_text()) < 2)
"""
    code = code.replace('assert "AH_CHECKPOINT_DIR" not in os.environ\n', "")
    done = house.wait(house.evaluate(code, retries=3, retry_wait=0))
    assert done.status == "Succeeded", house.log(done)
    assert (seen.read_text(), len(done.attempts)) == ("xx", 1)
    assert len(house.hub.list_evaluations(house.model)) == 1


def test_a_time_out_is_for_each_attempt(house: House) -> None:
    code = """
import os, time
from pathlib import Path
if os.environ["AH_ATTEMPT"] == "1":
    time.sleep(99)
Path(os.environ["AH_OUTPUT_DIR"], "model").touch()
"""
    done = house.wait(house.train(code, retries=1, retry_wait=0, timeout=5))
    assert done.status == "Succeeded", done.reason
    assert done.attempts[0].reason == "train.py did not end within 5 s"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import os\nfor x in 'abc': open(os.environ['AH_OUTPUT_DIR'] + '/' + x, 'wb').truncate(9 << 20)",
    ],
)
def test_what_would_fail_again_is_not_tried_again(code: str, house: House) -> None:
    done = house.wait(house.train(code, retries=3, retry_wait=0))
    assert (done.status, done.attempts) == ("Failed", ())


def test_nothing_of_an_attempt_is_alive_in_the_next(house: House) -> None:
    # Two attempts at once would write over one another's files, on one accelerator.
    code = """
import os, signal, sys, time
from pathlib import Path
pid = Path(os.environ["AH_DATASET_DIR"]).parent / "pid"
if os.environ["AH_ATTEMPT"] == "1":
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            pid.write_text(str(os.getpid()))
            time.sleep(99)
        os._exit(0)
    while not pid.exists():
        time.sleep(0.01)
    sys.exit(1)
print("alive", Path("/proc", pid.read_text()).exists())
Path(os.environ["AH_OUTPUT_DIR"], "model").touch()
"""
    done = house.wait(house.train(code, retries=1, retry_wait=0))
    assert done.status == "Succeeded", done.reason
    assert "alive False" in house.log(done)


def test_a_checkpoint_that_was_deleted_is_not_gone_on_from(house: House) -> None:
    # The record must not keep gc from its work, nor a lost checkpoint a run from its next attempt.
    gate = house.root / "gate"
    code = f"""
import os, sys, time
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
(out / "model").write_text("x" * 100)
if os.environ["AH_ATTEMPT"] == "1":
    run.checkpoint(out, step=1)
    Path({str(gate)!r}).touch()
    while Path({str(gate)!r}).exists():
        time.sleep(0.02)
    sys.exit(1)
print("given", os.environ.get("AH_CHECKPOINT_DIR"), os.environ.get("AH_RESUMED_STEP"))
"""
    run = house.train(code, retries=1, retry_wait=0)
    house.wait_for(run, gate)
    made = house.jobs.get(run.name).checkpoint
    assert made is not None
    Refs(house.repo).delete(house.model.id, own_branch(run), "branch")
    report = collect(house.repo, Policy(now=True))
    assert report.reclaimed > 0
    gate.unlink()
    done = house.wait(run)
    assert done.status == "Succeeded", (done.reason, house.log(done))
    assert "that checkpoint is not there any more: begins anew" in house.log(done)
    assert "given None None" in house.log(done)
    # A run that fails and has lost its checkpoint can't go on, and says so.
    lost = replace(done, state="Failed")
    with pytest.raises(NotFoundError):
        submit_resume(house.hub, lost)


def test_a_stop_while_it_waits_to_try_again(house: House, odd: Any) -> None:
    code = "raise SystemExit(3)"
    run = house.train(code, retries=5, retry_wait=600)
    wait_until(lambda: bool(house.jobs.get(run.name).attempts))
    assert house.jobs.get(run.name).status == "Running"
    started = time.monotonic()
    done = house.jobs.stop(run)
    assert time.monotonic() - started < 10
    assert (done.status, len(done.attempts)) == ("Stopped", 1)
    wait_for_death(run.supervisor)
    assert leftovers(run.id) == []


def test_a_supervisor_that_dies_while_it_waits(house: House, odd: Any) -> None:
    odd("back-off", "die")
    run = house.train(TRAIN, retries=5, retry_wait=600)
    wait_for_death(run.supervisor)
    done = house.jobs.get(run.name)
    assert (done.status, len(done.attempts)) == ("Failed", 1)
    assert done.checkpoint is not None


@pytest.mark.parametrize(
    ("options", "error"),
    [({"retries": -1}, InvalidInputError), ({"retries": MAX_RETRIES + 1}, InvalidInputError),
     ({"retries": 1, "retry_wait": float("nan")}, InvalidInputError),
     ({"retries": 1, "retry_wait": -1}, InvalidInputError)],
)  # fmt: skip
def test_bad_retries(options: dict[str, Any], error: type[AhError], house: House) -> None:
    house.make_code({"train.py": ""})
    with pytest.raises(error):
        house.train(**options)
    assert house.jobs.list(house.model) == []


def test_waits_grow_and_are_bounded() -> None:
    retries = Retries(20, 10)
    assert [retries.wait_after(n) for n in (1, 2, 3, 7, 100)] == [10, 20, 40, 600, 600]
    assert Retries(1, 5000).wait_after(3) == 5000
    assert Retries(1, 0).wait_after(9) == 0


# Going on with a run that is over.


def test_a_training_goes_on_in_another_run(house: House) -> None:
    first = house.wait(house.train(TRAIN, params={"a": 1}))
    second = house.wait(house.jobs.resume(first))
    assert (first.status, second.status) == ("Failed", "Failed")
    third = house.wait(house.jobs.resume(second))
    assert third.status == "Succeeded", (third.reason, house.log(third))
    assert third.commit == house.head("b")
    assert third.spec.params == {"a": 1}
    assert second.checkpoint is not None
    assert third.spec.checkpoint is not None
    assert third.spec.checkpoint.commit == second.checkpoint.commit
    assert third.spec.resumes is not None
    assert (third.spec.resumes.name, third.spec.resumes.step) == (second.name, 2)
    # The target branch begins where it would have begun had it gone well at once.
    assert house.repo.read_commit(third.commit).parents == (house.head("main"),)
    metadata = json.loads(house.files(third.commit)["asset-hub.metadata"])
    assert metadata["resumes"] == {"run": second.id, "name": second.name, "step": 2}
    assert metadata["checkpoint"]["commit"] == second.checkpoint.commit.hex()
    # The checkpoints of all three stand in one row.
    assert steps(house, own_branch(third)) == [3, 2, 1, None]


def test_a_run_without_checkpoints_is_begun_anew(house: House) -> None:
    base = house.wait(house.train(TRAIN, retries=2, retry_wait=0, branch="base"))
    assert base.status == "Succeeded"
    code = "import os; assert os.environ['AH_CHECKPOINT_DIR']; raise SystemExit(7)"
    first = house.wait(house.train(code, checkpoint=(house.model, "base")))
    second = house.wait(house.jobs.resume(first, volume="20Mi", timeout=100))
    assert second.spec.checkpoint == first.spec.checkpoint
    assert (second.spec.volume, second.spec.timeout) == (20 << 20, 100)
    assert second.spec.start == first.spec.checkpoint


def test_a_lost_or_stopped_run_goes_on(house: House, odd: Any, monkeypatch: Any) -> None:
    with monkeypatch.context():
        odd("checkpoint-committed", "die")
        lost = house.train(TRAIN)
        wait_for_death(lost.supervisor)
        assert house.jobs.get(lost.name).status == "Failed"
    monkeypatch.undo()
    again = house.wait(house.jobs.resume(house.jobs.get(lost.name)))
    assert "attempt 1 from 1" in house.log(again)


def test_what_can_not_go_on(house: House) -> None:
    run = house.train("import time; time.sleep(99)")
    with pytest.raises(ConflictError, match="goes on by itself"):
        house.jobs.resume(run)
    house.jobs.stop(run)
    done = house.wait(house.train("import os; open(os.environ['AH_OUTPUT_DIR'] + '/m', 'w')"))
    with pytest.raises(InvalidInputError, match="succeeded"):
        house.jobs.resume(done)
    failed = house.wait(house.evaluate("raise SystemExit(1)"))
    with pytest.raises(InvalidInputError, match="no training"):
        house.jobs.resume(failed)
    assert Refs(house.repo).find(house.model.id, own_branch(run)) is None
