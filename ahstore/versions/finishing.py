"""Packs on their last way to the store: index, sync and name, in a thread beside the session's.

The caller goes on building the tree meanwhile. Whether what refers to a pack is written before it
is durable is the session's business: it waits first.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from ahstore.packs.writer import FinishedPack, PackWriter

WORTH_A_THREAD_BYTES = 2**20
MAX_AT_ONCE = 2
_LOOK_SECONDS = 5.0


class _Job:
    """One pack that is being finished, at once or in a thread."""

    def __init__(self, writer: PackWriter) -> None:
        self._writer = writer
        self._result: FinishedPack | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if writer.size >= WORTH_A_THREAD_BYTES:
            self._thread = threading.Thread(target=self._run, name="finish-pack", daemon=True)
            self._thread.start()
        else:
            self._run()

    def _run(self) -> None:
        try:
            self._result = self._writer.finish()
        except BaseException as error:
            self._error = error  # raised where the pack is waited for

    def wait(self, still_here: Callable[[], None]) -> FinishedPack | None:
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)
            still_here()
        if self._error is not None:
            raise self._error
        return self._result


class Finishing:
    """The packs of a session that are being finished, in order. For one thread."""

    def __init__(self) -> None:
        self._jobs: list[_Job] = []
        self._done: list[FinishedPack] = []

    def start(self, writer: PackWriter) -> None:
        """Finish a pack to which nothing will be added; what goes wrong is told by ``wait``.

        Raises:
            StorageError: too many were under way, and one of them failed.
        """
        if len(self._jobs) >= MAX_AT_ONCE:
            self._take(self._jobs.pop(0), _do_nothing)
        self._jobs.append(_Job(writer))

    def wait(self, still_here: Callable[[], None]) -> list[FinishedPack]:
        """Return the packs that were finished since the last call, durable and published.

        Args:
            still_here: called now and then while waiting.

        Raises:
            StorageError: one could not be published.
        """
        while self._jobs:
            self._take(self._jobs.pop(0), still_here)
        done, self._done = self._done, []
        return done

    def abandon(self) -> list[FinishedPack]:
        """Wait for what is under way, whatever comes of it, and return what was finished."""
        while self._jobs:
            with contextlib.suppress(Exception):  # the operation fails for a reason of its own
                self._take(self._jobs.pop(0), _do_nothing)
        done, self._done = self._done, []
        return done

    def _take(self, job: _Job, still_here: Callable[[], None]) -> None:
        finished = job.wait(still_here)
        if finished is not None:
            self._done.append(finished)


def _do_nothing() -> None:
    pass
