"""A few threads that work ahead of their caller, who hears of each end in his own thread.

(``concurrent.futures`` would do, but for what its import costs at start-up.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class Workers:
    """Runs what is submitted, never more than ``ahead`` of it unfinished. A context manager.

    Args:
        count: threads; each starts when there is something for it.
        ahead: how much may be under way or waiting.
    """

    def __init__(self, count: int, *, ahead: int) -> None:
        self._count, self._ahead = count, ahead
        self._todo: SimpleQueue[tuple[Work, Work] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Work, BaseException | None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._stopped = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is under way, and leave out what is not."""
        self._stopped = True
        self._dismiss()

    def rest(self) -> None:
        """Wait until all is done and let the threads go; others start when needed."""
        self.drain()
        self._dismiss()

    def _dismiss(self) -> None:
        for _thread in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def submit(self, work: Work, then: Work) -> None:
        """Have ``work`` done; ``then`` is called by this thread, here or later, when it is.

        Raises:
            BaseException: what some earlier work raised.
        """
        while self._unfinished >= self._ahead:
            self._settle()
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name="ahstore-worker", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._unfinished += 1
        self._todo.put((work, then))

    def drain(self) -> None:
        """Wait until all is done; raises as ``submit``."""
        while self._unfinished:
            self._settle()

    def _settle(self) -> None:
        then, error = self._done.get()
        self._unfinished -= 1
        if error is not None:
            raise error
        then()

    def _run(self) -> None:
        while (item := self._todo.get()) is not None:
            work, then = item
            error = None
            try:
                if not self._stopped:
                    work()
            except BaseException as raised:
                error = raised
            self._done.put((then, error))
