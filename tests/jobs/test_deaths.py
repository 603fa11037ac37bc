"""Whatever dies, and whenever: the branch is old or new, and the run says what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.jobs.engines.contract import Job, JobRequest
from ahstore.jobs.engines.local import LocalEngine
from ahstore.jobs.observer import Observer
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running import spawn
from ahstore.jobs.running.processes import leftovers
from ahstore.storage.process import ProcessIdentity
from tests.jobs.conftest import House

ROOT = Path(__file__).parents[2]
TRAIN = "import os; open(os.environ['AH_OUTPUT_DIR'] + '/model', 'w').write('new')"
EVALUATE = "import os; open(os.environ['AH_RESULTS_DIR'] + '/metric.json', 'w').write('{\"a\": 1}')"

BEFORE = [
    "claimed",
    "code",
    "environment",
    "inputs",
    "executing",
    "ended",
    "before-committing",
    "committing",
]
AFTER = ["committed", "closing"]

Odd = Callable[[str, str], Path]


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Odd:
    """Make the next supervisors die, fail or pause at a phase; the flag's removal lets them go on."""

    def make(phase: str, how: str) -> Path:
        monkeypatch.setattr(spawn, "SUPERVISOR_MODULE", "tests.jobs.odd_supervisor")
        monkeypatch.setenv("ODD_PHASE", phase)
        monkeypatch.setenv("ODD_HOW", how)
        monkeypatch.setenv("ODD_FLAG", str(tmp_path / "flag"))
        return tmp_path / "flag"

    return make


def wait_for_death(identity: ProcessIdentity) -> None:
    deadline = time.monotonic() + 30
    while identity.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def look(house: House, run: RunRecord) -> RunRecord:
    started = time.monotonic()
    record = house.jobs.get(run.name)
    assert time.monotonic() - started < 5
    return record


@pytest.mark.parametrize("phase", BEFORE)
def test_a_supervisor_killed_before_it_commits(phase: str, house: House, odd: Odd) -> None:
    # A run must not stay Running for ever, nor leave half a commit.
    odd(phase, "die")
    run = house.train(TRAIN)
    wait_for_death(run.supervisor)
    record = look(house, run)
    assert record.status == "Failed"
    assert record.reason is not None
    assert record.reason.startswith("its supervisor died ")
    assert (record.commit, record.fence_due) == (None, False)
    assert house.head("b") is None
    assert leftovers(run.id) == []
    assert house.jobs.list(house.model) == [record]


@pytest.mark.parametrize("phase", AFTER)
def test_a_supervisor_killed_after_it_committed(phase: str, house: House, odd: Odd) -> None:
    # The commit is there: to call the run Failed would be wrong, and tempt its user to run again.
    odd(phase, "die")
    run = house.train(TRAIN)
    wait_for_death(run.supervisor)
    record = look(house, run)
    assert (record.status, record.reason) == ("Succeeded", None)
    assert record.commit == house.head("b")
    assert record.commit is not None
    assert house.files(record.commit)["model"] == b"new"


@pytest.mark.parametrize("phase", ["executing", "committing", "committed"])
def test_the_supervisor_of_an_evaluation_killed(phase: str, house: House, odd: Odd) -> None:
    odd(phase, "die")
    run = house.evaluate(EVALUATE)
    wait_for_death(run.supervisor)
    record = look(house, run)
    listed = house.hub.list_evaluations(house.model)
    if phase == "committed":
        assert record.status == "Succeeded"
        assert [evaluation.id for evaluation in listed] == [record.evaluation]
    else:
        assert record.status == "Failed"
        assert listed == []


@pytest.mark.parametrize("phase", ["ended", "committed"])
def test_a_bug_in_the_supervisor_is_told(phase: str, house: House, odd: Odd) -> None:
    odd(phase, "fail")
    record = house.wait(house.train(TRAIN))
    if phase == "committed":
        # After the commit point nothing is reported as a plain failure.
        assert record.status == "Succeeded"
        assert record.commit == house.head("b")
    else:
        assert record.status == "Failed"
        assert record.reason == "ahstore failed: RuntimeError: planted"
        assert house.head("b") is None


def test_user_code_of_a_dead_supervisor_is_ended(house: House) -> None:
    # Its daemons would go on using the machine, unseen, after the run is called Failed.
    code = """
import os, signal, sys, time
from pathlib import Path
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(os.environ["AH_OUTPUT_DIR"], "pid").write_text(str(os.getpid()))
    time.sleep(99)
time.sleep(99)
"""
    run = house.train(code)
    pid_file = Path(run.workspace, "output", "pid")
    house.wait_for(run, pid_file)
    time.sleep(0.1)
    daemon = int(pid_file.read_text())
    os.kill(run.supervisor.pid, signal.SIGKILL)
    wait_for_death(run.supervisor)
    record = look(house, run)
    assert record.reason == "its supervisor died while the run was under way"
    assert ProcessIdentity.find(daemon) is None
    assert leftovers(run.id) == []


def test_user_code_that_is_killed(house: House) -> None:
    run = house.train("import os, signal; print('before'); os.kill(os.getpid(), signal.SIGKILL)")
    record = house.wait(run)
    assert record.status == "Failed"
    assert record.reason is not None
    assert record.reason.startswith("train.py was ended by SIGKILL")
    assert house.head("b") is None


CALLER = """
import os, signal, sys, time
from ahstore.hub.hub import Hub
from ahstore.ids import AssetId
from ahstore.jobs.engines import local
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.records import RunRecords
from ahstore.versions.repository import Repository
url, runs, model, dataset, code, how = sys.argv[1:]
repo = Repository.open(url)
hub = Hub(repo, "user")
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if how == "before-record": RunRecords.create = die
if how == "before-orders": local.let_go = die
run = Jobs(hub, runs_root=runs, store_url=url).train(
    hub.get_asset_by_id(AssetId(model)), branch="b", dataset=hub.get_asset_by_id(AssetId(dataset)),
    volume="16Mi", git_repo=code, git_revision="master")
print(run.supervisor.pid, flush=True)
die()
"""


