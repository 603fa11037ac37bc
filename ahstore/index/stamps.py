"""What tells that a file on disk is as it was: its stamps, one file's or many in one row of bytes.

Many are kept as bytes because they are compared as bytes: a folder of which nothing changed costs
one comparison. What is remembered of a file lies in ``filestates`` and ``folderstates``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from itertools import starmap
from operator import attrgetter
from typing import NamedTuple

_MASK = 2**64 - 1


class Stamp(NamedTuple):
    """The parts of an ``os.stat_result`` that change when the file does; sizes in bytes."""

    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int
    st_dev: int
    st_mode: int


Fields = tuple[int, int, int, int, int, int]
"""The fields of a :class:`Stamp`, and equal to it."""

fields: Callable[[os.stat_result | Stamp], Fields] = attrgetter(*Stamp._fields)
"""Returns them; quicker than making a stamp."""

_STAMP = struct.Struct("=qqqQQQ")
STAMP_BYTES = _STAMP.size

UNTRUSTED = _STAMP.pack(-1, 0, 0, 0, 0, 0)
"""The stamp of no file: what stands there is never taken for unchanged."""


def stamp(found: os.stat_result) -> Stamp:
    """Return the stamp of one file."""
    return Stamp._make(fields(found))


def pack(stamps: Iterable[os.stat_result | Stamp]) -> bytes:
    """Return stamps back to back, ``STAMP_BYTES`` each.

    Raises:
        OverflowError: a number is none that a file system gives.
    """
    columns = [*map(fields, stamps)]
    try:
        return b"".join(starmap(_STAMP.pack, columns))
    except struct.error:
        signed = [(*c[:3], *(number & _MASK for number in c[3:])) for c in columns]
        try:
            return b"".join(starmap(_STAMP.pack, signed))
        except struct.error as error:
            raise OverflowError(str(error)) from error


def unpack(stamps: bytes, at: int) -> Stamp:
    """Return the stamp at a place among packed ones."""
    return Stamp._make(_STAMP.unpack_from(stamps, at * STAMP_BYTES))


def unpack_all(stamps: bytes) -> list[Fields]:
    """Return all packed stamps, as plain tuples."""
    return [*_STAMP.iter_unpack(stamps)]


def sizes(stamps: bytes) -> list[int]:
    """Return the sizes of packed stamps."""
    return memoryview(stamps).cast("q")[:: STAMP_BYTES // 8].tolist()


def newest_ns(stamps: bytes) -> int:
    """Return the latest mtime or ctime of packed stamps, of at least one file."""
    numbers = memoryview(stamps).cast("q")
    step = STAMP_BYTES // 8
    return max(max(numbers[1::step].tolist()), max(numbers[2::step].tolist()))
