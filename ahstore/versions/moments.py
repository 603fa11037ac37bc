"""Moments as people write them: ``2026-01-01 10:00 +0200``, ``yesterday``, ``2.hours.ago``.

A time without a zone is one of the reader's own zone; a date alone is the beginning of that day.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from ahstore.errors import InvalidInputError

_UNITS = {
    "second": 1,
    "sec": 1,
    "minute": 60,
    "min": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
}
_MONTHS = {"month": 1, "year": 12}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "last": 1}
_STEP = re.compile(r"(\d{1,9}|a|an|one|last)[ ._-]+([a-z]+?)s?(?:[ ._-]+|\Z)", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ._](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s*(Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?)?)?\Z",
    re.IGNORECASE | re.ASCII,
)
_SECONDS = re.compile(r"@?(\d{9,11})(\.\d{1,9})?\Z", re.ASCII)


def parse_moment(text: str, *, now: datetime | None = None) -> float:
    """Return the moment that ``text`` means, in seconds since 1970 UTC.

    Understood are a date, or a date and time with or without a zone (``Z``, ``+0200``); ``now``,
    ``today`` (its beginning), ``yesterday`` (24 hours ago); ``2 hours ago``, ``1.week.3.days.ago``,
    ``last month``; seconds since 1970 of 9 digits or more.

    Args:
        text: as it was written.
        now: what is relative is relative to this; the present when left out.

    Raises:
        InvalidInputError: it is none of these.
    """
    now = now or datetime.now(timezone.utc)
    wanted = text.strip()
    try:
        moment = _word(wanted.lower(), now) or _relative(wanted.lower(), now) or _absolute(wanted)
        if moment is not None:
            return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidInputError(
        f"{text!r} is no time: write 2026-01-31, '2026-01-31 18:00', yesterday or '2 hours ago'",
        value=text,
    )


def _word(text: str, now: datetime) -> datetime | None:
    if text == "now":
        return now
    if text == "yesterday":
        return now - timedelta(days=1)
    if text in ("today", "midnight"):
        here = now.astimezone()
        return here.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None).astimezone()
    return None


def _relative(text: str, now: datetime) -> datetime | None:
    rest = re.sub(r"[ ._-]+ago\Z", "", text)
    moment, at = now, 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None:
            return None
        number = _NUMBERS.get(step[1]) or int(step[1])
        if step[2] in _UNITS:
            moment -= timedelta(seconds=number * _UNITS[step[2]])
        elif step[2] in _MONTHS:
            moment = _months_before(moment, number * _MONTHS[step[2]])
        else:
            return None
        at = step.end()
    return moment if at else None


def _months_before(moment: datetime, count: int) -> datetime:
    """Return the same day of an earlier month, or that month's last."""
    year, month = divmod(moment.year * 12 + moment.month - 1 - count, 12)
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return moment.replace(year=year, month=month + 1, day=min(moment.day, 28))


def _absolute(text: str) -> datetime | None:
    seconds = _SECONDS.match(text)
    if seconds:
        return datetime.fromtimestamp(float(text.lstrip("@")), tz=timezone.utc)
    match = _ISO.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(  # noqa: DTZ001  the zone follows
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0").ljust(6, "0")[:6]),
    )
    return moment.astimezone() if zone is None else moment.replace(tzinfo=_zone(zone))


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
