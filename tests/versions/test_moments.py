"""Moments as people write them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from ahstore.errors import InvalidInputError
from ahstore.versions.moments import parse_moment

NOW = datetime(2026, 3, 31, 12, 30, 15, tzinfo=timezone.utc)


@pytest.fixture
def in_india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Five and a half hours before UTC, all the year."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Kolkata"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-03-31 12:30:15"),
        ("yesterday", "2026-03-30 12:30:15"),
        ("2 hours ago", "2026-03-31 10:30:15"),
        ("2.hours.ago", "2026-03-31 10:30:15"),
        ("2-hours-ago", "2026-03-31 10:30:15"),
        ("90 seconds ago", "2026-03-31 12:28:45"),
        ("an hour ago", "2026-03-31 11:30:15"),
        ("1 week 3 days ago", "2026-03-21 12:30:15"),
        ("5 minutes", "2026-03-31 12:25:15"),
        ("Last Month", "2026-02-28 12:30:15"),
        ("13 months ago", "2025-02-28 12:30:15"),
        ("1.year.ago", "2025-03-31 12:30:15"),
        ("2026-01-31T10:00:00Z", "2026-01-31 10:00:00"),
        ("2026-01-31 10:00:00 UTC", "2026-01-31 10:00:00"),
        ("2026-01-31 10:00:00.25+02:00", "2026-01-31 08:00:00.250000"),
        ("2026-01-31 10:00 +0200", "2026-01-31 08:00:00"),
        ("2026-01-31 10:00-05", "2026-01-31 15:00:00"),
        ("1700000000", "2023-11-14 22:13:20"),
        ("@1700000000", "2023-11-14 22:13:20"),
    ],
)
@pytest.mark.usefixtures("in_india")
def test_what_has_a_zone_or_is_relative_is_the_same_everywhere(text: str, expected: str) -> None:
    assert parse_moment(text, now=NOW) == pytest.approx(utc(expected), abs=1e-3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", "2026-01-30 18:30:00"),
        ("2026-01-31 18:00", "2026-01-31 12:30:00"),
        ("2026-01-31T18:00:30", "2026-01-31 12:30:30"),
        ("today", "2026-03-30 18:30:00"),
        ("midnight", "2026-03-30 18:30:00"),
    ],
)
@pytest.mark.usefixtures("in_india")
def test_without_a_zone_it_is_the_readers_own(text: str, expected: str) -> None:
    assert parse_moment(text, now=NOW) == utc(expected)


@pytest.mark.parametrize(
    "text",
    ["", "x", "tomorrow", "2026", "2026-1-1", "2026-13-01", "2026-02-30", "2026-01-01 25:00", "5",
     "2026-01-01 10:00 +9999999", "hours ago", "2 fortnights ago", "ago", "99999999 years ago",
     "12345678901234", "२ hours ago", "2 hours ago or so"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no time"):
        parse_moment(text, now=NOW)


def test_the_present_is_now_when_nothing_else_is_said() -> None:
    assert (
        abs(
            parse_moment("1 minute ago")
            - (datetime.now(timezone.utc) - timedelta(minutes=1)).timestamp()
        )
        < 5
    )
