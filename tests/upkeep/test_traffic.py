"""G1: writers and gcs at once, in processes of their own, clocks off, gcs killed again and again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahstore.ids import CommitId
from ahstore.upkeep.check_packs import Share
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs
from tests.upkeep.kit import NOW, House, new_house

PROGRAM = Path(__file__).with_name("traffic.py")


def start(role: str, house: House, seconds: float, seed: int, clock: int) -> subprocess.Popen[str]:
    url = house.repo.url
    return subprocess.Popen(
        [sys.executable, PROGRAM, role, url, house.asset, str(seconds), str(seed), str(clock)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def drive(
    house: House, *, writers: int, seconds: float, life: tuple[float, float] = (0.4, 1.5)
) -> None:
    """Let writers and gcs work for a while; then nothing may be lost and no rubbish stay.

    ``life``: from how many to how many seconds a gc lives.
    """
    choose = random.Random(1)
    house.commit(first=b"1")
    house.repo.leases.rest()
    clocks = [0, 600, -600, 0]
    busy = [start("write", house, seconds, n, clocks[n % 4]) for n in range(writers)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gc = start("collect", house, seconds, 0, choose.choice(clocks))
        time.sleep(choose.uniform(*life))
        if choose.random() < 0.8:
            gc.kill()
        else:
            gc.terminate()
        _, said = gc.communicate()
        assert "Traceback" not in said, said
    acknowledged = []
    for process in busy:
        out, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        acknowledged += out.split()
    assert len(acknowledged) >= 2 * writers
    repo = house.repo
    collect(repo, NOW)
    report = check(repo, read_data=Share())
    assert report.damages == [], [damage.message for damage in report.damages]
    head = Refs(repo).get(house.asset, "main").commit
    there = {commit for commit, _ in log(repo, head)}
    lost = [i for i in acknowledged if CommitId(bytes.fromhex(i)) not in there]  # type: ignore[arg-type]
    assert lost == []
    # No rubbish is left. Of a blob with two copies, both in packs that held more, one may be.
    assert collect(repo, NOW).unneeded.packs == 0
    assert collect(repo, NOW).reclaimed == 0


def test_a_few_seconds_of_traffic(local: House) -> None:
    drive(local, writers=3, seconds=6)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_minute_of_traffic(local: House) -> None:
    drive(local, writers=8, seconds=60)


@pytest.fixture
def bucket(s3_url: str, tmp_path: Path) -> Iterator[House]:
    made = new_house(s3_url, tmp_path)
    yield made
    made.store.close()


@pytest.mark.timeout(900)
def test_a_few_seconds_of_traffic_in_a_bucket(bucket: House) -> None:
    drive(bucket, writers=2, seconds=5, life=(1.5, 2.5))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_minute_of_traffic_in_a_bucket(bucket: House) -> None:
    drive(bucket, writers=8, seconds=60, life=(1.5, 4.0))
