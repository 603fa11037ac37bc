"""Long lists of chunks: a file of many chunks keeps its list in chunks of its own.

Implements "Chunk lists" of docs/format/objects.md. Up to four references stand in the file's row;
a longer list is cut by the ids themselves into list chunks, whose references are again a list. So
an insertion into a large file changes a list chunk or two, and equal files have equal lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import ADDRESS_BYTES, ChunkId
from ahstore.objects.file import (
    MAX_INLINE_REFS,
    MAX_REF_LEVEL,
    REF_BYTES,
    ChunkRef,
    pack_refs,
    unpack_refs,
)

MIN_GROUP = 32
MAX_GROUP = 512
BOUNDARY_MASK = 0x7F

MAX_FILE_BYTES = (1 << 63) - 1

PutChunk: TypeAlias = Callable[[bytes], ChunkId]
ReadChunk: TypeAlias = Callable[[ChunkId], bytes]


def build(refs: Iterable[ChunkRef], put_chunk: PutChunk) -> tuple[int, bytes]:
    """Store what is needed of the list ``refs``; return level and references for the file's row.

    Args:
        refs: the file's chunks in order, none of no bytes.
        put_chunk: stores a list chunk.

    Raises:
        InvalidInputError: a reference is malformed, or the file would be 2^63 bytes or longer.
    """
    builder = ListBuilder(put_chunk)
    for ref in refs:
        builder.add(ref)
    return builder.finish()


class ListBuilder:
    """Takes a file's chunks one by one, in memory bounded by the depth of the list."""

    def __init__(self, put_chunk: PutChunk, *, level: int = 0) -> None:
        self._put_chunk = put_chunk
        self._level = level
        self._open: list[ChunkRef] = []
        self._above: ListBuilder | None = None
        self.size = 0

    def add(self, ref: ChunkRef) -> None:
        """Add the next chunk.

        Raises:
            InvalidInputError: it is malformed, or the file grows too long.
        """
        chunk_id, length = ref
        if len(chunk_id) != ADDRESS_BYTES or length <= 0:
            raise InvalidInputError(f"not a chunk of a file: {length} bytes")
        self.size += length
        if self.size > MAX_FILE_BYTES:
            raise InvalidInputError("a file of 2^63 bytes or more")
        self._open.append(ref)
        group = len(self._open)
        if group >= MIN_GROUP and (not chunk_id[-1] & BOUNDARY_MASK or group == MAX_GROUP):
            self._close()

    def finish(self) -> tuple[int, bytes]:
        """Return level and references for the file's row."""
        if self._above is None:
            if len(self._open) <= MAX_INLINE_REFS:
                return self._level, pack_refs(self._open)
            self._close()
        elif self._open:
            self._close()
        assert self._above is not None
        return self._above.finish()

    def _close(self) -> None:
        chunk_id = self._put_chunk(pack_refs(self._open))
        length = sum(ref.length for ref in self._open)
        self._open = []
        if self._above is None:
            self._above = ListBuilder(self._put_chunk, level=self._level + 1)
        self._above.add(ChunkRef(chunk_id, length))


def walk(
    level: int,
    refs: bytes,
    read_chunk: ReadChunk,
    *,
    offset: int = 0,
    length: int | None = None,
) -> Iterator[tuple[ChunkRef, int]]:
    """Yield the file's chunks that hold bytes of a range, each with where it starts in the file.

    Only list chunks that cover the range are read.

    Args:
        level: of ``refs``; 0: they are the file's chunks.
        refs: references from the file's row.
        read_chunk: reads a list chunk, verified against its id.
        offset: start of the range, bytes.
        length: bytes of the range; to the end of the file when left out.

    Raises:
        InvalidInputError: offset or length is negative.
        CorruptError: a list is malformed or covers other bytes than said above it.
    """
    if offset < 0 or (length is not None and length < 0):
        raise InvalidInputError(f"not a range of bytes: {offset}, {length}")
    end = MAX_FILE_BYTES if length is None else offset + length
    return _walk(checked_list(level, refs, None), level, 0, offset, end, read_chunk)


def all_chunks(level: int, refs: bytes, read_chunk: ReadChunk) -> Iterator[ChunkId]:
    """Yield the ids of every chunk that a file needs, its list chunks included, lists first.

    Raises:
        CorruptError: as ``walk``.
    """
    for ref in checked_list(level, refs, None):
        yield ref.id
        if level:
            yield from _chunks_below(ref, level - 1, read_chunk)


def _chunks_below(ref: ChunkRef, level: int, read_chunk: ReadChunk) -> Iterator[ChunkId]:
    for below in checked_list(level, read_chunk(ref.id), ref.length):
        yield below.id
        if level:
            yield from _chunks_below(below, level - 1, read_chunk)


def _walk(
    refs: list[ChunkRef], level: int, start: int, low: int, high: int, read_chunk: ReadChunk
) -> Iterator[tuple[ChunkRef, int]]:
    for ref in refs:
        if start >= high:
            return
        if start + ref.length > low:
            if level == 0:
                yield ref, start
            else:
                below = checked_list(level - 1, read_chunk(ref.id), ref.length)
                yield from _walk(below, level - 1, start, low, high, read_chunk)
        start += ref.length


def checked_list(level: int, data: bytes, length: int | None) -> list[ChunkRef]:
    """Return the references in ``data``, which cover ``length`` bytes (None: not known).

    Raises:
        CorruptError: they are malformed, too many, or cover other bytes.
    """
    if not 0 <= level <= MAX_REF_LEVEL:
        raise CorruptError(f"a chunk list of level {level}")
    if len(data) > MAX_GROUP * REF_BYTES:
        raise CorruptError(f"a chunk list of {len(data)} bytes")
    refs = list(unpack_refs(data))
    if length is not None and sum(ref.length for ref in refs) != length:
        raise CorruptError("a chunk list covers other bytes than the list above says")
    return refs
