"""A thread that shows, while a program thinks between two writes, that it is still there."""

from __future__ import annotations

import contextlib
import threading

from ahstore.errors import AhError
from ahstore.storage.lease_record import HEARTBEAT_SECONDS
from ahstore.versions.session import WriteSession


class KeepAlive:
    """Beats for a session from the first interval after it was made until it is stopped."""

    def __init__(self, session: WriteSession, *, every_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._session = session
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keep-alive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it does not beat any more on return."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            # A beat that fails is one that others don't see: the lease itself tells, at the end.
            with contextlib.suppress(AhError, OSError):
                self._session.beat()
