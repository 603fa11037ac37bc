"""Shows, while a program thinks between two writes, that it is still there."""

from __future__ import annotations

import contextlib

from ahstore.errors import AhError
from ahstore.storage.lease_record import HEARTBEAT_SECONDS
from ahstore.versions.background import BACKGROUND
from ahstore.versions.session import WriteSession


class KeepAlive:
    """Beats for a session, in the thread for what is due later, until it is stopped."""

    def __init__(self, session: WriteSession, *, every_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._session = session
        self._every_seconds = every_seconds
        self._stopped = False
        self.go_on()

    def go_on(self) -> None:
        """Begin, or begin again after the thread had to stand aside for a fork."""
        BACKGROUND.watch(self)

    def stop(self) -> None:
        """Beat no more."""
        self._stopped = True

    def do_due(self, now: float) -> float | None:
        """See ``Chores``."""
        if self._stopped:
            return None
        # A beat that fails is one that others don't see: the lease itself tells, at the end.
        with contextlib.suppress(AhError, OSError):
            self._session.beat()
        return now + self._every_seconds
