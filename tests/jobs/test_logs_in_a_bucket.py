"""Logs and metrics of a run whose store is in a bucket: streamed, followed live, bounded, readable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.ids import EntityId, RunId, new_entity_id
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.logs import LogReader, LogWriter, delete_log
from ahstore.storage.open import open_storage
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.repository import Repository
from tests.jobs.conftest import House

TALKING = """
import os, sys, time
from pathlib import Path
from ahstore import run
gate = Path({gate!r})
print("begins")
run.log(step=0, loss=1.0)
for percent in range(50):
    sys.stdout.write("\\r%3d%%|####|" % percent)
    sys.stdout.flush()
    time.sleep(0.01)
print("\\nhalf", file=sys.stderr)
while not gate.exists():
    time.sleep(0.02)
for percent in range(50, 101):
    print("\\r%3d%%|####|" % percent, end="", flush=True)
print("\\nends")
run.log(step=1, loss=0.5)
Path(os.environ["AH_OUTPUT_DIR"], "model").write_text("m")
"""


@pytest.fixture
def house(tmp_path: Path, s3_url: str) -> Iterator[House]:
    with closing(Repository.open(s3_url, create=True, cache_root=str(tmp_path / "cache"))) as repo:
        hub = Hub(repo, "user")
        model = hub.create_asset(hub.create_folder("model", "f").id, "m")
        dataset = hub.create_asset(hub.create_folder("dataset", "f").id, "d")
        (tmp_path / "labels").write_text("labels")
        commit_files(
            repo, dataset.id, "main", message="d", committer="u", add=[f"{tmp_path}/labels"]
        )
        jobs = Jobs(hub, runs_root=str(tmp_path / "runs"), store_url=s3_url)
        yield House(tmp_path, repo, hub, jobs, model, dataset, tmp_path / "code")


def test_a_run_is_followed_while_it_works(house: House) -> None:
    gate = house.root / "gate"
    run = house.train(TALKING.format(gate=str(gate)), timeout=90)
    seen: list[str] = []
    for line in house.jobs.logs(run, follow=True):
        seen.append(line)
        if line == "half":
            # It has come although the run goes on: it waits for this.
            assert house.jobs.get(run.name).status == "Running"
            first = next(house.jobs.metrics(run, follow=True))
            assert (first["step"], first["loss"]) == (0, 1.0)
            gate.touch()
    done = house.wait(run)
    assert done.status == "Succeeded", seen
    assert seen == list(house.jobs.logs(run))
    printed = [line for line in seen if not line.startswith("[ahstore]")]
    bars = [line for line in printed if "%" in line]
    assert [line for line in printed if "%" not in line] == ["begins", "half", "ends"]
    # Of a bar some states and the last; none of what was written over in between.
    assert bars[-1] == "100%|####|"
    assert len(bars) < 40
    assert not any("\r" in line for line in seen)
    assert [point["loss"] for point in house.jobs.metrics(run)] == [1.0, 0.5]
    house.jobs.delete(done)
    assert list(house.repo.storage.list("logs/")) == []


def test_a_log_in_a_bucket_is_bounded(s3_url: str) -> None:
    # Printing without end would fill the bucket, and cost a request for each line.
    with closing(open_storage(s3_url)) as plain:
        storage, now = RecordingStorage(plain), [0.0]
        run = RunId(EntityId(new_entity_id()))
        log = LogWriter(storage, run, max_bytes=100_000, clock=lambda: now[0])
        for number in range(20_000):
            now[0] += 0.01
            log.write(b"line %d\n" % number)
        log.close()
        assert storage.count("create") <= 100
        size = sum(len(plain.read(key)) for key in plain.list(f"logs/{run}/"))
        assert size < 100_000 + (300 << 10)
        lines = list(LogReader(plain, run).new_lines())
        assert (lines[0], lines[-1]) == ("line 0", "line 19999")
        assert sum("left out" in line for line in lines) == 1
        delete_log(plain, run)
        assert list(plain.list("logs/")) == []
