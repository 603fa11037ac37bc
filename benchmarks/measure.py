"""Timing whole processes: wall seconds (with what is left to sync), CPU seconds, peak memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

DROP_CACHES = "/proc/sys/vm/drop_caches"
TIME_LIMIT_SECONDS = 600


class CommandError(Exception):
    """A command of a tool failed; the message has the end of what it printed."""


def run(
    line: str, *, env: Mapping[str, str], cwd: Path, sync_after: bool = True
) -> dict[str, float]:
    """Run a shell line to its end and return its measures.

    ``seconds`` has the process and, with ``sync_after``, a ``sync`` of what it left unwritten;
    ``CPU s`` all processes it waited for; ``peak MiB`` the largest one of them.

    Raises:
        CommandError: it failed or took longer than ten minutes.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["timeout", str(TIME_LIMIT_SECONDS), "sh", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            cwd=cwd,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended = time.perf_counter()
        if sync_after:
            os.sync()
        synced = time.perf_counter()
        if process.returncode:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - 2000))
            raise CommandError(f"{line}\n{output.read().decode(errors='replace')}")
    return {
        "seconds": synced - started,
        "of it sync": synced - ended,
        "CPU s": usage.ru_utime + usage.ru_stime,
        "peak MiB": usage.ru_maxrss / 1024,
    }


def can_drop_caches() -> bool:
    """Say whether the page cache may be dropped here (root on Linux)."""
    return os.access(DROP_CACHES, os.W_OK)


def drop_caches() -> None:
    """Empty the page cache, so that files are read from the disk."""
    os.sync()
    Path(DROP_CACHES).write_text("3\n")


def bytes_under(folder: Path) -> int:
    """Return the bytes of all files below a folder, 0 if there is none."""
    return sum(
        os.lstat(os.path.join(path, name)).st_size
        for path, _, names in os.walk(folder)
        for name in names
    )


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on, as the longest mount point says."""
    path, best, found = str(folder.resolve()), "", ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, found = mount, kind
    return found
