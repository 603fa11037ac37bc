"""Several processes at one bucket: races for a key, and commits to one branch through faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ahstore.client.store import Store
from ahstore.testing.fault_proxy import Chaos, FaultProxy
from ahstore.testing.s3_servers import S3Server

WORKER = Path(__file__).with_name("s3_worker.py")


def run_together(
    role: str, url: str, folder: Path, *, processes: int, rounds: int
) -> list[list[str]]:
    """Start the workers, let them go at once, return the lines each printed."""
    workers = []
    for number in range(processes):
        place = folder / ("shared" if role == "create" else f"worker-{number}")
        workers.append(
            subprocess.Popen(
                [sys.executable, str(WORKER), role, url, str(number), str(rounds), str(place)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
            )
        )
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n", worker.communicate()[1]
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    outputs = []
    for worker in workers:
        out, errors = worker.communicate(timeout=1500)
        assert worker.returncode == 0, errors
        outputs.append(out.splitlines())
    return outputs


@pytest.mark.parametrize(
    ("processes", "rounds"), [(4, 3), pytest.param(8, 200, marks=pytest.mark.long)]
)
def test_of_several_processes_exactly_one_creates(
    s3_url: str, tmp_path: Path, processes: int, rounds: int
) -> None:
    # Two winners of one number: a commit that was acknowledged is lost.
    outputs = run_together("create", s3_url, tmp_path, processes=processes, rounds=rounds)
    won = sorted(int(line.split()[1]) for lines in outputs for line in lines)
    assert won == list(range(rounds))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("processes", "rounds"), [(4, 6), pytest.param(8, 50, marks=pytest.mark.long)]
)
def test_commits_to_one_branch_through_faults(
    s3_environment: S3Server, s3_url: str, tmp_path: Path, processes: int, rounds: int
) -> None:
    # One lost, one twice, or one that was acknowledged and is not there: all of it is data lost.
    with Store.open(s3_url, user="worker", cache_dir=tmp_path / "cache") as store:
        store.create("model/f")
        store.create("model/f/a")
    chaos = Chaos(seed=processes * rounds, rate=0.08)
    with FaultProxy(s3_environment.endpoint, chaos) as proxy:
        url = s3_url.replace(s3_environment.endpoint, proxy.endpoint)
        outputs = run_together("commit", url, tmp_path, processes=processes, rounds=rounds)
    told = dict(json.loads(line) for lines in outputs for line in lines)
    assert len(told) == processes * rounds
    assert len(chaos.struck) > 5, chaos.struck
    with Store.open(s3_url, user="worker", cache_dir=tmp_path / "fresh") as store:
        history = store.get("model/f/a:main").list_commit()
        paths = {entry["path"] for entry in store.list("model/f/a")}
    ids = {commit["id"]: commit["message"] for commit in history}
    times = Counter(commit["message"] for commit in history)
    acknowledged = {message: id_ for message, id_ in told.items() if id_ != "unknown"}
    assert {id_: ids.get(id_) for id_ in acknowledged.values()} == {
        id_: message for message, id_ in acknowledged.items()
    }
    assert {message: n for message, n in times.items() if n > 1} == {}
    assert set(told) >= set(times) - {"Repository created"}
    assert paths == set(times) - {"Repository created"}
