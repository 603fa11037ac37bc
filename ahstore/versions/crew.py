"""Processes that share a piece of work with this one: for what Python's lock makes slow in threads.

A child is forked only where that is safe (nothing else runs in this process, as the kernel tells),
does its share, and ends without a trace. What it did not finish is reported, to be done again here:
so an error is met, and raised, by the process that was asked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from ahstore.versions.background import BACKGROUND

MAX_PROCESSES = 4
_TASKS = "/proc/self/task"
_LOOKS = 5

Share = Callable[[], None]


def processes() -> int:
    """Return how many processes may share work just now; 1: this one alone."""
    BACKGROUND.stand_aside()
    try:
        for _ in range(_LOOKS):
            if len(os.listdir(_TASKS)) == 1:
                return min(len(os.sched_getaffinity(0)), MAX_PROCESSES)
            if threading.active_count() > 1:
                return 1
            # A thread that was joined has still to leave.
            time.sleep(0.001)
    except OSError:  # not Linux
        pass
    return 1


def run_shares(shares: Sequence[Share]) -> list[Share]:
    """Run the first share here and each other in a process of its own; wait for all.

    Children may use nothing that does not survive a fork (LMDB above all), nor print.

    Returns:
        The shares that a child could not finish.

    Raises:
        BaseException: what the first share raised; the children are stopped then.
    """
    children: dict[int, Share] = {}
    left: list[Share] = []
    try:
        for share in shares[1:]:
            try:
                children[_fork(share)] = share
            except OSError:  # no memory, or a limit of processes
                left.append(share)
        shares[0]()
    except BaseException:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _failed(children)
        raise
    return left + _failed(children)


def _failed(children: dict[int, Share]) -> list[Share]:
    failed = []
    for child, share in children.items():
        try:
            status = os.waitpid(child, 0)[1]
        except ChildProcessError:  # someone else in this process waits for whatever ends
            status = -1
        if status:
            failed.append(share)
    return failed


def _fork(share: Share) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        share()
        status = 0
    finally:
        # Not the way out of Python: what is open belongs to the parent.
        os._exit(status)
