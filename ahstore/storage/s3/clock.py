"""The server's clock, as its answers tell it, and as it stamps files."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

_SAMPLE_SECONDS = 60.0
_GRAIN_SECONDS = 2.0


class ServerClock:
    """Compares the server's clock to this machine's, once a minute, by the header ``Date``.

    That has whole seconds: where the two agree within that grain the finer one here is used.
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self._sampled: float | None = None

    @property
    def known(self) -> bool:
        """Whether the server's clock is known from an answer of the last minute or so."""
        return self._sampled is not None and time.monotonic() - self._sampled <= _SAMPLE_SECONDS

    def note(self, answer: Any, started: float) -> None:
        """Learn from the answer to a request that was sent at ``started``, by the clock here."""
        if self.known:
            return
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        try:
            there = parsedate_to_datetime(date).timestamp() + 0.5
        except (TypeError, ValueError):  # a server without a clock: this machine's has to do
            there = time.time()
        offset = there - (started + time.time()) / 2
        self._offset = offset if abs(offset) > _GRAIN_SECONDS else 0.0
        self._sampled = time.monotonic()

    def now(self) -> float:
        """Return seconds since 1970, as well as is known."""
        return time.time() + self._offset
