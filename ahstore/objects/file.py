"""A file's row in a tree, and the view of it that people get.

Implements "Files" of docs/format/objects.md. Rows are plain lists, for there are many;
``FileEntry`` is made for those that are shown. Chunk lists themselves are in ``chunklist.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from ahstore.codec.digests import MD5_BYTES
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import ChunkId
from ahstore.names import are_plain_paths, check_object_path
from ahstore.objects import content_type as content_types

Row: TypeAlias = list[Any]
"""``[path: str, size: int, md5: 16 bytes, mtime_ns: int, flags: int, content type: int | str, refs: bytes]``"""

PATH, SIZE, MD5, MTIME_NS, FLAGS, CONTENT_TYPE, REFS = range(7)
ROW_LENGTH = 7

EXECUTABLE = 1
LEVEL_SHIFT = 4
MAX_REF_LEVEL = 15
_KNOWN_FLAGS = EXECUTABLE | MAX_REF_LEVEL << LEVEL_SHIFT

_REF = struct.Struct(">32sQ")
REF_BYTES = _REF.size
MAX_INLINE_REFS = 4

_COLUMN_TYPES: list[set[type]] = [{str}, {int}, {bytes}, {int}, {int}, {int}, {bytes}]
_NS_PER_SECOND = 1_000_000_000
_MIN_MTIME_NS, _MAX_MTIME_NS = -(1 << 63), (1 << 63) - 1


class ChunkRef(NamedTuple):
    """A chunk, or a chunk that lists chunks, and how many bytes of the file it stands for."""

    id: ChunkId
    length: int


def pack_refs(refs: list[ChunkRef]) -> bytes:
    """Return the references back to back: 32 bytes of id and the length, u64 big-endian."""
    return b"".join([_REF.pack(*ref) for ref in refs])


def unpack_refs(data: bytes) -> Iterator[ChunkRef]:
    """Yield the references that ``data`` holds.

    Raises:
        CorruptError: its length is not a multiple of a reference's, or a length is 0.
    """
    if len(data) % REF_BYTES:
        raise CorruptError(f"a chunk list of {len(data)} bytes, not a multiple of {REF_BYTES}")
    for chunk_id, length in _REF.iter_unpack(data):
        if not length:
            raise CorruptError("a chunk list holds a chunk of no bytes")
        yield ChunkRef(chunk_id, length)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file in a commit.

    Attributes:
        path: relative, ``/``-separated.
        size: bytes.
        md5: of the content; shown and checked, never trusted.
        mtime_ns: time of last change where it was committed, nanoseconds since 1970 UTC.
        executable: whether its owner may execute it.
        content_type: such as ``image/png``.
        level: 0 if ``refs`` are of chunks, else how many levels of lists lie between.
        refs: up to four references, back to back.
    """

    path: str
    size: int
    md5: bytes
    mtime_ns: int
    executable: bool
    content_type: str
    level: int
    refs: bytes

    @classmethod
    def from_row(cls, row: Row) -> FileEntry:
        """Return the view of a row that ``check_row`` accepts."""
        path, size, md5, mtime_ns, flags, content_type, refs = row
        return cls(
            path,
            size,
            md5,
            mtime_ns,
            bool(flags & EXECUTABLE),
            content_types.decode(content_type),
            flags >> LEVEL_SHIFT,
            refs,
        )

    def to_row(self) -> Row:
        """Return the row."""
        return [
            self.path,
            self.size,
            self.md5,
            self.mtime_ns,
            make_flags(executable=self.executable, level=self.level),
            content_types.encode(self.content_type),
            self.refs,
        ]

    @property
    def chunks(self) -> tuple[ChunkRef, ...]:
        """The references in the row itself, at ``level``."""
        return tuple(unpack_refs(self.refs))

    @property
    def mtime(self) -> int:
        """Whole seconds since 1970 UTC."""
        return self.mtime_ns // _NS_PER_SECOND

    @property
    def checksum(self) -> str:
        """The MD5 in hex."""
        return self.md5.hex()


