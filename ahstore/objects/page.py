"""A page of a tree: its bytes, the rule that cuts pages, and who gives and takes them.

Implements "Trees" of docs/format/objects.md. A page is ``[level, rows]`` in canonical msgpack and
its id is the SHA-256 of that. What a leaf row holds beyond key and weight is its owner's business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from operator import itemgetter, lt
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
MAX_PAGE_BYTES = 4 * 1024 * 1024

_HASH_BITS = 256
_LIMITS = canonical.Limits(bytes=MAX_PAGE_BYTES, depth=canonical.MAX_DEPTH, items=1 << 20)
_get_key = itemgetter(KEY)
_get_weight = itemgetter(WEIGHT)
_get_count = itemgetter(COUNT)


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
        return digest[0] < 1 << (8 - BITS_PER_LEVEL)
    shift = _HASH_BITS - BITS_PER_LEVEL * (level + 1)
    if shift < 0:
        return False
    return not (int.from_bytes(digest, "big") >> shift) % (1 << BITS_PER_LEVEL)


def encode_page(level: int, rows: list[Row]) -> bytes:
    """Return the bytes of a page; ``rows`` are ascending.

    Raises:
        InvalidInputError: a row is malformed, or the rows are too large together.
    """
    problem = _problem_with_rows(level, rows)
    if problem:
        raise InvalidInputError(f"not rows of a page: {problem}")
    page: list[Any] = [level, rows]
    data = canonical.encode(page)
    if len(data) > _LIMITS.items:  # so large that decoding it may exceed a bound
        try:
            canonical.decode(data, limits=_LIMITS)
        except CorruptError as error:
            raise InvalidInputError(f"rows are too large for a page: {error}") from error
    return data


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
    problem = _problem_with_rows(level, rows)
    if problem:
        raise CorruptError(f"not a page: {problem}")
    checked: list[Row] = rows  # type: ignore[assignment]
    return Page(
        level,
        checked,
        [row[KEY] for row in checked],
        sum_weights(checked),
        sum_counts(level, checked),
        len(data),
    )


def sum_weights(rows: list[Row]) -> int:
    """Return the weight of all rows."""
    return sum(map(_get_weight, rows))


def sum_counts(level: int, rows: list[Row]) -> int:
    """Return how many leaf rows are at and below the rows of a page."""
    return sum(map(_get_count, rows)) if level else len(rows)


def _problem_with_rows(level: int, rows: list[Any]) -> str | None:
    """Say what is wrong with the form of the rows. All loops over rows run in C."""
    if not rows:
        return "an inner page without rows" if level else None
    if len(rows) > MAX_ROWS:
        return f"{len(rows)} rows, the limit is {MAX_ROWS}"
    if set(map(type, rows)) != {list} or min(map(len, rows)) <= WEIGHT:
        return "a row is not a list with key and weight"
    keys = list(map(_get_key, rows))
    if set(map(type, keys)) != {str}:
        return "a key is not a string"
    if not all(map(lt, keys, keys[1:])):
        return "keys are not in order"
    if set(map(type, map(_get_weight, rows))) != {int} or min(map(_get_weight, rows)) < 0:
        return "a weight is not a natural number"
    return _problem_with_inner(rows) if level else None


def _problem_with_inner(rows: list[Any]) -> str | None:
    if set(map(len, rows)) != {INNER_ROW_LENGTH}:
        return "an inner row is not key, weight, page, count"
    ids = [row[PAGE_ID] for row in rows]
    if set(map(type, ids)) != {bytes} or set(map(len, ids)) != {ADDRESS_BYTES}:
        return "a page id is not 32 bytes"
    if set(map(type, map(_get_count, rows))) != {int} or min(map(_get_count, rows)) < 1:
        return "a count is not a positive number"
    return None
