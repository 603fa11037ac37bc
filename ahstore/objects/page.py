"""A page of a tree: its bytes, the rule that cuts pages, and who gives and takes them.

Implements "Trees" of docs/format/objects.md. A page is ``[level, rows]`` in canonical msgpack and
its id is the SHA-256 of that. What a leaf row holds beyond key and weight is its owner's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import lt
from typing import Any, Protocol, TypeAlias

from ahstore.codec import canonical
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import ADDRESS_BYTES, PageId

Row: TypeAlias = list[Any]
"""A leaf row: ``[key: str, weight: int, *payload]``. Rows are shared with caches: never change one."""

InnerRow: TypeAlias = list[Any]
"""A row above the leaves: ``[last key: str, weight: int, page id: bytes, count of leaf rows: int]``."""

KEY, WEIGHT = 0, 1
PAGE_ID, COUNT = 2, 3
INNER_ROW_LENGTH = 4

MAX_ROWS = 256
BITS_PER_LEVEL = 6
MAX_LEVEL = 50
LEAF_BOUNDARY = 1 << (8 - BITS_PER_LEVEL)
"""A leaf ends after a key whose hash's first byte is less."""

MAX_PAGE_BYTES = 4 * 1024 * 1024

_HASH_BITS = 256
_LIMITS = canonical.Limits(bytes=MAX_PAGE_BYTES, depth=canonical.MAX_DEPTH, items=1 << 20)


CheckRows: TypeAlias = Callable[[list[Row]], None]
"""Checks the rows of a leaf that was read, as their owner means them; raises CorruptError."""


class PageSource(Protocol):
    """Who reads pages. The bytes it returns have been verified against the id."""

    def read_page(self, page: PageId) -> bytes:
        """Return the bytes of ``page``.

        Raises:
            NotFoundError: there is no such page.
            CorruptError: what is stored is not what the id says.
        """
        ...


class PageSink(Protocol):
    """Who stores pages."""

    def put_page(self, data: bytes) -> PageId:
        """Store ``data``, perhaps later, and return its SHA-256."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded page.

    Attributes:
        level: 0 for leaves.
        rows: ascending by key, shared: never change them.
        keys: of the rows; those of inner rows are the last keys below.
        weight: sum of the weights.
        count: leaf rows below.
        size: bytes of the encoding.
    """

    level: int
    rows: list[Row]
    keys: list[str]
    weight: int
    count: int
    size: int

    def as_row(self, page: PageId) -> InnerRow:
        """Return the row that stands for this page one level up. The page has rows."""
        return [self.keys[-1], self.weight, page, self.count]


def is_leaf(data: bytes) -> bool:
    """Tell from the bytes of a page, undecoded, whether it is a leaf: it is ``[level, rows]``."""
    return data[1:2] == b"\x00"


def is_boundary(key: str, level: int) -> bool:
    """Tell whether a page of ``level`` ends after ``key`` wherever it stands.

    Raises:
        InvalidInputError: ``key`` is not a str that UTF-8 can write.
    """
    try:
        digest = hashlib.sha256(key.encode()).digest()
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidInputError(f"not a key: {error}") from error
    if level == 0:
        return digest[0] < LEAF_BOUNDARY
    shift = _HASH_BITS - BITS_PER_LEVEL * (level + 1)
    if shift < 0:
        return False
    return not (int.from_bytes(digest, "big") >> shift) % (1 << BITS_PER_LEVEL)


def encode_page(level: int, rows: list[Row]) -> bytes:
    """Return the bytes of a page; raises as ``make_page``."""
    return make_page(level, rows)[0]


def make_page(level: int, rows: list[Row]) -> tuple[bytes, Page]:
    """Return the bytes of a page, and the page as who reads them gets it; ``rows`` are ascending.

    Raises:
        InvalidInputError: a row is malformed, or the rows are too large together.
    """
    if level > MAX_LEVEL:
        raise InvalidInputError(f"a tree of more than {MAX_LEVEL} levels")
    try:
        keys, weight, count = _measure(level, rows)
    except _MalformedError as error:
        raise InvalidInputError(f"not rows of a page: {error}") from error
    page: list[Any] = [level, rows]
    data = canonical.encode(page)
    if len(data) > _LIMITS.items:  # so large that decoding it may exceed a bound
        try:
            canonical.decode(data, limits=_LIMITS)
        except CorruptError as error:
            raise InvalidInputError(f"rows are too large for a page: {error}") from error
    return data, Page(level, rows, keys, weight, count, len(data))


def decode_page(data: bytes) -> Page:
    """Return the page that ``data`` encodes, its form checked.

    Raises:
        CorruptError: it is no page.
    """
    value = canonical.decode(data, limits=_LIMITS)
    if type(value) is not list or len(value) != 2:
        raise CorruptError("not a page")
    level, rows = value
    if type(level) is not int or not 0 <= level <= MAX_LEVEL or type(rows) is not list:
        raise CorruptError("not a page: level or rows are of another type")
    checked: list[Row] = rows  # type: ignore[assignment]
    try:
        keys, weight, count = _measure(level, checked)
    except _MalformedError as error:
        raise CorruptError(f"not a page: {error}") from error
    return Page(level, checked, keys, weight, count, len(data))


def inner_row(level: int, rows: list[Row], page: PageId) -> InnerRow:
    """Return the row that stands for the page of ``rows``, of ``level``, one level up."""
    weight, count = totals(level, rows)
    return [rows[-1][KEY] if rows else "", weight, page, count]


def totals(level: int, rows: list[Row]) -> tuple[int, int]:
    """Return weight and count of leaf rows at and below ``rows`` of a page of ``level``."""
    count = sum([row[COUNT] for row in rows]) if level else len(rows)
    return sum([row[WEIGHT] for row in rows]), count


class _MalformedError(Exception):
    """What is wrong with the rows of a page."""


def _measure(level: int, rows: list[Row]) -> tuple[list[str], int, int]:
    """Return keys, weight and count of a page's rows once their form is checked.

    Every page read or written comes through here, so loops over rows run in C. That rows are lists
    is left to the codec, which knows no other sequence.
    """
    if not rows:
        if level:
            raise _MalformedError("an inner page without rows")
        return [], 0, 0
    if len(rows) > MAX_ROWS:
        raise _MalformedError(f"{len(rows)} rows, the limit is {MAX_ROWS}")
    try:
        keys = [row[KEY] for row in rows]
        weights = [row[WEIGHT] for row in rows]
        # As str compares to nothing else, one that is a str and all in order are all str.
        in_order = type(keys[0]) is str and all(map(lt, keys, keys[1:]))
    except (TypeError, LookupError) as error:
        raise _MalformedError("a row is not a list with key and weight") from error
    if not in_order:
        raise _MalformedError("keys are not strings in order")
    if {*map(type, weights)} != {int} or min(weights) < 0:
        raise _MalformedError("a weight is not a natural number")
    return keys, sum(weights), _count(rows) if level else len(rows)


def _count(rows: list[InnerRow]) -> int:
    """Return the leaf rows below, once the form of inner rows is checked."""
    if {*map(len, rows)} != {INNER_ROW_LENGTH}:
        raise _MalformedError("an inner row is not key, weight, page, count")
    ids = [row[PAGE_ID] for row in rows]
    counts = [row[COUNT] for row in rows]
    if {*map(type, ids)} != {bytes} or {*map(len, ids)} != {ADDRESS_BYTES}:
        raise _MalformedError("a page id is not 32 bytes")
    if {*map(type, counts)} != {int} or min(counts) < 1:
        raise _MalformedError("a count is not a positive number")
    return sum(counts)
