"""Watching and breaking the system calls by which a local store is written.

All of them go through ``os``. A test records them, makes the n-th of them fail, or has a forked
child killed right before or after it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

NAMES = ("open", "write", "fsync", "link", "rename", "mkdir", "unlink", "rmdir", "close")


@contextmanager
def hooked(hook: Callable[[str, Callable[[], object], tuple], object]) -> Iterator[None]:
    """Pass each call to ``hook(name, action, args)``, which is to return what ``action`` does."""

    def replaced(name: str) -> Callable:
        real = getattr(os, name)
        return lambda *args, **kwargs: hook(name, lambda: real(*args, **kwargs), args)

    with mock.patch.multiple(os, **{name: replaced(name) for name in NAMES}):
        yield


@contextmanager
def recorded() -> Iterator[list[tuple[str, str]]]:
    """Collect (name of the call, path it touches)."""
    calls: list[tuple[str, str]] = []

    def hook(name: str, action: Callable[[], object], args: tuple) -> object:
        about = args[0]
        path = os.readlink(f"/proc/self/fd/{about}") if isinstance(about, int) else str(about)
        calls.append((name, str(args[1]) if name == "link" else path))
        return action()

    with hooked(hook):
        yield calls


def count_calls(work: Callable[[], object]) -> int:
    """Return how many calls ``work`` makes."""
    with recorded() as calls:
        work()
    return len(calls)


@contextmanager
def failing(at: int, code: int) -> Iterator[list[str]]:
    """Make call number ``at`` (from 0) fail; yields the names of what failed."""
    failed: list[str] = []
    left = iter(range(1_000_000))

    def hook(name: str, action: Callable[[], object], _args: tuple) -> object:
        if next(left) == at:
            if name == "close":
                action()  # a failing close closes all the same
            failed.append(name)
            raise OSError(code, os.strerror(code))
        return action()

    with hooked(hook):
        yield failed


def killed(work: Callable[[], object], *, at: int, before: bool) -> bool:
    """Run ``work`` in a child that is killed at call number ``at``; False: it got through."""
    child = os.fork()
    if child == 0:
        left = iter(range(1_000_000))

        def hook(_name: str, action: Callable[[], object], _args: tuple) -> object:
            struck = next(left) == at
            if struck and before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = action()
            if struck:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        status = 1
        try:
            with hooked(hook):
                work()
            status = 0
        finally:
            os._exit(status)
    _, result = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(result) in (0, -signal.SIGKILL)
    return result != 0
