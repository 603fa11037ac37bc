"""How far the values of two versions of a part are apart; only blocks that may differ are read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ahstore.chunks.formats.reading import NotThisFormatError
from ahstore.errors import UnsupportedError
from ahstore.objects.parts.part import Part, count
from ahstore.objects.samebytes import differing
from ahstore.versions.comparing.raw import Cut, raw_blocks

try:
    import numpy as np

    from ahstore.versions.comparing.numbers import Numbers, numbers_of
except ImportError as error:
    raise UnsupportedError(
        "to compare values numpy is needed: pip install 'ahstore[diff]'"
    ) from error

if TYPE_CHECKING:
    from ahstore.versions.comparing.numbers import Array

BLOCK_ELEMENTS = 2**17


@dataclass(frozen=True, slots=True)
class Values:
    """How far values are apart.

    Attributes:
        total: how many there are.
        changed: how many differ. NaN is the same as NaN; a value is not the same as none.
        l2: the root of the sum of the squared differences; None where there are no numbers.
        max: the largest absolute difference; None as for ``l2``.
        not_finite: how many of the changed are NaN, infinite or missing on a side: they are in neither
            ``l2`` nor ``max``.
    """

    total: int
    changed: int
    l2: float | None
    max: float | None
    not_finite: int


class Sum:
    """Adds up differences, block by block."""

    def __init__(self, *, numeric: bool) -> None:
        self.changed = self.not_finite = 0
        self.numeric = numeric
        self._l2 = self._max = 0.0

    def add_numbers(self, a: Array, b: Array) -> None:
        """Add two blocks of equal length."""
        with np.errstate(all="ignore"):
            if a.dtype.kind in "iu" and b.dtype.kind in "iu":
                differs, apart = a != b, _integers_apart(a, b)
            else:
                differs = (a != b) & ~(np.isnan(a) & np.isnan(b))
                apart = np.abs(_wide(a) - _wide(b))
            apart = apart[differs]
            finite = apart[np.isfinite(apart)]
        self.changed += int(np.count_nonzero(differs))
        self.not_finite += len(apart) - len(finite)
        self._add(finite)

    def add_missing(self, number: int) -> None:
        """Add so many places where one side has no value."""
        self.changed += number
        self.not_finite += number

    def _add(self, apart: Array) -> None:
        largest = float(apart.max(initial=0))
        if largest:
            # Scaled, for squares may be too large or too small for a float.
            scaled = apart / largest
            self._l2 = math.hypot(self._l2, largest * math.sqrt(float(scaled @ scaled)))
            self._max = max(self._max, largest)

    def values(self, total: int) -> Values:
        """Return what was added up."""
        if not self.numeric:
            return Values(total, self.changed, None, None, 0)
        return Values(total, self.changed, self._l2, self._max, self.not_finite)


def compare_values(a: Cut, b: Cut) -> tuple[Values | None, str]:
    """Return how far the values of two parts are apart, or why that can't be told.

    Raises:
        UnsupportedError: columns need pyarrow, which is not installed.
    """
    if reason := _reason(a.part, b.part):
        return None, reason
    if a.part.coding == "parquet":
        from ahstore.versions.comparing.columns import compare_columns  # pyarrow, optional

        return compare_columns(a, b)
    try:
        numbers = numbers_of(a.part), numbers_of(b.part)
        return _compare(a, b, *numbers), ""
    except (NotThisFormatError, TypeError) as error:
        return None, f"values can't be read: {error}"


def _reason(a: Part, b: Part) -> str:
    if a.shape != b.shape:
        return "values are not compared: the shapes differ"
    if opaque := a.opaque or b.opaque:
        return f"values are not compared: {opaque}"
    if a.fortran != b.fortran:
        return "values are not compared: they stand in another order"
    return ""


def _compare(a: Cut, b: Cut, of_a: Numbers, of_b: Numbers) -> Values:
    assert a.part.shape is not None
    total = count(a.part.shape)
    numeric = "bytes" not in (of_a.family, of_b.family)
    if not numeric and a.part.dtype != b.part.dtype:
        raise TypeError("the types are not comparable")
    found = Sum(numeric=numeric)
    for start, length in _runs(a, b, of_a.item_bytes, total):
        for one, other in zip(
            _elements(a, of_a, start, length), _elements(b, of_b, start, length), strict=True
        ):
            if numeric:
                found.add_numbers(one, other)
            else:
                found.changed += int(np.count_nonzero(one != other))
    return found.values(total)


def _runs(a: Cut, b: Cut, size: int, total: int) -> Iterator[tuple[int, int]]:
    """Yield first element and number of those that may differ."""
    if a.part.dtype != b.part.dtype or "deflate" in (a.part.coding, b.part.coding):
        yield 0, total
        return
    (in_a,), (in_b,) = a.part.ranges, b.part.ranges
    done = 0
    spans = differing(a.content.listed, in_a.offset, b.content.listed, in_b.offset, in_a.length)
    for span in spans:
        first = max(done, span.start // size)
        done = -(-(span.start + span.length) // size)
        if done > first:
            yield first, done - first


def _elements(cut: Cut, numbers: Numbers, start: int, length: int) -> Iterator[Array]:
    """Yield elements in blocks of ``BLOCK_ELEMENTS``."""
    size = numbers.item_bytes
    held = bytearray()
    left = length
    for block in raw_blocks(cut, start * size, length * size):
        held += block
        while left and len(held) >= min(left, BLOCK_ELEMENTS) * size:
            number = min(left, BLOCK_ELEMENTS)
            yield numbers.decode(bytes(held[: number * size]))
            del held[: number * size]
            left -= number


def _wide(values: Array) -> Array:
    kind: Any = np.complex128 if values.dtype.kind == "c" else np.float64
    return values.astype(kind, copy=False)


def _integers_apart(a: Array, b: Array) -> Array:
    """Return the exact distances, as floats: differences of 64 bits overflow, these do not."""
    wide = [values.astype(np.int64 if values.dtype.kind == "i" else np.uint64) for values in (a, b)]
    if wide[0].dtype != wide[1].dtype:
        return np.abs(a.astype(np.longdouble) - b.astype(np.longdouble)).astype(np.float64)
    low, high = np.minimum(*wide), np.maximum(*wide)
    return (high.view(np.uint64) - low.view(np.uint64)).astype(np.float64)
