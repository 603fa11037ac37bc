"""The processes of a run as the kernel tells them (``/proc``): who descends from whom, ending all.

The supervisor is a subreaper, so whatever its child starts, daemons included, stays below it and
is found here. Leftovers of a supervisor that died are known by the run's id in their environment
or by their working directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

TERM_SECONDS = 1.5
KILL_SECONDS = 10.0
_PAUSE_SECONDS = 0.02


def become_subreaper() -> bool:
    """Make orphans among this process's descendants its own children; False if not possible."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return int(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0
    except (OSError, AttributeError):
        return False


def descendants(root: int) -> list[int]:
    """Return the ids of all living processes below ``root``, zombies left out."""
    children: dict[int, list[int]] = {}
    zombies: set[int] = set()
    for pid in _all_pids():
        fields = _stat_fields(pid)
        if fields is None:
            continue
        if fields[0] in (b"Z", b"X"):
            zombies.add(pid)
        children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    pending = [root]
    while pending:
        below = children.get(pending.pop(), [])
        pending.extend(below)
        found.extend(pid for pid in below if pid not in zombies)
    return found


def end_all(
    find: Callable[[], list[int]],
    *,
    reap: Callable[[], None] = lambda: None,
    term_seconds: float = TERM_SECONDS,
    kill_seconds: float = KILL_SECONDS,
) -> bool:
    """End every process that ``find`` gives: TERM, and after ``term_seconds`` KILL until none is left.

    Before the KILL all are stopped, so that none can fork away from it. Returns False when some
    are still there after ``kill_seconds`` (a process stuck in the kernel).
    """
    pids = find()
    _signal(pids, signal.SIGTERM)
    _signal(pids, signal.SIGCONT)
    deadline = time.monotonic() + term_seconds
    while pids and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        reap()
        pids = find()
    deadline = time.monotonic() + kill_seconds
    while pids and time.monotonic() < deadline:
        _freeze(find)
        _signal(find(), signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
        reap()
        pids = find()
    reap()
    return not pids


def leftovers(run_id: str, workspace: str) -> list[int]:
    """Return the processes that a dead supervisor's run left behind, with their descendants.

    Only processes of this user are looked at, never this process itself.
    """
    marker = b"AH_RUN_ID=" + run_id.encode("ascii")
    inside = os.path.join(os.path.realpath(workspace), "")
    me, user = os.getpid(), os.getuid()
    found: set[int] = set()
    for pid in _all_pids():
        if pid == me or pid in found or not _belongs_to(pid, user):
            continue
        if _has_marker(pid, marker) or _works_in(pid, inside):
            found.add(pid)
            found.update(descendants(pid))
    found.discard(me)
    return sorted(found)


def _freeze(find: Callable[[], list[int]]) -> None:
    stopped: set[int] = set()
    for _ in range(50):
        new = set(find()) - stopped
        if not new:
            return
        _signal(new, signal.SIGSTOP)
        stopped |= new


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


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


def _works_in(pid: int, inside: str) -> bool:
    try:
        return os.path.join(os.readlink(f"/proc/{pid}/cwd"), "").startswith(inside)
    except OSError:
        return False
