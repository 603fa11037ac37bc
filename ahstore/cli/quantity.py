"""Ages, sizes and short ids as people read them."""

from __future__ import annotations

from itertools import pairwise

from ahstore.errors import InvalidInputError

_UNITS = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SECONDS = {**dict(_UNITS), "w": 7 * 86400}
_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
SHORT_ID = 8


def duration(seconds: float) -> str:
    """Return the two largest units: ``37s``, ``5m29s``, ``3h12m``, ``2d5h``, ``1y40d``."""
    left = max(0, int(seconds))
    for (unit, size), (next_unit, next_size) in pairwise(_UNITS):
        if left >= size:
            rest = left % size // next_size
            return f"{left // size}{unit}" + (f"{rest}{next_unit}" if rest else "")
    return f"{left}s"


def parse_duration(text: str) -> float:
    """Return the seconds of what people write: ``90s``, ``10m``, ``12h``, ``30d``, ``8w``, ``1y``.

    Raises:
        InvalidInputError: it is written otherwise; a number alone could mean anything.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _SECONDS or not number.isdecimal():
        raise InvalidInputError(f"write a time as 90s, 10m, 12h, 30d, 8w or 1y, not {text!r}")
    return float(int(number) * _SECONDS[unit])


def age(then: float, now: float) -> str:
    """Return how long ago ``then`` was (both in seconds), ``in 5m`` for what is yet to come."""
    if then > now + 1:
        return f"in {duration(then - now)}"
    return f"{duration(now - then)} ago"


def exact_size(size: int) -> str:
    """Return a size as tables show it: ``375943B``."""
    return f"{size}B"


def rough_size(size: float) -> str:
    """Return a size for a sentence: ``512 B``, ``367.1 KiB``, ``1.0 GiB``."""
    if size < 1024:
        return f"{int(size)} B"
    power = 1
    while size >= 1000 * 1024**power and power < len(_BINARY_UNITS):
        power += 1
    return f"{size / 1024**power:.1f} {_BINARY_UNITS[power - 1]}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 object``, ``3 objects``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def short_id(commit_id: str) -> str:
    """Return the first digits of a commit id, as people are shown."""
    return commit_id[:SHORT_ID]
