"""The processes of a run as the kernel tells them (``/proc``): who descends from whom, ending all.

The supervisor is a subreaper, so whatever its child starts, daemons included, stays below it. All
are gone when the kernel says that it has no children left, not when a look finds none: a process
that forks and exits faster than ``/proc`` can be read is in no listing. A whole process group is
signalled at one stroke, which such a process can't outrun.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator

PR_SET_CHILD_SUBREAPER = 36

TERM_SECONDS = 1.5
KILL_SECONDS = 10.0
_PAUSE_SECONDS = 0.01
_EMPTY_LOOKS = 3


def become_subreaper() -> bool:
    """Make orphans among this process's descendants its own children; False if not possible."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return int(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0
    except (OSError, AttributeError):
        return False


def descendants(root: int) -> list[int]:
    """Return the ids of the processes below ``root``, zombies among them."""
    find = _children if os.path.exists(f"/proc/{root}/task/{root}/children") else _scanner()
    found: list[int] = []
    pending = [root]
    while pending:
        below = find(pending.pop())
        pending.extend(below)
        found.extend(below)
    return found


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the memory that these processes have resident now; what they share counts for each."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                pages += int(file.read().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def end_descendants(
    reap: Callable[[], bool],
    *,
    term_seconds: float = TERM_SECONDS,
    kill_seconds: float = KILL_SECONDS,
) -> bool:
    """End every process below this one, a subreaper: TERM, and after ``term_seconds`` KILL.

    ``reap`` collects children that have ended and tells whether any child is left. Returns False
    when some are still there after ``kill_seconds`` (stuck in the kernel, or another user's).
    """
    me = os.getpid()
    _signal(descendants(me), signal.SIGTERM)
    _signal(descendants(me), signal.SIGCONT)
    deadline = time.monotonic() + term_seconds
    while reap() and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    deadline = time.monotonic() + kill_seconds
    looks = 0
    while reap():
        if time.monotonic() > deadline:
            return False
        _signal(descendants(me), signal.SIGKILL)
        looks += 1
        # The first looks follow each other at once: whoever forks to get away has no time to.
        time.sleep(0 if looks % 64 else _PAUSE_SECONDS)
    return True


def leftovers(run_id: str) -> list[int]:
    """Return the processes that a dead supervisor's run left behind, with their descendants.

    They are known by the run's id in the environment they were started with. Only processes of
    this user are looked at, never this process itself.
    """
    marker = b"AH_RUN_ID=" + run_id.encode("ascii")
    me, user = os.getpid(), os.getuid()
    found: set[int] = set()
    for pid in _all_pids():
        if pid != me and pid not in found and _belongs_to(pid, user) and _has_marker(pid, marker):
            found.add(pid)
            found.update(descendants(pid))
    found.discard(me)
    return sorted(found)


def end_leftovers(
    run_id: str, *, term_seconds: float = TERM_SECONDS, kill_seconds: float = 2.0
) -> bool:
    """End what ``leftovers`` finds; False when some are still there."""
    pids = leftovers(run_id)
    if not pids:
        return True
    _signal(pids, signal.SIGTERM)
    _signal(pids, signal.SIGCONT)
    deadline = time.monotonic() + term_seconds
    while leftovers(run_id) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    deadline = time.monotonic() + kill_seconds
    empty = 0
    while empty < _EMPTY_LOOKS:
        if time.monotonic() > deadline:
            return False
        pids = leftovers(run_id)
        _signal(pids, signal.SIGKILL)
        empty = 0 if pids else empty + 1
    return True


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes with all in their groups, never this process's own group."""
    own = os.getpgrp()
    groups: set[int] = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            group = os.getpgid(pid)
            if group == own:
                os.kill(pid, number)
            elif group not in groups:
                groups.add(group)
                os.killpg(group, number)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        with (
            contextlib.suppress(OSError),
            open(f"/proc/{pid}/task/{task}/children", "rb") as file,
        ):
            found.extend(map(int, file.read().split()))
    return found


def _scanner() -> Callable[[int], list[int]]:
    """Return the children of each process by a look at all, for kernels that do not list them."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all_stats():
        children.setdefault(int(fields[1]), []).append(pid)
    return lambda pid: children.get(pid, [])


def _all_stats() -> Iterator[tuple[int, list[bytes]]]:
    for pid in _all_pids():
        fields = _stat_fields(pid)
        if fields is not None:
            yield pid, fields


def _all_pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields that follow the command's name: state, parent's id and more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return None
    return data[data.rfind(b")") + 2 :].split()


def _belongs_to(pid: int, user: int) -> bool:
    fields = _stat_fields(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return False
    try:
        return os.stat(f"/proc/{pid}").st_uid == user
    except OSError:
        return False


def _has_marker(pid: int, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return marker in file.read().split(b"\0")
    except OSError:
        return False
