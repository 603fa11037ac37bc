"""A part of a file: its name, its type and shape if they are known, and where its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn, TypeAlias

from ahstore.chunks.formats.reading import NotThisFormatError
from ahstore.chunks.formats.zip import Member

FormatName: TypeAlias = Literal["safetensors", "npy", "npz", "pytorch", "zip", "parquet"]
Coding: TypeAlias = Literal["raw", "deflate", "parquet"]

MAX_DIMENSIONS = 64
"""No writer makes arrays of more."""


class Range(NamedTuple):
    """Bytes of a file."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor, array, record, member or column.

    Attributes:
        name: unique in its file.
        ranges: where it lies, one range but for a column, which has one for each row group.
        dtype: as the format spells it, None if it is not known (or not yet: ``pending``).
        shape: its sizes, outermost first; a column's is its number of rows.
        coding: how the ranges' bytes become values.
        fortran: the first index runs fastest.
        raw_bytes: of its values, uncompressed; None if not known.
        skip: bytes before its values in what is decompressed.
        opaque: why values can't be compared, "" if they can.
        pending: what a zip's directory says of it. Then ``ranges`` is all from its local header to
            the next one, and ``archive.detail`` tells the rest.
    """

    name: str
    ranges: tuple[Range, ...]
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    coding: Coding = "raw"
    fortran: bool = False
    raw_bytes: int | None = None
    skip: int = 0
    opaque: str = ""
    pending: Member | None = None

    @property
    def stored_bytes(self) -> int:
        """How many bytes of the file it takes."""
        return sum(range_.length for range_ in self.ranges)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds.

    Attributes:
        format: its format.
        parts: by name, in the file's order.
        group_rows: of a Parquet file: the rows of each row group.
    """

    format: FormatName
    parts: dict[str, Part] = field(default_factory=dict)
    group_rows: tuple[int, ...] = ()


def add(parts: dict[str, Part], part: Part) -> None:
    """Put ``part`` under its name.

    Raises:
        NotThisFormatError: there is one of that name.
    """
    if part.name in parts:
        refuse(f"it names {part.name[:80]!r} twice")
    parts[part.name] = part


def count(shape: tuple[int, ...]) -> int:
    """Return how many elements an array of this shape has."""
    total = 1
    for size in shape:
        total *= size
    return total


def check_shape(shape: object) -> tuple[int, ...]:
    """Return a shape that a header gives as a list of numbers.

    Raises:
        NotThisFormatError: it is none.
    """
    if not isinstance(shape, list | tuple) or len(shape) > MAX_DIMENSIONS:
        refuse("a shape that is none")
    if any(type(size) is not int or not 0 <= size < 1 << 63 for size in shape):
        refuse("a shape that is none")
    return tuple(shape)


def refuse(why: str) -> NoReturn:
    """Raise the error for a file that is not of its format; ``why`` is for people."""
    raise NotThisFormatError(why)