def make_flags(*, executable: bool, level: int = 0) -> int:
    """Return the flags of a row."""
    return (EXECUTABLE if executable else 0) | level << LEVEL_SHIFT


def same_content(a: Row, b: Row) -> bool:
    """Tell whether two rows are the same but for path and mtime.

    References decide: equal MD5s with different chunks are different files.
    """
    return bool(
        a[SIZE] == b[SIZE]
        and a[REFS] == b[REFS]
        and a[FLAGS] == b[FLAGS]
        and a[CONTENT_TYPE] == b[CONTENT_TYPE]
        and a[MD5] == b[MD5]
    )


def check_row(row: object) -> Row:
    """Return ``row`` if it is a file's.

    Raises:
        CorruptError: it is not; the message says what is wrong.
    """
    if type(row) is not list or len(row) != ROW_LENGTH:
        raise CorruptError("not a file's row")
    problem = _problem_with_types(row) or _problem_with_refs(row)
    if problem:
        raise CorruptError(f"not a file's row: {problem}")
    try:
        check_object_path(row[PATH])
        content_types.check(row[CONTENT_TYPE])
    except InvalidInputError as error:
        raise CorruptError(f"not a file's row: {error}") from error
    return row


def check_rows(rows: list[Row]) -> None:
    """Check all rows of a page as ``check_row`` does each, but by columns, so that it costs little.

    Raises:
        CorruptError: one of them is not a file's row.
    """
    if not _are_surely_right(rows):
        for row in rows:
            check_row(row)


def _are_surely_right(rows: list[Row]) -> bool:
    """Tell whether nothing is wrong; False where only a closer look can tell."""
    if {*map(type, rows)} != {list} or {*map(len, rows)} != {ROW_LENGTH}:
        return False
    columns = list(zip(*rows, strict=True))
    if [{*map(type, column)} for column in columns] != _COLUMN_TYPES:
        return False
    paths, sizes, md5s, mtimes, flags, kinds, refs = columns
    return (
        {*map(len, md5s)} == {MD5_BYTES}
        and min(mtimes) >= _MIN_MTIME_NS
        and max(mtimes) <= _MAX_MTIME_NS
        and min(flags) >= 0
        and not any(flag & ~_KNOWN_FLAGS for flag in {*flags})
        and min(kinds) >= 0
        and max(kinds) <= content_types.MAX_INDEX
        and min(sizes) >= 0
        and _lengths_fit(rows, sizes, refs)
        and are_plain_paths(paths)
    )


def _lengths_fit(rows: list[Row], sizes: tuple[int, ...], refs: tuple[bytes, ...]) -> bool:
    if {*map(len, refs)} != {REF_BYTES}:  # not all are of one chunk
        return not any(map(_problem_with_refs, rows))
    lengths = [length for (_, length) in _REF.iter_unpack(b"".join(refs))]
    return lengths == [*sizes] and 0 not in sizes


def _problem_with_types(row: Row) -> str | None:
    kinds = (*map(type, row[:CONTENT_TYPE]), type(row[REFS]))
    if kinds != (str, int, bytes, int, int, bytes):
        return "a field is of another type"
    if row[SIZE] < 0 or len(row[MD5]) != MD5_BYTES or row[FLAGS] & ~_KNOWN_FLAGS:
        return "size, MD5 or flags are out of bounds"
    if not _MIN_MTIME_NS <= row[MTIME_NS] <= _MAX_MTIME_NS:
        return "mtime is out of bounds"
    return None


def _problem_with_refs(row: Row) -> str | None:
    refs: bytes = row[REFS]
    if len(refs) > MAX_INLINE_REFS * REF_BYTES:
        return f"more than {MAX_INLINE_REFS} references"
    if not refs and row[FLAGS] >> LEVEL_SHIFT:
        return "an empty file has a list of chunks"
    if sum(ref.length for ref in unpack_refs(refs)) != row[SIZE]:
        return "the lengths of its chunks are not its size"
    return None
