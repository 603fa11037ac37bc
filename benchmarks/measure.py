"""Timing whole processes: wall seconds and peak memory, by the system's own accounting."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Series:
    """Runs of one command: wall seconds, and peak resident memory in MiB."""

    seconds: list[float] = field(default_factory=list)
    rss_mib: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def shown(self) -> str:
        spread = (
            f" ({min(self.seconds):.2f}–{max(self.seconds):.2f})" if len(self.seconds) > 1 else ""
        )
        return f"{self.median:.2f}{spread}"


def timed(series: Series, command: Sequence[str], env: dict[str, str] | None = None) -> str:
    """Run a command to its end, add its time to ``series``, return its standard output."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output = process.stdout.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    series.seconds.append(time.perf_counter() - started)
    series.rss_mib = max(series.rss_mib, usage.ru_maxrss / 1024)
    process.stdout.close()
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {errors.decode()[-2000:]}")
    return output.decode()


def bytes_under(folder: str) -> int:
    """Return the bytes of all files below a folder."""
    return sum(
        os.path.getsize(os.path.join(root, name))
        for root, _, names in os.walk(folder)
        for name in names
    )
