"""What a run asks for of this machine, and is held to."""

from __future__ import annotations

import json
import os

import pytest

from ahstore.errors import InvalidInputError
from ahstore.jobs.resources import parse_duration
from tests.jobs.conftest import House


def test_durations() -> None:
    for text, seconds in {
        "90": 90.0, "1.5": 1.5, "45s": 45.0, "1h30m": 5400.0, "2d": 172800.0,
        "00:10:00": 600.0, "1-12:00:00": 129600.0,
    }.items():  # fmt: skip
        assert parse_duration(text) == seconds
    for text in ("", "x", "1h30", "10:00", "-1", "1 h"):
        with pytest.raises(InvalidInputError, match="invalid time"):
            parse_duration(text)


def test_processors_and_accelerators(house: House) -> None:
    code = """
import json, os
found = [len(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"], os.environ["CUDA_VISIBLE_DEVICES"]]
open(os.environ["AH_OUTPUT_DIR"] + "/found", "w").write(json.dumps(found))
"""
    done = house.wait(house.train(code, cpus=1, gpus=0))
    assert done.status == "Succeeded", done.reason
    assert done.commit is not None
    assert json.loads(house.files(done.commit)["found"]) == [1, "1", ""]
    assert done.spec.resources.to_value() == {"cpus": 1, "gpus": 0}


def test_a_run_that_outgrows_its_memory_or_its_time(house: House) -> None:
    code = "import time; kept = bytearray(b'x') * (200 << 20); time.sleep(60)"
    done = house.wait(house.train(code, memory="100Mi"))
    assert (done.status, done.outcome["ended_by"]) == ("Failed", "memory")
    assert done.reason == "train.py outgrew its memory of 100Mi: give the run more"
    # Trying again gives no more time.
    done = house.wait(house.train("import time; time.sleep(60)", time="2s", retries=3))
    assert (done.status, done.reason) == ("Failed", "the run did not end within 2 s")
    assert done.attempts == ()
    assert house.head("b") is None


def test_more_than_this_machine_has(house: House) -> None:
    house.make_code({"train.py": ""})
    for asked in ({"cpus": 1 << 16}, {"gpus": 4096}, {"memory": 1 << 50}):
        with pytest.raises(InvalidInputError, match="this machine has"):
            house.train(**asked)
    for wrong in ({"cpus": 0}, {"memory": "12 parsecs"}, {"time": "-1"}):
        with pytest.raises(InvalidInputError):
            house.train(**wrong)
    assert house.jobs.list(house.model) == []
    assert not os.path.isdir(house.root / "runs") or os.listdir(house.root / "runs") == []
