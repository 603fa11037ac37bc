"""Just enough of Thrift's compact protocol to walk through a Parquet footer and pick numbers.

Structs become ``{field id: value}`` of the fields asked for; all else is skipped, within bounds of
nesting and of values looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ahstore.chunks.formats.reading import NotThisFormatError

MAX_DEPTH = 16
MAX_VALUES = 1_000_000
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_INTEGERS = (_I16, _I32, _I64)
_FIXED = {_BYTE: 1, _DOUBLE: 8}

Read = Callable[["Compact", int], Any]
"""Reads one value of the given type."""


class Compact:
    """A position in the bytes of a struct."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._values = 0

    def struct(self, fields: Mapping[int, Read]) -> dict[int, Any]:
        """Read a struct; only fields that have an entry in ``fields`` are in what is returned.

        Raises:
            NotThisFormatError: the bytes are no struct, or beyond the bounds.
        """
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            self._count(1)
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            read = fields.get(number)
            if read is None:
                self._skip(kind, 0, in_struct=True)
            else:
                found[number] = read(self, kind)
        return found

    def integer(self, kind: int) -> int:
        """Read an i16, i32 or i64."""
        if kind not in _INTEGERS:
            raise NotThisFormatError
        return self._zigzag()

    def binary(self, kind: int) -> bytes:
        """Read a string of bytes."""
        if kind != _BINARY:
            raise NotThisFormatError
        length = self._varint()
        start = self._at
        self._move(length)
        return self._data[start : self._at]

    def seen(self, kind: int) -> bool:
        """Pass over a struct's field, whatever its type, and return True."""
        self._skip(kind, 0, in_struct=True)
        return True

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4
        if count == 15:
            count = self._varint()
        self._count(count)
        return head & 15, count

    def _skip(self, kind: int, depth: int, *, in_struct: bool = False) -> None:
        self._count(1)
        if depth > MAX_DEPTH:
            raise NotThisFormatError
        if kind in (_TRUE, _FALSE):
            self._move(0 if in_struct else 1)  # in a struct, the kind is the value
        elif kind in _FIXED:
            self._move(_FIXED[kind])
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            self._move(self._varint())
        elif kind in (_LIST, _SET):
            inner, count = self._list_head()
            for _ in range(count):
                self._skip(inner, depth + 1)
        elif kind == _MAP:
            self._skip_map(depth)
        elif kind == _STRUCT:
            while head := self._byte():
                if not head >> 4:
                    self._varint()
                self._skip(head & 15, depth + 1, in_struct=True)
        else:
            raise NotThisFormatError

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        self._count(count)
        if count:
            kinds = self._byte()
            for _ in range(count):
                self._skip(kinds >> 4, depth + 1)
                self._skip(kinds & 15, depth + 1)

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise NotThisFormatError

    def _move(self, length: int) -> None:
        self._at += length
        if self._at > len(self._data):
            raise NotThisFormatError

    def _byte(self) -> int:
        self._move(1)
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise NotThisFormatError

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def integer() -> Read:
    """Return a reader of an integer of any width."""
    return lambda data, kind: data.integer(kind)


def binary() -> Read:
    """Return a reader of a string of bytes."""
    return lambda data, kind: data.binary(kind)


def seen() -> Read:
    """Return a reader that only tells that a field is there."""
    return lambda data, kind: data.seen(kind)


def struct(fields: Mapping[int, Read]) -> Read:
    """Return a reader of a struct of which these fields are wanted."""

    def read(data: Compact, kind: int) -> dict[int, Any]:
        if kind != _STRUCT:
            raise NotThisFormatError
        return data.struct(fields)

    return read


def structs(fields: Mapping[int, Read]) -> Read:
    """Return a reader of a list of such structs."""

    def read(data: Compact, kind: int) -> list[dict[int, Any]]:
        if kind != _LIST:
            raise NotThisFormatError
        inner, count = data._list_head()
        if count and inner != _STRUCT:
            raise NotThisFormatError
        return [data.struct(fields) for _ in range(count)]

    return read
