"""How far the values of two versions of a Parquet column are apart, by pyarrow, which is optional.

Only row groups whose bytes differ are read, and of them this one column. Nested columns and types
that are no numbers are only counted, or told why not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ahstore.errors import AhError, UnsupportedError
from ahstore.objects.parts.part import Range
from ahstore.objects.samebytes import differing
from ahstore.versions.comparing.content import Content
from ahstore.versions.comparing.raw import Cut
from ahstore.versions.comparing.values import Sum, Values

try:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]
except ImportError as error:
    raise UnsupportedError(
        "to compare the values of columns pyarrow is needed: pip install 'ahstore[diff]'"
    ) from error

if TYPE_CHECKING:
    from ahstore.versions.comparing.numbers import Array

BATCH_ROWS = 65_536
MAX_FOOTER_BYTES = 16 * 2**20


def compare_columns(a: Cut, b: Cut) -> tuple[Values | None, str]:
    """Return how far two columns with as many rows are apart, or why that can't be told."""
    try:
        return _compare(a, b), ""
    except AhError:
        raise  # the store's own trouble, not the file's
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        return None, f"values can't be read: {first[:200]}"


def _compare(a: Cut, b: Cut) -> Values:
    groups = _differing_groups(a, b)
    found: Sum | None = None
    total = sum(a.group_rows)
    rows = 0
    for one, other in _pairs(_batches(a, groups), _batches(b, groups)):
        if found is None:
            found = Sum(numeric=_is_numeric(one.type) and _is_numeric(other.type))
            if not found.numeric and one.type != other.type:
                raise TypeError("the types are not comparable")
        _add(found, one, other)
        rows += len(one)
    expected = total if groups is None else sum(a.group_rows[group] for group in groups)
    if rows != expected:
        raise ValueError("it has other rows than its footer says")
    return (found or Sum(numeric=False)).values(total)


def _differing_groups(a: Cut, b: Cut) -> list[int] | None:
    """Return the row groups that may differ; None for all, where the groups are not the same."""
    if a.group_rows != b.group_rows:
        return None
    pairs = zip(a.part.ranges, b.part.ranges, strict=True)
    return [group for group, (x, y) in enumerate(pairs) if _may_differ(a.content, x, b.content, y)]


def _may_differ(a: Content, x: Range, b: Content, y: Range) -> bool:
    return x.length != y.length or any(
        True for _ in differing(a.listed, x.offset, b.listed, y.offset, x.length)
    )


def _batches(cut: Cut, groups: list[int] | None) -> Iterator[Any]:
    """Yield the column's values, some rows at a time."""
    file = pq.ParquetFile(
        pa.PythonFile(_Stream(cut.content), mode="r"),
        pre_buffer=False,
        thrift_string_size_limit=MAX_FOOTER_BYTES,
        thrift_container_size_limit=1_000_000,
    )
    for batch in file.iter_batches(
        BATCH_ROWS, row_groups=groups, columns=[cut.part.name], use_threads=False
    ):
        if batch.num_columns != 1:
            raise ValueError("there are several columns of this name")
        column = batch.column(0)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        yield column


def _pairs(a: Iterator[Any], b: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield both sides in pieces of equal length, to where the shorter one ends."""
    one, other = next(a, None), next(b, None)
    while one is not None and other is not None:
        length = min(len(one), len(other))
        if length:
            yield one.slice(0, length), other.slice(0, length)
        one = one.slice(length) if length < len(one) else next(a, None)
        other = other.slice(length) if length < len(other) else next(b, None)


def _add(found: Sum, one: Any, other: Any) -> None:
    missing = [_numpy(side.is_null()) for side in (one, other)]
    both = ~(missing[0] | missing[1])
    found.add_missing(int((missing[0] != missing[1]).sum()))
    if found.numeric:
        numbers = [_numpy(pc.fill_null(_plain(side), 0)) for side in (one, other)]
        found.add_numbers(numbers[0][both], numbers[1][both])
    else:
        found.changed += pc.sum(pc.not_equal(one, other)).as_py() or 0


def _is_numeric(type_: Any) -> bool:
    types = pa.types
    return bool(
        types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_boolean(type_)
        or types.is_decimal(type_)
    )


def _plain(side: Any) -> Any:
    """Return numbers as numpy has them."""
    if pa.types.is_boolean(side.type):
        return side.cast(pa.uint8())
    return side.cast(pa.float64()) if pa.types.is_decimal(side.type) else side


def _numpy(side: Any) -> Array:
    array: Array = side.to_numpy(zero_copy_only=False)
    return array


class _Stream(io.RawIOBase):
    """An object as pyarrow reads it: exactly what is asked for is fetched."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = (
            offset
            + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._content.size}[whence]
        )
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._content.size - self._at)
        data = self._content.read(self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data
