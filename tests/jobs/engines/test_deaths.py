"""Whatever of an engine's run dies, and whenever: one commit or none, and never Running for ever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ahstore.jobs.engines.asking import EngineDesk
from ahstore.jobs.engines.contract import Job, JobStatus
from ahstore.jobs.observer import Observer
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running import spawn
from ahstore.storage.process import ProcessIdentity
from ahstore.testing import engine_servers
from tests.jobs.conftest import House
from tests.jobs.engines.clusters import need_ray, need_slurm

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 120.0
COUNTING = """
import os, time
with open({count!r}, "a") as file:
    file.write("one\\n")
while os.path.exists({flag!r}):
    time.sleep(0.05)
open(os.environ["AH_OUTPUT_DIR"] + "/model", "w").write("new")
"""
BEFORE = ["claimed", "code", "inputs", "executing", "ended", "before-committing", "committing"]
AFTER = ["committed", "closing"]
QUICK = ("begun", "executing", "committing", "committed")


def long_unless(phases: list[str]) -> list[Any]:
    return [
        phase if phase in QUICK else pytest.param(phase, marks=pytest.mark.long) for phase in phases
    ]


def wait_until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Scene:
    """A run on Slurm, of which the test counts how often its code began."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.count = house.root / "count"
        self.flag = house.root / "goes-on"
        self._monkeypatch = monkeypatch
        self._passed: list[str] = []
        self._hurried = False

    def odd(self, phase: str, how: str) -> Path:
        """Have workers die or pause at a phase; the file's removal lets them go on."""
        self._monkeypatch.setattr(spawn, "SUPERVISOR_MODULE", "tests.jobs.odd_supervisor")
        flag = self.house.root / "odd"
        for name, value in {"PHASE": phase, "HOW": how, "FLAG": str(flag)}.items():
            self._monkeypatch.setenv(f"ODD_{name}", value)
            self._passed.append(f"ODD_{name}")
        return flag

    def train(self, **options: str) -> RunRecord:
        given = {
            "runs-dir": str(self.house.root / "node"),
            "cache-dir": str(self.house.root / "node-cache"),
            "pass-env": ",".join(self._passed),
        }
        code = COUNTING.format(count=str(self.count), flag=str(self.flag))
        return self.house.train(code, engine="slurm", engine_options={**given, **options})

    def began(self) -> int:
        return len(self.count.read_text().splitlines()) if self.count.exists() else 0

    def now(self, run: RunRecord) -> RunRecord:
        return RunRecords(self.house.repo).get(self.house.model.id, run.id)

    def job_id(self, run: RunRecord) -> str:
        job = self.now(run).job
        assert job is not None
        return job.id

    def state_of_job(self, run: RunRecord) -> str:
        shown = command("scontrol", "show", "job", "-o", self.job_id(run))
        return shown.partition("JobState=")[2].split()[0]

    def has_ended_again(self, run: RunRecord) -> bool:
        """Tell whether a requeued job has; Slurm would have it wait for two minutes.

        What starts in the second in which it was stopped slurmd takes for what it has just killed,
        and fails it ("credential revoked"): so a little later.
        """
        state = self.state_of_job(run)
        if state == "PENDING" and not self._hurried:
            command("scontrol", "update", f"JobId={self.job_id(run)}", "StartTime=now+3")
            self._hurried = True
        assert state != "FAILED", "it failed when it was started again"
        return state == "COMPLETED"


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def scene(house: House, slurm: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(house, monkeypatch)


@pytest.mark.parametrize("phase", long_unless(["begun", *BEFORE]))
def test_a_worker_killed_before_it_commits(phase: str, scene: Scene) -> None:
    scene.odd(phase, "die")
    done = scene.house.wait(scene.train())
    assert done.status == "Failed"
    assert done.reason is not None
    expected = "its job" if phase == "begun" else "its supervisor died"
    assert done.reason.startswith(expected), done.reason
    assert (done.commit, done.fence_due) == (None, False)
    assert scene.house.head("b") is None
    wait_until(lambda: scene.state_of_job(done) == "FAILED")


@pytest.mark.parametrize("phase", long_unless(AFTER))
def test_a_worker_killed_after_it_committed(phase: str, scene: Scene) -> None:
    scene.odd(phase, "die")
    done = scene.house.wait(scene.train())
    assert (done.status, done.reason) == ("Succeeded", None)
    assert done.commit == scene.house.head("b")
    assert done.commit is not None


def test_a_run_stopped_while_it_waits(scene: Scene) -> None:
    # A run that waits for days must be stopped at once, and never begin.
    run = scene.train(begin="now+1hour")
    assert scene.house.jobs.get(run.name).status == "Pending"
    stopped = scene.house.jobs.stop(run)
    assert (stopped.status, stopped.stop_by) == ("Stopped", "user")
    wait_until(lambda: scene.state_of_job(run) == "CANCELLED")
    assert scene.house.jobs.get(run.name) == stopped
    assert scene.began() == 0


def test_a_run_stopped_where_the_engine_can_not_be_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The job begins all the same, and has to find that its run is over.
    run = scene.train(begin="now+1hour")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PATH", "/nowhere")
        assert scene.house.jobs.stop(run).status == "Stopped"
    command("scontrol", "update", f"JobId={scene.job_id(run)}", "StartTime=now")
    wait_until(lambda: scene.state_of_job(run) == "COMPLETED")
    assert scene.house.jobs.get(run.name).status == "Stopped"
    assert scene.began() == 0
    assert scene.house.head("b") is None


def test_a_job_cancelled_by_others_while_it_waits(scene: Scene) -> None:
    run = scene.train(begin="now+1hour")
    command("scancel", scene.job_id(run))
    done = scene.house.wait(run)
    assert done.status == "Failed"
    assert done.reason is not None
    assert done.reason.startswith(f"its job {done.job.id} of slurm ended (CANCELLED")
    assert "before the run began" in done.reason


def test_a_job_cancelled_by_others_while_it_runs(scene: Scene) -> None:
    scene.flag.touch()
    run = scene.train()
    wait_until(scene.began)
    command("scancel", scene.job_id(run))
    done = scene.house.wait(run)
    assert (done.status, done.commit) == ("Failed", None)
    assert scene.house.head("b") is None


def test_a_job_started_again_does_not_run_twice(scene: Scene) -> None:
    # Slurm starts jobs of a failed node again: two workers would publish for one run.
    scene.flag.touch()
    run = scene.train(requeue="")
    wait_until(scene.began)
    first = scene.now(run).supervisor
    command("scontrol", "requeue", scene.job_id(run))
    wait_until(lambda: not first.is_alive())
    scene.flag.unlink()
    wait_until(lambda: scene.has_ended_again(run))
    done = scene.house.wait(run)
    assert done.status == "Failed"
    assert scene.began() == 1
    assert scene.house.head("b") is None


def test_a_second_worker_beside_the_first_does_nothing(scene: Scene) -> None:
    # As after a lost answer, or while a node that was given up lives on.
    scene.flag.touch()
    run = scene.train()
    wait_until(scene.began)
    orders = spawn.Orders(
        scene.house.repo.url, str(scene.house.root / "second-cache"), "user", scene.house.model.id,
        None, is_elsewhere=True, runs_root=str(scene.house.root / "second"),
    )  # fmt: skip
    second = subprocess.run(
        [sys.executable, "-m", "ahstore.jobs.running.supervisor", run.id, orders.to_json()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True, text=True, timeout=WAIT_SECONDS, check=True,
    )  # fmt: skip
    assert "is running: nothing is left to do here" in second.stderr
    scene.flag.unlink()
    done = scene.house.wait(run)
    assert done.status == "Succeeded", done.reason
    assert scene.began() == 1
    assert not (scene.house.root / "second" / run.id).exists()


CALLER = """
import os, signal, sys
from ahstore.hub.hub import Hub
from ahstore.ids import AssetId
from ahstore.jobs.engines.slurm import SlurmEngine
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.records import RunRecords
from ahstore.versions.repository import Repository
url, runs, model, dataset, code, how = sys.argv[1:]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
call = SlurmEngine._call
def watched(self, argv, **more):
    submits = argv[0] == "sbatch" and "--parsable" in argv
    if submits and how == "before-job": die()
    done = call(self, argv, **more)
    if submits and how == "before-id": die()
    return done
SlurmEngine._call = watched
if how == "before-record": RunRecords.create = die
repo = Repository.open(url)
hub = Hub(repo, "user")
Jobs(hub, runs_root=runs, store_url=url).train(
    hub.get_asset_by_id(AssetId(model)), branch="b", dataset=hub.get_asset_by_id(AssetId(dataset)),
    volume="16Mi", git_repo=code, git_revision="master", engine="slurm",
    engine_options={"runs-dir": runs + "-node", "cache-dir": runs + "-cache"})
die()
"""


@pytest.mark.parametrize("how", ["before-record", "before-job", "before-id", "after"])
def test_a_submitter_killed(how: str, scene: Scene) -> None:
    house = scene.house
    scene.flag.touch()
    house.make_code({"train.py": COUNTING.format(count=str(scene.count), flag=str(scene.flag))})
    arguments = [
        house.repo.url, str(house.root / "runs"), house.model.id, house.dataset.id,
        str(house.code), how,
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CALLER, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    listed = house.jobs.list(house.model)
    if how == "before-record":
        assert listed == []
        return
    if how == "before-job":
        assert listed[0].status == "Failed"
        assert listed[0].reason == "whoever submitted it died before the run began"
        return
    scene.flag.unlink()
    record = house.wait(listed[0])
    assert record.status == "Succeeded", record.reason
    assert scene.began() == 1
    assert house.head("b") == record.commit


class Answers(EngineDesk):
    """An engine that says of every job what the test wants."""

    def __init__(self, status: JobStatus | None) -> None:
        super().__init__()
        self.answer = status

    def status(self, job: Job) -> JobStatus | None:
        return self.answer


def test_a_paused_worker_whose_job_is_called_ended_commits_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A node that is cut off goes on, and what its engine gave up for dead would commit.
    pause = scene.odd("committing", "pause")
    run = scene.train()
    wait_until(pause.exists)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(ProcessIdentity, "is_here", lambda self: False)
        records = RunRecords(scene.house.repo)
        for answer in (None, JobStatus("running"), JobStatus("suspended"), JobStatus("lost")):
            observer = Observer(scene.house.hub, records, desk=Answers(answer))
            assert observer.look(scene.now(run)).status == "Running", answer
        ended = Answers(JobStatus("ended", detail="NODE_FAIL"))
        record = Observer(scene.house.hub, records, desk=ended).look(scene.now(run))
    assert record.status == "Failed"
    assert record.reason is not None
    assert "ended (NODE_FAIL) while it committed" in record.reason
    worker = record.supervisor
    pause.unlink()
    wait_until(lambda: not worker.is_alive())
    assert scene.house.head("b") is None
    assert scene.house.jobs.get(run.name) == record


def test_silence_of_an_engine_ends_nothing(scene: Scene) -> None:
    run = scene.train(begin="now+1hour")
    records = RunRecords(scene.house.repo)
    for answer in (None, JobStatus("pending"), JobStatus("running"), JobStatus("suspended")):
        observer = Observer(scene.house.hub, records, silence_seconds=-1.0, desk=Answers(answer))
        assert observer.look(scene.now(run)).status == "Pending", answer
    assert scene.house.jobs.stop(run).status == "Stopped"


@pytest.mark.parametrize("daemon", ["slurmd", "slurmctld"])
def test_a_daemon_of_slurm_killed_while_the_run_goes_on(
    daemon: str, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker lives: its run must not be taken for dead, and ends well.
    need_slurm()
    with engine_servers.running("slurm") as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.variables["SLURM_CONF"])
        scene = Scene(house, monkeypatch)
        scene.flag.touch()
        run = scene.train()
        wait_until(scene.began)
        os.kill(int(Path(cluster.folder, f"{daemon}.number").read_text()), signal.SIGKILL)
        for _ in range(5):
            assert house.jobs.get(run.name).status == "Running"
        scene.flag.unlink()
        done = house.wait(run)
    assert done.status == "Succeeded", done.reason
    assert (scene.began(), house.head("b")) == (1, done.commit)


@pytest.mark.long
@pytest.mark.parametrize("when", ["waits", "runs"])
def test_a_ray_head_killed(when: str, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = need_ray()
    with engine_servers.running("ray", programs) as cluster:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.variables["RAY_API_SERVER_ADDRESS"])
        flag = house.root / "flag"
        code = f"open({str(flag)!r}, 'w').close(); import time; time.sleep(300)"
        options = {
            "python": sys.executable,
            "runs-dir": str(house.root / "node"),
            "cache-dir": str(house.root / "node-cache"),
        }
        cpus = 4096 if when == "waits" else None
        run = house.train(code, engine="ray", engine_options=options, cpus=cpus)
        if when == "runs":
            house.wait_for(run, flag)
        else:
            assert house.jobs.get(run.name).status == "Pending"
    record = house.jobs.get(run.name)
    if when == "waits":
        # Nobody answers: that is no end. A stop is final all the same.
        assert record.status == "Pending"
        assert house.jobs.stop(record).status == "Stopped"
    else:
        # Ray's own watcher kills the job's processes when its supervisor has gone.
        wait_until(lambda: not record.supervisor.is_alive())
        done = house.wait(record)
        assert done.status == "Failed"
    assert house.head("b") is None
    shutil.rmtree(house.root / "node", ignore_errors=True)
