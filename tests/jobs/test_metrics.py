"""Metrics: logged by a run's code, followed while it runs, kept with what it made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ahstore import run as ah_run
from ahstore.ids import EntityId, RunId, new_entity_id
from ahstore.jobs.logs import METRICS, LogReader, LogWriter
from ahstore.jobs.metrics import MetricsTail, parse_points
from ahstore.jobs.running.outputs import read_metrics
from ahstore.storage.memory import MemoryStorage
from tests.jobs.conftest import House

TRAIN = """
import os, sys, time
from ahstore import run
for epoch in range(3):
    run.log(step=epoch, loss=1 / (epoch + 1), rate=run.params()["rate"])
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "model"), "w").write("m")
"""
EVALUATE = """
from ahstore import run
run.log(step=0, accuracy=0.25)
run.log(step=1, accuracy=0.5, loss=float("nan"))
"""


class Follower:
    """A metrics file with its tail, and what came of it in the store."""

    def __init__(self, path: Path) -> None:
        self.path, self.storage = path, MemoryStorage()
        self.run = RunId(EntityId(new_entity_id()))
        self.now = 0.0
        writer = LogWriter(self.storage, self.run, stream=METRICS, clock=lambda: self.now)
        self.tail = MetricsTail(str(path), writer)

    def tick(self) -> list[dict]:
        for _ in range(2):  # what comes together with what is due is due with the next
            self.now += 1000
            self.tail.tick()
        return self.points()

    def points(self) -> list[dict]:
        reader = LogReader(self.storage, self.run, stream=METRICS)
        return list(parse_points([*reader.new_lines(), *reader.rest()]))


def test_a_training_logs_metrics(house: House) -> None:
    done = house.wait(house.train(TRAIN, params={"rate": 0.1}))
    assert done.status == "Succeeded", house.log(done)
    points = list(house.jobs.metrics(done))
    assert [(p["step"], p["loss"], p["rate"]) for p in points] == [
        (0, 1.0, 0.1), (1, 0.5, 0.1), (2, 1 / 3, 0.1)
    ]  # fmt: skip
    assert done.commit is not None
    metadata = json.loads(house.files(done.commit)["asset-hub.metadata"])
    assert metadata["metrics"] == {"step": 2, "loss": 1 / 3, "rate": 0.1}
    house.jobs.delete(done)
    assert list(house.repo.storage.list("logs/")) == []


def test_an_evaluation_that_logs_has_its_last_values_as_result(house: House) -> None:
    done = house.wait(house.evaluate(EVALUATE))
    assert done.status == "Succeeded", house.log(done)
    [evaluation] = house.hub.list_evaluations(house.model)
    metric = json.loads(evaluation.results["metric"])
    assert metric == {"step": 1, "accuracy": 0.5, "loss": "nan"}


def test_metrics_are_seen_while_the_code_runs(house: House) -> None:
    gate = house.root / "gate"
    code = f"""
import os, time
from ahstore import run
run.log(step=1, loss=2)
while not os.path.exists({str(gate)!r}):
    time.sleep(0.02)
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "model"), "w").write("m")
"""
    started = house.train(code)
    first = next(house.jobs.metrics(started, follow=True))
    assert (first["step"], first["loss"]) == (1, 2)
    assert house.jobs.get(started.name).status == "Running"
    gate.touch()
    assert house.wait(started).status == "Succeeded"


def test_the_helper_needs_no_store_and_no_other_package(tmp_path: Path) -> None:
    code = """
import sys
from ahstore import run
before = set(sys.modules)
run.log(step=1, loss=0.5)
heavy = {"lmdb", "msgpack", "fsspec", "click", "ahstore.api"} & set(sys.modules)
assert not heavy, heavy
"""
    root = str(Path(ah_run.__file__).parents[1])
    environment = {"PYTHONPATH": root, "PATH": os.environ["PATH"]}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == "step=1 loss=0.5\n"


@pytest.mark.parametrize(
    ("values", "error"),
    [({}, ValueError), ({"time": 1}, ValueError), ({"x": "1"}, TypeError), ({"x": True}, TypeError),
     ({"x" * 70_000: 1.0}, ValueError)],
)  # fmt: skip
def test_what_is_no_metric_is_refused(
    values: dict, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AH_METRICS_FILE", str(tmp_path / "m"))
    with pytest.raises(error):
        ah_run.log(**values)
    assert not (tmp_path / "m").exists()


def test_lines_are_taken_whole_and_once(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "m")
    assert follower.tick() == []
    with open(follower.path, "wb", buffering=0) as file:
        file.write(b'{"a": 1}\n{"a"')
        assert follower.tick() == [{"a": 1}]
        file.write(b': 2}\nnoise\n[1]\n{"a": [1]}\n{"a": 3}')
        assert follower.tick() == [{"a": 1}, {"a": 2}]
    follower.tail.close()
    assert follower.points() == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "m")
    follower.path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    assert follower.tick() == [{"a": 1}, {"a": 2}]
    follower.path.write_bytes(b'{"a": 9}\n')
    assert follower.tick() == [{"a": 1}, {"a": 2}, {"a": 9}]


def test_neither_links_nor_pipes_are_followed(tmp_path: Path) -> None:
    # A link would copy a file of the user's into the store; a pipe would hang the supervisor.
    secret = tmp_path / "secret"
    secret.write_text('{"secret": 1}\n')
    follower = Follower(tmp_path / "m")
    follower.path.symlink_to(secret)
    assert follower.tick() == []
    follower.path.unlink()
    os.mkfifo(follower.path)
    assert follower.tick() == []


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"time": 1795388582.5, "accuracy": 0.5}\n', {"accuracy": 0.5}),
        ('{"time": 12.5, "accuracy": 0.5}', {"time": 12.5, "accuracy": 0.5}),
        ('{"a": 1}\n{"b": 2}', {"a": 1, "b": 2}),
        ('{"a": 1}\n{"a": 3, "time": 5}\n', {"a": 3}),
        ('{\n "time": 1,\n "deep": {"b": [2]}\n}\n', {"time": 1, "deep": {"b": [2]}}),
        ("0.75\n", 0.75),
    ],
)
def test_what_a_metrics_file_says_in_the_end(text: str, read: object, tmp_path: Path) -> None:
    # The time of a single logged line would stand among the metrics of the model.
    (tmp_path / "metric.json").write_text(text)
    assert read_metrics(str(tmp_path)) == read
