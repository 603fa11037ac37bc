"""How often a run that failed is tried again, and how long it waits before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError

MAX_RETRIES = 100
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Retries:
    """``limit`` further attempts; before the first it waits ``wait_seconds``, then twice as long.

    A wait is never made longer than ten minutes by doubling it.
    """

    limit: int = 0
    wait_seconds: float = FIRST_WAIT_SECONDS

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= MAX_RETRIES:
            raise InvalidInputError(f"{self.limit} retries can't be: give 0 to {MAX_RETRIES}")
        if not (math.isfinite(self.wait_seconds) and self.wait_seconds >= 0):
            raise InvalidInputError(f"a wait of {self.wait_seconds} seconds can't be")

    def wait_after(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt has failed, the first is 1."""
        longest = max(LONGEST_WAIT_SECONDS, self.wait_seconds)
        return min(self.wait_seconds * 2.0 ** (attempt - 1), longest)

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        return {"limit": self.limit, "wait": float(self.wait_seconds)}

    @staticmethod
    def from_value(value: Any) -> Retries:
        """Return what ``to_value`` stored.

        Raises:
            InvalidInputError, KeyError, TypeError, ValueError: it is something else.
        """
        return Retries(int(value["limit"]), float(value["wait"]))


NO_RETRIES = Retries()


def parse_retries(limit: int | None, wait_seconds: float | None) -> Retries:
    """Return what these options say; None: as it is by default.

    Raises:
        InvalidInputError: they are out of their bounds.
    """
    wait = FIRST_WAIT_SECONDS if wait_seconds is None else float(wait_seconds)
    found = Retries(limit or 0, wait)
    return found if found.limit else NO_RETRIES
