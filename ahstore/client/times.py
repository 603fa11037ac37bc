"""Times as the dictionaries of the Python interface spell them: ISO 8601, UTC, ``Z``."""

from __future__ import annotations

from datetime import datetime, timezone


def iso_seconds(seconds: float) -> str:
    """Return ``2022-12-01T10:32:48Z``."""
    return _utc(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_micros(seconds: float) -> str:
    """Return ``2022-12-01T11:05:00.303336Z``."""
    # Several times faster than strftime, and lists are long.
    return _utc(seconds).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)
