"""The one thread that does what is due later: ending idle leases, showing that long work lives.

It is started when something is to be done and ends when nothing is. Processes that want to fork
need to be alone: they ask it to stand aside, and it is back with the next thing to do.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Protocol

_STAND_ASIDE_SECONDS = 0.5
_SHORTEST_SECONDS = 0.01


class Chores(Protocol):
    """Something with work that comes due."""

    def do_due(self, now: float) -> float | None:
        """Do what is due at ``now`` (``time.monotonic()``).

        Returns:
            When there is more to do; None: nothing is left.
        """


class Background:
    """Runs the chores of a process in a thread of its own."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._chores: dict[int, Chores] = {}
        self._asked: set[int] = set()
        self._thread: threading.Thread | None = None
        self._leaving = False

    def watch(self, chores: Chores) -> None:
        """See to it that what is due is done, until nothing is left."""
        if self._pid != os.getpid():
            self._begin()  # forked: thread, lock and chores are the parent's
        with self._changed:
            self._asked.add(id(chores))
            if id(chores) not in self._chores:
                self._chores[id(chores)] = chores
                self._changed.notify()
            if self._thread is None:
                self._leaving = False
                self._thread = threading.Thread(target=self._run, name="ahstore-later", daemon=True)
                self._thread.start()

    def stand_aside(self) -> None:
        """End the thread, so that this process may be forked; ``watch`` brings it back."""
        thread = self._thread
        if thread is None or self._pid != os.getpid() or thread is threading.current_thread():
            return
        with self._changed:
            self._leaving = True
            self._changed.notify()
        thread.join(_STAND_ASIDE_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._asked.clear()
                chores = list(self._chores.values())
            wakes = [(each, self._do(each)) for each in chores]
            with self._changed:
                for each, wake in wakes:
                    # Who asked meanwhile has something to do again.
                    if wake is None and id(each) not in self._asked:
                        del self._chores[id(each)]
                if not self._leaving and self._chores:
                    due = min((wake for _, wake in wakes if wake is not None), default=0.0)
                    self._changed.wait(max(_SHORTEST_SECONDS, due - time.monotonic()))
                if self._leaving or not self._chores:
                    self._thread = None
                    return

    @staticmethod
    def _do(chores: Chores) -> float | None:
        # A storage that fails must not end the thread: others have leases too.
        with contextlib.suppress(Exception):
            return chores.do_due(time.monotonic())
        return None


BACKGROUND = Background()
