"""Courtesy locks: ``flock`` on files that are never unlinked, with a bounded wait.

They spare processes on one machine lost races for a cell; nothing is right or wrong by them. A
lock that can't be had (no such call, read-only, its holder is stopped) is done without.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator

WAIT_SECONDS = 5.0
_SHORTEST_NAP_SECONDS = 0.0002
_LONGEST_NAP_SECONDS = 0.004


@contextlib.contextmanager
def hold(folder: str, name: str, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Run the block under the lock ``name``, or without it once the wait is over."""
    fd = _open(folder, name)
    try:
        if fd is not None:
            _wait_for(fd, wait_seconds)
        yield
    finally:
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


def _open(folder: str, name: str) -> int | None:
    # 4,096 files at most, whatever the number of names: they stay for ever.
    slot = hashlib.sha256(name.encode()).hexdigest()[:3]
    try:
        return os.open(os.path.join(folder, slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None


def _wait_for(fd: int, wait_seconds: float) -> None:
    end = time.monotonic() + wait_seconds
    nap = _SHORTEST_NAP_SECONDS
    while _is_held_elsewhere(fd) and time.monotonic() < end:
        time.sleep(nap)
        nap = min(nap * 1.5, _LONGEST_NAP_SECONDS)


def _is_held_elsewhere(fd: int) -> bool:
    """Take the lock and return False, as for a lock that can't be had; True: try again."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
