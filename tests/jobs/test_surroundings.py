"""What a run's record says of interpreter, packages, machine and how the code ended."""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path

from ahstore.jobs.running.surroundings import Inspection, describe
from tests.jobs.conftest import House

BIG = """
import os, time
ballast = bytearray(200 << 20)
time.sleep(1.2)
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "model"), "w").write("m" * 5000)
"""


def test_a_run_records_what_it_ran_on(house: House) -> None:
    done = house.wait(house.train(BIG, params={"seed": 7, "rate": 0.1}))
    assert done.status == "Succeeded", house.log(done)
    environment = done.environment
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    packages = environment["packages"]
    assert isinstance(packages, dict)
    assert packages["msgpack"] == metadata.version("msgpack")
    assert environment["seeds"] == {"seed": 7}
    assert environment["engine"] == "local"
    assert environment["cpus"] == len(os.sched_getaffinity(0))
    outcome = done.outcome
    assert (outcome["exit_status"], outcome["ended_by"]) == (0, "exit")
    assert outcome["bytes_in"] == len(b"images" + b"labels")
    made = house.files(done.commit)
    made.pop("asset-hub.metadata")
    assert outcome["bytes_out"] == sum(map(len, made.values()))
    assert 200 << 20 < int(str(outcome["peak_memory_bytes"])) < 400 << 20
    assert done.commit is not None
    document = json.loads(house.files(done.commit)["asset-hub.metadata"])
    line = " ".join(f"{name}=={version}" for name, version in packages.items())
    assert document["environment"] == {**environment, "packages": line}
    for name in ("peak_memory_bytes", "bytes_in", "bytes_out"):
        assert document["outcome"][name] == outcome[name]


def test_a_run_that_fails_records_how(house: House) -> None:
    done = house.wait(house.train("import sys; sys.exit(3)"))
    assert (done.status, done.outcome["exit_status"]) == ("Failed", 3)
    assert done.environment["python"]


def test_an_interpreter_that_does_not_tell_is_no_reason_to_fail(tmp_path: Path) -> None:
    quiet = tmp_path / "python"
    quiet.write_text("#!/bin/sh\necho nonsense\n")
    quiet.chmod(0o700)
    for program in (str(quiet), "/nowhere/python", "/bin/false"):
        found = Inspection(program, {}, str(tmp_path)).result()
        assert found == {}
        assert describe(found, {}, {})["packages"] == {}


def test_only_numbers_of_the_environment_are_kept() -> None:
    given = {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "secret", "PYTHONHASHSEED": "random"}
    found = describe({}, given, {"Seed": 3, "seed_file": "secret", "seeds": 1 << 80})
    assert (found["threads"], found["seeds"]) == ({"OMP_NUM_THREADS": "4"}, {"Seed": 3})
    assert "secret" not in json.dumps(found)
