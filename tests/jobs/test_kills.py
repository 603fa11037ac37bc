"""The matrix of kills: who dies (caller, supervisor, user's process) × when × in which kind of run.

Whatever is killed, and whenever: within seconds the run is over and says what became of it; what it
published is there whole, or nothing of it is; nothing of it is left running; the store is sound;
and the same again succeeds. Kills of the engines are with the engines' tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ahstore.hub.hub import Hub
from ahstore.ids import CommitId
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.records import RunRecord
from ahstore.jobs.running import spawn
from ahstore.jobs.running.processes import leftovers
from ahstore.upkeep.fsck import check
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.jobs.conftest import FOLDER, House
from tests.jobs.repositories import make_repository

ROOT = Path(__file__).parents[2]
KINDS = ("train", "evaluate", "rerun", "queued", "sweep")
SWEEP = 3

# What the three may die at. A phase is where one step of the supervisor ends and the next begins;
# "during" is covered by its writes, each of them, in the long form.
BEFORE_PUBLICATION = ("claimed", "code", "environment", "inputs", "executing", "ended", "before-committing", "committing")  # fmt: skip
AFTER_PUBLICATION = ("committed", "closing")
CALLER = ("before-spawn", "before-name", "before-record", "before-orders", "after")
PROCESS = ("first line", "half written", "all written")

SHORT = {
    ("supervisor", "evaluate", "before-committing"), ("supervisor", "evaluate", "closing"),
    ("supervisor", "rerun", "ended"),
    ("supervisor", "rerun", "committing"), ("supervisor", "rerun", "committed"),
    ("supervisor", "queued", "queued"), ("supervisor", "queued", "claimed"),
    ("supervisor", "sweep", "executing"), ("caller", "evaluate", "before-record"),
    ("caller", "rerun", "before-orders"),
    ("caller", "queued", "after"), ("caller", "sweep", "after"),
    ("process", "train", "half written"), ("process", "evaluate", "all written"),
    ("process", "rerun", "first line"),
}  # fmt: skip
"""What the suite does each time; test_deaths.py has all phases of a training."""


def cases(victim: str, steps: tuple[str, ...]) -> list[Any]:
    matrix = [(kind, step) for kind in KINDS for step in steps]
    if victim == "supervisor":
        matrix.append(("queued", "queued"))
    return [
        pytest.param(kind, step, marks=() if (victim, kind, step) in SHORT else pytest.mark.long)
        for kind, step in matrix
    ]


CODE = """
import os, signal, sys, time
from pathlib import Path
order = Path({order!r})
said = order.read_text() if order.exists() else ""
def here(step):
    if said == step:
        os.kill(os.getpid(), signal.SIGKILL)
here("first line")
while said == "wait" and order.exists():
    time.sleep(0.02)
out = Path(os.environ.get("AH_OUTPUT_DIR") or os.environ["AH_RESULTS_DIR"])
if "AH_OUTPUT_DIR" in os.environ:
    (out / "model").write_text("weights of " + os.environ["AH_PARAMS"])
    here("half written")
    (out / "vocabulary").write_text("words")
else:
    (out / "metric.json").write_text('{{"accuracy": 0.5}}')
    here("half written")
    (out / "other.json").write_text("1")
