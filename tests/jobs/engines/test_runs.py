"""Runs carried out by Slurm and by Ray, their store in S3: trained, evaluated, stopped, recorded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ahstore.errors import EngineError, InvalidInputError, UnsupportedError
from ahstore.testing.s3_servers import S3Server
from tests.jobs.conftest import House
from tests.jobs.repositories import make_repository

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
TRAIN = "import os; open(os.environ['AH_OUTPUT_DIR'] + '/model', 'w').write('new')"


def options(engine: str, house: House, **more: str) -> dict[str, Any]:
    """Return what sends a run to an engine whose nodes are this machine."""
    given = {"runs-dir": str(house.root / "node"), "cache-dir": str(house.root / "node-cache")}
    if engine == "ray":
        given["python"] = sys.executable
    return {"engine": engine, "engine_options": {**given, **more}}


ONE_OF_EACH = pytest.mark.parametrize("engine", ["slurm", "ray"], indirect=True)
"""In the short form too: of Ray, which takes its time, no more."""


@pytest.fixture(params=["slurm", pytest.param("ray", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    request.getfixturevalue(name)
    return name


class Ah:
    """The command line, as its user has it."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **variables,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ahstore", *arguments],
            env=self.environment, cwd=self.folder, text=True, capture_output=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_training_of_the_tutorial(engine: str, s3_url: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    shutil.copytree(EXAMPLES / "digits", tmp_path / "repository" / "digits")
    make_repository_of(tmp_path / "repository")
    make = EXAMPLES / "digits" / "make_dataset.py"
    subprocess.run([sys.executable, make, tmp_path / "data"], check=True)
    ah = Ah(tmp_path, {"AH_STORE": s3_url, "AH_USER": "user", "AH_ENGINE": engine})
    ah.environment["AH_ENGINE_OPTIONS"] = f"python={sys.executable}"
    model, data = "image-classification/mnist-cnn-keras", "image-classification/mnist"
    for kind, path in (("dataset", data), ("model", model)):
        ah("create", "folder", f"{kind}/image-classification")
        ah("create", kind, path)
    ah("commit", f"dataset/{data}", "-m", "Add data", "-a", "data/*")
    code = ["-d", data, "-v", "100Mi", "-r", str(tmp_path / "repository"), "-i", "master"]
    code += ["-s", "digits", "--cpus", "1", "--memory", "2Gi", "--time", "20m"]
    ah("train", model, "-b", "epoch-5", *code, "--wait")
    ah("train", model, "-b", "epoch-10", "-c", f"{model}:epoch-5", *code, "--wait")
    ah("evaluate", f"{model}:epoch-10", *code, "--wait")
    runs = json.loads(ah("ls", "workflow", f"model/{model}", "--json"))
    assert [run["status"] for run in runs] == ["Succeeded"] * 3
    assert {run["engine"] for run in runs} == {engine}
    assert {run["environment"]["engine"] for run in runs} == {engine}
    assert runs[0]["resources"] == {"cpus": 1, "memory": 2 << 30, "time": 1200.0}
    assert runs[0]["environment"]["threads"]["OMP_NUM_THREADS"] == "1"
    evaluations = json.loads(ah("ls", "evaluation", f"{model}:epoch-10", "--json"))
    assert json.loads(evaluations[0]["results"]["metric"])["accuracy"] > 0.8
    assert "epoch 5" in ah("logs", runs[0]["name"]) + ah("logs", runs[1]["name"])
    shown = ah("show", "workflow", runs[0]["name"])
    assert re.search(rf"ENGINE: +{engine}, job ", shown)


def make_repository_of(folder: Path) -> None:
    files = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shutil.rmtree(folder)
    make_repository(folder, files)


@ONE_OF_EACH
def test_secrets_on_the_way_stand_nowhere(
    engine: str, bucket_house: House, s3_environment: S3Server
) -> None:
    # What is submitted can be looked at by others who use the cluster.
    house = bucket_house
    secret = s3_environment.secret_key
    run = house.train(TRAIN, **options(engine, house))
    done = house.wait(run)
    assert done.status == "Succeeded", (done.reason, house.log(run))
    assert secret not in repr(done) + house.log(run)
    assert done.job is not None
    if engine == "slurm":
        shown = subprocess.run(
            ["scontrol", "show", "job", "-dd", done.job.id], capture_output=True, text=True
        ).stdout
        script = subprocess.run(
            ["scontrol", "write", "batch_script", done.job.id, "-"], capture_output=True, text=True
        ).stdout
    else:
        address = done.job.place["address"]
        with urllib.request.urlopen(f"{address}/api/jobs/{done.job.id}", timeout=30) as answer:
            shown = script = answer.read().decode()
    assert "supervisor" in script
    assert secret not in shown + script


def test_what_can_not_be_handed_on_is_refused(
    engine: str, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.make_code({"train.py": TRAIN})
    monkeypatch.setattr(house.repo, "storage_options", {"secret": "x"})
    with pytest.raises(UnsupportedError, match="storage_options"):
        house.train(**options(engine, house))
    monkeypatch.undo()
    with pytest.raises(InvalidInputError, match="at_once"):
        house.train(at_once=1, **options(engine, house))
    assert house.jobs.list(house.model) == []


def test_a_worker_that_can_not_begin_is_told_with_the_log_of_its_job(
    engine: str, house: House
) -> None:
    # Nothing of the run's own could say why it never began.
    run = house.train(TRAIN, **options(engine, house, python="/nowhere/python"))
    done = house.wait(run)
    assert done.status == "Failed"
    assert done.reason is not None
    assert done.reason.startswith(f"its job {done.job.id} of {engine} ended (FAILED")
    assert "before the run began" in done.reason.splitlines()[0]
    assert "/nowhere/python" in done.reason
    assert "/nowhere/python" in house.log(run)
    assert house.head("b") is None


def test_a_run_that_is_stopped(engine: str, house: House) -> None:
    flag = house.root / "flag"
    code = f"open({str(flag)!r}, 'w').close(); import time; time.sleep(300)"
    run = house.train(code, **options(engine, house))
    house.wait_for(run, flag)
    stopped = house.jobs.stop(house.jobs.get(run.name))
    assert (stopped.status, stopped.stop_by) == ("Stopped", "user")
    assert house.head("b") is None


def test_a_run_whose_code_fails(engine: str, house: House) -> None:
    done = house.wait(house.train("print('why'); raise SystemExit(3)", **options(engine, house)))
    assert (done.status, done.reason) == ("Failed", "train.py exited with status 3\nwhy")


def test_an_engine_that_is_not_there(house: House) -> None:
    house.make_code({"train.py": TRAIN})
    with pytest.raises(EngineError, match="no Ray answers"):
        house.train(engine="ray", engine_options={"address": "http://127.0.0.1:9"})
    with pytest.raises(InvalidInputError, match="no engine 'moon'"):
        house.train(engine="moon")
    with pytest.raises(InvalidInputError, match="no option 'partition'"):
        house.train(engine="ray", engine_options={"partition": "x"})
    assert house.jobs.list(house.model) == []
