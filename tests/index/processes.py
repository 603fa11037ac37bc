"""Helpers of the tests with real processes: they fork before they touch LMDB, or start afresh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start(code, *args):
    """Start Python on ``code``; its output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        text=True,
    )


def run(code, *args):
    """Run Python on ``code`` to its end; return status and output."""
    process = start(code, *args)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def wait_stopped(process):
    """Wait until the process has been stopped by a signal."""
    for _ in range(2000):
        with open(f"/proc/{process.pid}/stat") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == "T":
                return
        time.sleep(0.005)
    raise AssertionError("it did not stop")


def end(process):
    """Kill it, stopped or not."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