here("all written")
"""


@dataclass
class Scene:
    """A store with a trained model, and runs of a kind in it."""

    house: House
    order: Path

    def start(self, kind: str) -> list[RunRecord]:
        house = self.house
        if kind == "evaluate":
            given = self._given(house)
            return [house.jobs.evaluate(house.model, "base", **given)]
        if kind == "rerun":
            return [house.jobs.rerun(house.model, "base")]
        if kind == "queued":
            return [house.train(at_once=1)]
        if kind == "sweep":
            return [self.train_point(number) for number in range(SWEEP)]
        return [house.train()]

    def train_point(self, number: int) -> RunRecord:
        return self.house.train(branch=f"b-n-{number}", params={"n": number}, at_once=2)

    def _given(self, house: House) -> dict[str, Any]:
        return {
            "dataset": house.dataset, "volume": "16Mi",
            "git_repo": str(house.code), "git_revision": "master",
        }  # fmt: skip

    def settled(self, run: RunRecord) -> RunRecord:
        """Return the run's record once its supervisor is gone, and make sure of what it says."""
        wait_until(lambda: not run.supervisor.is_alive())
        began = time.monotonic()
        record = self.house.jobs.get(run.name)
        assert time.monotonic() - began < 5
        assert record.status in ("Succeeded", "Failed"), record
        assert record.ended is not None
        assert not record.fence_due
        assert leftovers(run.id) == []
        if record.status == "Failed":
            assert record.reason
            assert (record.commit, record.evaluation) == (None, None)
        self._check_published(record)
        return record

    def _check_published(self, record: RunRecord) -> None:
        house, spec = self.house, record.spec
        succeeded = record.status == "Succeeded"
        mine = [e.id for e in house.hub.list_evaluations(house.model) if e.run == record.id]
        assert mine == ([record.evaluation] if succeeded and spec.type != "train" else [])
        made = [
            commit
            for ref in Refs(house.repo).list(house.model.id)
            for commit in self._history(ref.commit)
            if house.repo.read_commit(commit).metadata.get("run") == record.id
        ]
        if succeeded and spec.type == "train":
            assert made == [record.commit] == [house.head(spec.branch or "")]
            assert set(house.files(made[0])) == {"model", "vocabulary", "asset-hub.metadata"}
        else:
            assert made == []

    def _history(self, commit: CommitId) -> Iterator[CommitId]:
        while True:
            yield commit
            parents = self.house.repo.read_commit(commit).parents
            if not parents:
                return
            commit = parents[0]

    def is_sound(self) -> None:
        """No run is under way, and nothing in the store is damaged."""
        runs = self.house.jobs.list(self.house.model)
        assert all(run.is_over for run in runs), runs
        report = check(self.house.repo)
        assert not report.damages, report

    def again(self, kind: str) -> None:
        """What was killed can be done once more, whatever was left of it."""
        for run in self.start(kind):
            record = self.house.wait(run)
            # A training whose outputs are on the branch already has nothing to commit.
            said = (record.reason or "").startswith("the outputs are what branch")
            assert record.status == "Succeeded" or said, record


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a trained version ``base``, its code, and a place for orders to the code."""
    root = tmp_path_factory.mktemp("trained")
    code = CODE.format(order=str(root / "order"))
    make_repository(root / "code", {"train.py": code, "evaluate.py": code})
    shutil.copytree(template, root / "store")
    house = open_house(root, root / "store", root / "code")
    record = house.wait(house.train(branch="base"))
    assert record.status == "Succeeded", house.log(record)
    house.repo.close()
    return root


def open_house(root: Path, store: Path, code: Path) -> House:
    url = f"file://{store}"
    repo = Repository.open(url, cache_root=str(root / "cache"))
    hub = Hub(repo, "user")
    model = hub.get_asset(hub.get_folder("model", FOLDER).id, "mnist-cnn-keras")
    dataset = hub.get_asset(hub.get_folder("dataset", FOLDER).id, "mnist")
    jobs = Jobs(hub, runs_root=str(root / "runs"), store_url=url)
    return House(root, repo, hub, jobs, model, dataset, code)


@pytest.fixture
def scene(trained: Path, tmp_path: Path) -> Iterator[Scene]:
    shutil.copytree(trained / "store", tmp_path / "store")
    house = open_house(tmp_path, tmp_path / "store", trained / "code")
    yield Scene(house, trained / "order")
    (trained / "order").unlink(missing_ok=True)
    house.repo.close()


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the supervisors that are started from now on odd ones; without arguments usual ones."""

    def make(**how: str) -> None:
        module = "tests.jobs.odd_supervisor" if how else "ahstore.jobs.running.supervisor"
        monkeypatch.setattr(spawn, "SUPERVISOR_MODULE", module)
        for name in ("PHASE", "HOW", "WRITE", "SIDE", "FLAG"):
            monkeypatch.delenv(f"ODD_{name}", raising=False)
        for name, value in how.items():
            monkeypatch.setenv(f"ODD_{name}", value)

    return make


@pytest.mark.parametrize(
    ("kind", "step"), cases("supervisor", (*BEFORE_PUBLICATION, *AFTER_PUBLICATION))
)
def test_the_supervisor_is_killed(
    kind: str, step: str, scene: Scene, odd: Callable[..., None]
) -> None:
    others: list[RunRecord] = []
    if step == "queued":
        scene.order.write_text("wait")
        others += scene.start("queued")
        wait_until(lambda: scene.house.jobs.get(others[0].name).status == "Running")
    odd(PHASE=step, HOW="die")
    if kind == "sweep":
        victim = scene.train_point(0)
        odd()
        others += [scene.train_point(number) for number in range(1, SWEEP)]
    else:
        [victim] = scene.start(kind)
        odd()
    record = scene.settled(victim)
    assert record.status == ("Succeeded" if step in AFTER_PUBLICATION else "Failed")
    scene.order.unlink(missing_ok=True)
    for other in others:
        assert scene.house.wait(other).status == "Succeeded"
    scene.is_sound()
    scene.again(kind)


