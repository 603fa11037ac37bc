"""What a run asks for of the machine that carries it out: processors, accelerators, memory, time.

Engines pass it on to their queues; the worker holds the run to memory and time everywhere. Part of
the run's spec (docs/format/runs.md).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError
from ahstore.hub.sizes import parse_size

MIN_MEMORY_BYTES = 1 << 20
MAX_COUNT = 1 << 20

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PARTS = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhd])+", re.ASCII)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])", re.ASCII)
_CLOCK = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-5][0-9]):([0-5][0-9])", re.ASCII)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Resources:
    """What was asked for; None: nothing was said. ``memory`` in bytes, ``time`` in seconds."""

    cpus: int | None = None
    gpus: int | None = None
    memory: int | None = None
    time: float | None = None

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored: only what was asked for."""
        asked: dict[str, Value] = {
            "cpus": self.cpus,
            "gpus": self.gpus,
            "memory": self.memory,
            "time": self.time,
        }
        return {name: value for name, value in asked.items() if value is not None}

    @staticmethod
    def from_value(value: Any) -> Resources:
        """Return what ``to_value`` stored.

        Raises:
            InvalidInputError: it is something else.
        """
        if not isinstance(value, dict):
            raise InvalidInputError("resources must be a document")
        return check_resources(
            cpus=value.get("cpus"),
            gpus=value.get("gpus"),
            memory=value.get("memory"),
            time=value.get("time"),
        )

    def thread_variables(self) -> dict[str, str]:
        """Return the variables that keep numeric libraries to the processors asked for."""
        if self.cpus is None:
            return {}
        return dict.fromkeys(THREAD_VARIABLES, str(self.cpus))

    def __bool__(self) -> bool:
        """Whether anything was asked for."""
        return self != NOTHING_ASKED


NOTHING_ASKED = Resources()


def check_resources(
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    memory: str | int | None = None,
    time: str | float | None = None,
) -> Resources:
    """Return what a user asks for; ``memory`` as ``4Gi`` or bytes, ``time`` as ``1h30m`` or seconds.

    Raises:
        InvalidInputError: something is malformed, or can't be.
    """
    _check_count("cpus", cpus, 1)
    _check_count("gpus", gpus, 0)
    size = parse_size(memory) if isinstance(memory, str) else memory
    if size is not None and not (type(size) is int and MIN_MEMORY_BYTES <= size < 1 << 62):
        raise InvalidInputError(f"a memory of {size} bytes can't be: give 1Mi or more")
    seconds = parse_duration(time) if isinstance(time, str) else time
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInputError(f"a time of {seconds} seconds can't be: give more than 0")
    return Resources(cpus, gpus, size, None if seconds is None else float(seconds))


def _check_count(what: str, count: int | None, least: int) -> None:
    if count is not None and not (type(count) is int and least <= count <= MAX_COUNT):
        raise InvalidInputError(f"{what} must be a number from {least} on, not {count!r}")


def parse_duration(text: str) -> float:
    """Return the seconds that ``90``, ``45s``, ``1h30m``, ``2d`` or ``1-12:00:00`` says.

    Raises:
        InvalidInputError: it is none.
    """
    if _SECONDS.fullmatch(text):
        return float(text)
    if _PARTS.fullmatch(text):
        return sum(float(count) * _UNIT_SECONDS[unit] for count, unit in _PART.findall(text))
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    raise InvalidInputError(
        f"invalid time {text[:80]!r}: write seconds, 45s, 30m, 1h30m, 2d or HH:MM:SS",
        value=text[:80],
    )
