"""A supervisor's signs of life, for those who can't look its process up: another machine.

A hint in the store, ``hints/heartbeat/<run>``, whose time is the storage's. Nobody is fenced off by
silence alone: who declares a run dead writes that into its record.
"""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType

from ahstore.errors import AhError
from ahstore.ids import RunId
from ahstore.storage.contract import MissingError, Storage
from ahstore.storage.lease_record import HEARTBEAT_SECONDS, SILENCE_SECONDS
from ahstore.storage.paths import escape


class Heart:
    """Beats in a thread for as long as the block runs."""

    def __init__(
        self, storage: Storage, run: RunId, *, interval_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        self._storage = storage
        self._key = heartbeat_key(run)
        self._interval = interval_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(AhError):
            self._storage.delete(self._key)

    def _beat_on(self) -> None:
        while not self._over.wait(self._interval):
            self._beat()

    def _beat(self) -> None:
        # A beat that fails is a beat missed; a full disk must not end the run.
        with contextlib.suppress(AhError):
            self._storage.replace(self._key, b"")


def heartbeat_key(run: RunId) -> str:
    """Return the key of a run's heartbeat."""
    return f"hints/heartbeat/{escape(run)}"


def is_silent(
    storage: Storage, run: RunId, since: float, *, silence_seconds: float = SILENCE_SECONDS
) -> bool:
    """Tell whether nothing was heard of a run since ``since`` or its last heartbeat for so long."""
    heard = since
    with contextlib.suppress(MissingError):
        heard = max(heard, storage.stat(heartbeat_key(run)).mtime)
    return storage.now() - heard > silence_seconds
