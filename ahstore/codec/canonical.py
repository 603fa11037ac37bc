"""Canonical msgpack: one value, one encoding, and nothing else is accepted back.

Implements docs/format/encoding.md. Everything the store parses comes through ``decode``, so its
bounds hold for hostile bytes too: size, depth and number of items are limited before memory is
spent. What a decoded value means is left to those who ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias, Union

import msgpack

from ahstore.errors import CorruptError, InvalidInputError

Value: TypeAlias = Union[bool, int, float, str, bytes, "list[Value]", "dict[str, Value]", None]

MAX_DEPTH = 64
"""Deepest nesting of lists and maps that is ever written; a scalar has depth 0."""

_SCALARS: frozenset[type] = frozenset((type(None), bool, int, float, str, bytes))
_CONTAINERS: frozenset[type] = frozenset((list, dict))
_LIST_ONLY: frozenset[type] = frozenset((list,))


@dataclass(frozen=True, slots=True)
class Limits:
    """What ``decode`` accepts.

    Attributes:
        bytes: longest encoding.
        depth: deepest nesting of lists and maps. None leaves it to the caller, who checks the shape
            anyway, and saves the walk; the unpacker itself stops at 1,024.
        items: most values in all containers together; keys count, an empty container twice.
    """

    bytes: int = 4 * 1024 * 1024
    depth: int | None = MAX_DEPTH
    items: int = 65_536


DEFAULT_LIMITS = Limits()


def encode(value: Value) -> bytes:
    """Return the one canonical encoding of ``value``.

    Raises:
        InvalidInputError: it holds another type (tuples and subclasses included), a map key that
            is not a str, an int outside 64 bits, a str that is not UTF-8, or is nested too deeply.
    """
    try:
        return _pack(_ordered(value, MAX_DEPTH))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"cannot be encoded: {error}") from error


def decode(data: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> Value:
    """Return the value whose canonical encoding is ``data``.

    Raises:
        CorruptError: ``data`` is anything but such an encoding, or exceeds ``limits``.
    """
    if len(data) > limits.bytes:
        raise CorruptError(f"a value of {len(data)} bytes, the limit is {limits.bytes}")
    raw = data if type(data) is bytes else bytes(data)
    try:
        value = _unpack(raw, limits.items)
        again = _pack(value)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise CorruptError(f"not canonical msgpack: {error}") from error
    if again != raw:
        raise CorruptError("not canonical msgpack: it encodes differently")
    if limits.depth is not None:
        _check_depth(value, limits.depth)
    return value


def _pack(value: Value) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, strict_types=True)
    return packed


def _ordered(value: Any, depth: int) -> Value:
    """Return ``value`` with sorted maps, sharing whatever needs no change; check every type."""
    kind = type(value)
    if kind in _SCALARS:
        return value  # type: ignore[no-any-return]
    if depth == 0:
        raise InvalidInputError(f"nested more than {MAX_DEPTH} deep")
    if kind is list:
        if _SCALARS.issuperset(map(type, value)) or (depth > 1 and _are_plain_rows(value)):
            return value  # type: ignore[no-any-return]
        return [_ordered(item, depth - 1) for item in value]
    if kind is dict:
        if not all(type(key) is str for key in value):
            raise InvalidInputError("cannot be encoded: a map key is not a string")
        return {key: _ordered(value[key], depth - 1) for key in sorted(value)}
    raise InvalidInputError(f"cannot be encoded: a {kind.__name__}")


def _are_plain_rows(value: list[Any]) -> bool:
    """Tell whether all items are lists of scalars, as those of a page are, in two loops in C."""
    return {*map(type, value)} == _LIST_ONLY and _SCALARS.issuperset(
        map(type, chain.from_iterable(value))
    )


def _unpack(raw: bytes, max_items: int) -> Value:
    # A value takes a byte at least: encodings this short need no counting of items.
    counted = len(raw) > max_items
    hooks = _CountingHooks(max_items) if counted else None
    longest = min(max_items, len(raw))
    value: Value = msgpack.unpackb(
        raw,
        raw=False,
        strict_map_key=False,  # the hook says it better, and before hashing
        object_pairs_hook=hooks.pairs if hooks else _checked_map,
        list_hook=hooks.list if hooks else None,
        timestamp=1,  # as a float, which encodes differently: no ext type survives
        ext_hook=_refuse_ext,
        max_array_len=longest,
        max_map_len=longest,
    )
    return value


def _checked_map(pairs: list[tuple[Any, Value]]) -> dict[str, Value]:
    last: str | None = None
    for key, _ in pairs:
        if type(key) is not str:
            raise ValueError("a map key is not a string")
        if last is not None and key <= last:
            raise ValueError("map keys are not in order")
        last = key
    return dict(pairs)


def _refuse_ext(code: int, _data: bytes) -> Value:
    raise ValueError(f"extension type {code}")


class _CountingHooks:
    """Counts items while containers close, so that a bomb of small ones stops early."""

    def __init__(self, left: int) -> None:
        self._left = left

    def pairs(self, pairs: list[tuple[Any, Value]]) -> dict[str, Value]:
        self._count(2 * len(pairs))
        return _checked_map(pairs)

    def list(self, items: list[Value]) -> list[Value]:
        self._count(len(items))
        return items

    def _count(self, items: int) -> None:
        # An empty container costs memory before its parent, still open, counts it: so one each.
        self._left -= max(items, 1)
        if self._left < 0:
            raise ValueError("too many items")


def _check_depth(value: Value, depth: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if depth == 0:
        raise CorruptError("nested too deeply")
    children = value if kind is list else value.values()  # type: ignore[union-attr]
    if _CONTAINERS.isdisjoint(map(type, children)):  # type: ignore[arg-type]
        return
    if depth > 1 and kind is list and _are_plain_rows(value):  # type: ignore[arg-type]
        return
    for child in children:  # type: ignore[union-attr]
        if type(child) in _CONTAINERS:
            _check_depth(child, depth - 1)