@pytest.mark.parametrize("how", ["before-record", "before-orders", "after"])
def test_a_caller_killed(how: str, house: House) -> None:
    # The run must go on without its caller, or be over; a name without a run is only a name.
    house.make_code({"train.py": "import time; time.sleep(0.5)\n" + TRAIN})
    arguments = [
        house.repo.url,
        str(house.root / "runs"),
        house.model.id,
        house.dataset.id,
        str(house.code),
        how,
    ]
    done = subprocess.run(
        [sys.executable, "-c", CALLER, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    listed = house.jobs.list(house.model)
    if how == "before-record":
        assert listed == []
    elif how == "before-orders":
        wait_for_death(listed[0].supervisor)
        record = look(house, listed[0])
        assert record.status == "Failed"
        assert record.reason == "its supervisor died before the run began"
    else:
        assert house.wait(listed[0]).status == "Succeeded"
        assert house.head("b") is not None


def elsewhere(house: House, monkeypatch: pytest.MonkeyPatch, silence: float) -> Observer:
    """Return an observer on what it takes for another machine."""
    monkeypatch.setattr(ProcessIdentity, "is_here", lambda self: False)
    return Observer(house.hub, RunRecords(house.repo), silence_seconds=silence)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_paused_supervisor_declared_dead_commits_nothing(
    house: House, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It passed its last check before it was paused: only the fence of the branch keeps it from
    # committing for a run that everyone has been told is Failed.
    flag = odd("committing", "pause")
    run = house.train(TRAIN)
    wait_until(flag.exists)
    record = elsewhere(house, monkeypatch, -1.0).look(house.jobs.get(run.name))
    assert record.status == "Failed"
    assert record.reason is not None
    assert "another machine" in record.reason
    flag.unlink()
    monkeypatch.undo()
    wait_for_death(run.supervisor)
    assert house.head("b") is None
    assert house.jobs.get(run.name) == record


def test_a_paused_evaluation_declared_dead_records_nothing(
    house: House, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = odd("committing", "pause")
    run = house.evaluate(EVALUATE)
    wait_until(flag.exists)
    record = elsewhere(house, monkeypatch, -1.0).look(house.jobs.get(run.name))
    assert record.status == "Failed"
    flag.unlink()
    monkeypatch.undo()
    wait_for_death(run.supervisor)
    assert house.hub.list_evaluations(house.model) == []


def test_a_supervisor_that_committed_is_not_held_for_failed(
    house: House, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = odd("committed", "pause")
    run = house.train(TRAIN)
    wait_until(flag.exists)
    record = elsewhere(house, monkeypatch, -1.0).look(house.jobs.get(run.name))
    assert (record.status, record.commit) == ("Succeeded", house.head("b"))
    flag.unlink()
    monkeypatch.undo()
    wait_for_death(run.supervisor)
    assert house.jobs.get(run.name).status == "Succeeded"


def test_who_declares_it_dead_may_die_before_the_fence(
    house: House, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a Failed run's branch would stay open to its paused supervisor for ever.
    flag = odd("committing", "pause")
    run = house.train(TRAIN)
    wait_until(flag.exists)
    observer = elsewhere(house, monkeypatch, -1.0)

    def die(self: Observer, record: RunRecord) -> RunRecord:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Observer, "_fence", die)
        with pytest.raises(KeyboardInterrupt):
            observer.look(house.jobs.get(run.name))
    record = observer.look(RunRecords(house.repo).get(house.model.id, run.id))
    assert (record.status, record.fence_due) == ("Failed", False)
    flag.unlink()
    wait_for_death_of_pid(run.supervisor.pid)
    assert house.head("b") is None


def wait_for_death_of_pid(pid: int) -> None:
    wait_until(lambda: ProcessIdentity.find(pid) is None)


def test_heartbeats_tell_other_machines_that_it_lives(
    house: House, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = odd("executing", "pause")
    run = house.train(TRAIN)
    wait_until(flag.exists)
    observer = elsewhere(house, monkeypatch, 60.0)
    assert observer.look(house.jobs.get(run.name)).status == "Running"
    flag.unlink()
    monkeypatch.undo()
    assert house.wait(run).status == "Succeeded"


def test_a_supervisor_of_another_run_does_nothing(house: House) -> None:
    # A record that names another supervisor is not this one's to carry out.
    run = house.train("import time; time.sleep(30)")
    orders = {
        "store_url": house.repo.url,
        "cache_root": None,
        "user": "user",
        "model": house.model.id,
        "secret_url": None,
    }
    stranger = subprocess.run(
        [sys.executable, "-m", "ahstore.jobs.running.supervisor", run.id],
        input=json.dumps(orders),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert (stranger.stdout, stranger.stderr) == ("", "")
    assert house.jobs.get(run.name).status in ("Pending", "Running")
    assert house.jobs.stop(run).status == "Stopped"


def test_a_run_whose_record_is_not_written_never_begins(house: House, tmp_path: Path) -> None:
    # It would train for a record that nobody has.
    began: list[Job] = []

    def announce(job: Job) -> None:
        began.append(job)
        raise KeyboardInterrupt

    request = JobRequest("one", ("touch", str(tmp_path / "began")), str(tmp_path / "log"))
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(os.environ, lambda: 0).submit(request, announce)
    assert began[0].process is not None
    wait_for_death(began[0].process)
    assert not (tmp_path / "began").exists()