@pytest.mark.parametrize(("kind", "step"), cases("process", PROCESS))
def test_the_users_process_is_killed(kind: str, step: str, scene: Scene) -> None:
    scene.order.write_text(step)
    for run in scene.start(kind):
        record = scene.house.wait(run)
        assert record.status == "Failed"
        assert "was ended by SIGKILL" in (record.reason or "")
        scene.settled(run)
    scene.order.unlink()
    scene.is_sound()
    scene.again(kind)


CALLER_CODE = """
import os, signal, sys
from pathlib import Path
from ahstore.jobs.engines import local
from ahstore.jobs.records import RunRecords
from tests.jobs import test_kills as kills
root, store, code, kind, step = sys.argv[1:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
owner, name = {
    "before-spawn": (local.LocalEngine, "submit"), "before-name": (RunRecords, "reserve_name"),
    "before-record": (RunRecords, "create"), "before-orders": (local, "let_go"),
}.get(step, (None, None))
if owner is not None:
    setattr(owner, name, die)
scene = kills.Scene(kills.open_house(Path(root), Path(store), Path(code)), Path(root, "none"))
if kind == "sweep":
    scene.train_point(0)
else:
    scene.start(kind)
die()
"""


@pytest.mark.parametrize(("kind", "step"), cases("caller", CALLER))
def test_the_caller_is_killed(kind: str, step: str, scene: Scene) -> None:
    # Of a sweep the caller dies with its first run; what it had not come to is not there.
    house = scene.house
    places = [house.root, house.root / "store", house.code]
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", CALLER_CODE, *map(str, places), kind, step],
        env={**os.environ, "PYTHONPATH": path}, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    base = house.head("base")
    runs = [run for run in house.jobs.list(house.model) if run.commit != base]
    assert len(runs) == (0 if step in ("before-spawn", "before-name", "before-record") else 1)
    for run in runs:
        if step == "after":
            assert house.wait(run).status == "Succeeded"
        record = scene.settled(run)
        if step == "before-orders":
            assert record.reason == "its supervisor died before the run began"
    wait_until(lambda: not supervisors_of(house.root))
    scene.is_sound()
    scene.again(kind)


def supervisors_of(root: Path) -> list[int]:
    """Return the supervisors that still wait for a run of which the folder is below ``root``."""
    ids = {path.name.encode() for path in (root / "runs").glob("*-*")}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if ids & set(words):
            found.append(int(folder.name))
    return found


@pytest.mark.long
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("kind", ["train", "evaluate", "rerun"])
def test_the_supervisor_is_killed_at_each_of_its_writes(
    kind: str, side: str, trained: Path, tmp_path: Path, odd: Callable[..., None]
) -> None:
    ends = set()
    for number in count():
        root = tmp_path / str(number)
        shutil.copytree(trained / "store", root / "store")
        scene = Scene(open_house(root, root / "store", trained / "code"), trained / "order")
        flag = root / "flag"
        odd(WRITE=str(number), SIDE=side, FLAG=str(flag))
        [run] = scene.start(kind)
        odd()
        ends.add(scene.settled(run).status)
        scene.is_sound()
        scene.house.repo.close()
        if not flag.exists():
            break
        assert number < 200
    # Else it died nowhere, or only where nothing is decided.
    assert number > 8
    assert ends == {"Succeeded", "Failed"}


def test_the_matrix_is_whole() -> None:
    # A step of the supervisor that nobody thought of would be a step at which nobody was killed.
    told = set()
    for name in ("supervision", "attempt", "publication"):
        text = (ROOT / "ahstore" / "jobs" / "running" / f"{name}.py").read_text()
        told |= {line.partition('on_phase("')[2].partition('"')[0] for line in text.splitlines()}
    known = {*BEFORE_PUBLICATION, *AFTER_PUBLICATION, "queued"}
    # test_retries.py, test_reuse.py, engines/test_deaths.py
    elsewhere = {"back-off", "same", "begun"}
    assert told - {""} - elsewhere == known
    assert {(victim, kind) for victim, kind, _ in SHORT} >= {("supervisor", k) for k in KINDS[1:]}
