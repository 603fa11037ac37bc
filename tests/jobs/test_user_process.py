from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ahstore.jobs.running.processes import end_leftovers, leftovers
from ahstore.jobs.running.usage import folder_usage

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("process_driver.py")
MARK = "AH_RUN_ID"


def start(folder: Path, code: str, run_id: str, **options: Any) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    asked = {
        "argv": [sys.executable, "-c", code],
        "folder": str(folder),
        "environment": {"PATH": os.environ["PATH"], MARK: run_id},
        "volume": 16 << 20,
        **options,
    }
    driver = subprocess.Popen(
        [sys.executable, str(DRIVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert driver.stdin is not None
    driver.stdin.write(json.dumps(asked))
    driver.stdin.close()
    driver.stdin = None
    return driver


def run(folder: Path, code: str, run_id: str = "none", **options: Any) -> dict[str, Any]:
    out, _ = start(folder, code, run_id, **options).communicate(timeout=60)
    result: dict[str, Any] = json.loads(out)
    return result


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if state_of(pid) not in ("", "Z", "X")]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_for(path: Path, lines: int = 1) -> list[int]:
    for _ in range(200):
        if path.exists() and len(path.read_text().split()) >= lines:
            return [int(word) for word in path.read_text().split()]
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


@pytest.mark.parametrize(
    ("code", "status"),
    [("print('hello')", 0), ("import sys; print('x'); sys.exit(3)", 3)],
)
def test_output_and_exit_status(code: str, status: int, tmp_path: Path) -> None:
    result = run(tmp_path / "w", code)
    assert (result["status"], result["by"], result["clean"]) == (status, "exit", True)
    assert result["output"]


def test_a_signal_is_told(tmp_path: Path) -> None:
    result = run(tmp_path / "w", "import os; os.kill(os.getpid(), 11)")
    assert (result["status"], result["by"]) == (-11, "exit")


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    result = run(tmp_path / "w", "", argv=["no-such-program"])
    assert result["status"] == 127
    assert "no-such-program: command not found" in result["output"]


def test_a_program_that_is_no_program_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, "", argv=["./w"])
    assert (result["status"], result["by"]) == (127, "exit")
    (tmp_path / "w").write_text("no program")
    result = run(tmp_path, "", argv=["./w"])
    assert result["status"] == 126
    assert "./w: Permission denied" in result["output"]


def test_long_output_arrives_whole(tmp_path: Path) -> None:
    code = "import sys\nfor i in range(20000): print('x' * 99)\nprint('end', file=sys.stderr)"
    result = run(tmp_path / "w", code)
    assert len(result["output"]) == 20000 * 100 + 4


def test_timeout_ends_it(tmp_path: Path) -> None:
    result = run(tmp_path / "w", "import time; time.sleep(60)", timeout=0.5)
    assert result["by"] == "timeout"
    assert result["seconds"] < 5


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def tell():
    with open({pids!r}, "a") as f: f.write(str(os.getpid()) + chr(10))
def daemon(level):
    if os.fork(): return
    os.setsid()
    if os.fork(): os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell()
    if level: daemon(level - 1)
    os.closerange(0, 100)
    if level == 1: os.execve(sys.executable, [sys.executable, "-c", "import time, signal; signal.signal(15, 1); time.sleep(99)"], {{}})
    while True: time.sleep(1)
tell()
daemon(2)
{then}
"""


def test_a_stop_leaves_no_descendant(tmp_path: Path) -> None:
    # Daemons that ignore TERM would go on using the machine and writing to the run's folders.
    pids = tmp_path / "pids"
    stop_file = tmp_path / "stop"
    code = STUBBORN.format(pids=str(pids), then="while True: time.sleep(1)")
    driver = start(tmp_path / "w", code, "none", stop_file=str(stop_file))
    found = wait_for(pids, 4)
    assert alive(found) == found
    stop_file.touch()
    result = json.loads(driver.communicate(timeout=30)[0])
    assert alive(found) == []
    assert (result["by"], result["clean"]) == ("stop", True)
    assert result["seconds"] < 5


def test_a_normal_end_leaves_no_descendant(tmp_path: Path) -> None:
    # What stays behind could change the outputs while they are committed.
    pids = tmp_path / "pids"
    code = STUBBORN.format(pids=str(pids), then="time.sleep(0.7); sys.exit(0)")
    result = run(tmp_path / "w", code)
    assert len(wait_for(pids, 4)) == 4
    assert alive(wait_for(pids)) == []
    assert (result["status"], result["by"]) == (0, "exit")


FORKING = """
import os, time
# Each hop forks and exits; after a bounded time they end by themselves, whatever the test finds.
end = time.time() + 8
if os.fork() == 0:
    for hop in range(1500):
        if {setsid}: os.setsid()
        if os.fork(): os._exit(0)
        with open({beat!r}, "w") as f: f.write(str(time.time()))
        time.sleep(0.003)
        if time.time() > end: os._exit(0)
time.sleep(20)
"""


@pytest.mark.parametrize("setsid", [False, True])
def test_processes_that_keep_forking_are_ended(setsid: bool, tmp_path: Path) -> None:
    # A process that forks and exits all the time is in no listing of /proc: it must not survive
    # a stop because a look found nobody.
    beat = tmp_path / "beat"
    code = FORKING.format(setsid=setsid, beat=str(beat))
    result = run(tmp_path / "w", code, stop_after=0.7)
    assert (result["by"], result["clean"]) == ("stop", True)
    assert result["seconds"] < 5
    last = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == last


@pytest.mark.parametrize(
    "code",
    [
        "open('big', 'wb').write(b'x' * (40 << 20))",
        "import signal; signal.signal(25, 0)\nf = open('big', 'wb', buffering=0)\nwhile True: f.write(b'x' * 65536)",
        "import signal; signal.signal(25, 0); f = open('sparse', 'wb'); f.truncate(1 << 40)",
        "import time\nfor i in range(8): open(f'f{i}', 'wb').write(b'x' * (3 << 20))\ntime.sleep(60)",
        "import os, time\nfor i in range(6000): open(f'f{i}', 'wb').write(b'x')\ntime.sleep(60)",
        "import os, time\nopened = []\nfor i in range(8):\n f = open('f', 'wb'); f.write(b'x' * (3 << 20)); f.flush(); os.unlink('f'); opened.append(f)\ntime.sleep(60)",
    ],
    ids=["large", "killed-by-the-kernel", "sparse", "several", "many-small", "unlinked"],
)
def test_the_volume_holds(code: str, tmp_path: Path) -> None:
    # A run that outgrows its volume fills the user's disk.
    result = run(tmp_path / "w", code, timeout=30)
    assert result["by"] == "volume", result
    assert folder_usage([str(tmp_path / "w")]) < 64 << 20


def test_no_single_file_passes_the_volume(tmp_path: Path) -> None:
    code = "f = open('big', 'wb', buffering=0)\ntry:\n while True: f.write(b'x' * 65536)\nexcept OSError: pass"
    run(tmp_path / "w", code, volume=1 << 20)
    assert (tmp_path / "w" / "big").stat().st_size <= 1 << 20


def test_a_dead_supervisor_takes_user_code_along(tmp_path: Path) -> None:
    # kill -9 of the supervisor must not leave code running that nobody watches.
    pids = tmp_path / "pids"
    run_id = "11111111-2222-3333-4444-555555555555"
    code = STUBBORN.format(pids=str(pids), then="while True: time.sleep(1)").replace(
        "{}", "os.environ"
    )
    driver = start(tmp_path / "w", code.replace("level == 1", "False"), run_id)
    main, *daemons = wait_for(pids, 4)
    driver.kill()
    driver.communicate()
    time.sleep(0.2)
    assert alive([main]) == []
    assert set(alive(daemons)) <= set(leftovers(run_id))
    assert alive(daemons)
    assert end_leftovers(run_id, term_seconds=0.2)
    assert alive(daemons) == []
    assert os.getpid() not in leftovers(run_id)
