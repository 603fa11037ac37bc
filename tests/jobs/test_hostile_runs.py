"""A run that does its worst (X2): it forks, setsids, ignores TERM, fills the disk and prints its
environment, all at once. It is gone within 5 seconds of the stop, its limit holds, nothing is committed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ahstore.jobs.records import RunRecord
from ahstore.jobs.running.processes import leftovers
from ahstore.jobs.running.usage import folder_usage
from tests.jobs.conftest import House

CANARY = "c4n4ry-s3cret"
WORST = """
import os, signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
pids = Path({pids!r})
out = Path(os.environ["AH_OUTPUT_DIR"])
(out / "model").write_text("half of a model")
print(dict(os.environ), flush=True)
os.system("env; cat /proc/self/environ /proc/$PPID/environ | tr '\\\\0' '\\\\n'")

def tell():
    with open(pids, "a") as file:
        file.write(str(os.getpid()) + chr(10))

def daemon(depth):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    tell()
    if depth:
        daemon(depth - 1)
    # Fds closed, another program, and with an empty environment: no longer known by its run's id.
    os.closerange(0, 64)
    if depth == 1:
        code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(120)"
        os.execve(sys.executable, [sys.executable, "-c", code], {{}})
    while True:
        time.sleep(1)

tell()
daemon(3)
while len(pids.read_text().split()) < 5:
    time.sleep(0.02)
Path({ready!r}).touch()
{then}
while True:
    time.sleep(1)
"""
FILL = """
for number in range(10_000):
    for folder in (out, Path.home(), Path(os.environ["TMPDIR"]), Path.cwd()):
        try:
            (folder / ("big%d" % number)).write_bytes(os.urandom(1 << 20))
        except OSError:
            pass
"""


@pytest.fixture
def worst(house: House, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MY_PASSWORD", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, f"/{CANARY}")

    def make(then: str) -> RunRecord:
        pids, ready = house.root / "pids", house.root / "ready"
        run = house.train(WORST.format(pids=str(pids), ready=str(ready), then=then))
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline, house.log(run)
            time.sleep(0.02)
        return run

    return make


def alive(house: House) -> list[int]:
    return [pid for pid in map(int, (house.root / "pids").read_text().split()) if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def nothing_is_left(house: House, record: RunRecord) -> None:
    deadline = time.monotonic() + 60
    while record.supervisor.is_alive():  # it clears up
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert alive(house) == []
    assert leftovers(record.id) == []
    assert house.head("b") is None
    assert record.commit is None
    log = house.log(record)
    assert "AH_RUN_ID" in log
    assert CANARY not in log + repr(record)
    for folder in ("store", "runs", "cache"):
        for path in (house.root / folder).rglob("*"):
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def test_it_is_gone_within_5_seconds_of_the_stop(house: House, worst) -> None:
    run = worst("")
    assert len(alive(house)) == 5
    began = time.monotonic()
    record = house.jobs.stop(run)
    assert time.monotonic() - began < 5
    assert record.status == "Stopped"
    nothing_is_left(house, record)


def test_the_limit_holds_while_it_fills_the_disk(house: House, worst) -> None:
    run = worst(FILL)
    record = house.wait(run)
    assert record.status == "Failed"
    assert "outgrew its volume of 16Mi" in (record.reason or "")
    # What it wrote between two looks at its folders is what it may have beyond its limit.
    assert folder_usage([record.workspace]) < 512 << 20
    nothing_is_left(house, record)


def test_a_stop_while_it_fills_the_disk(house: House, worst) -> None:
    run = worst("time.sleep(0.2)" + FILL)
    began = time.monotonic()
    record = house.jobs.stop(run)
    assert time.monotonic() - began < 5
    assert record.status in ("Stopped", "Failed")
    nothing_is_left(house, record)
