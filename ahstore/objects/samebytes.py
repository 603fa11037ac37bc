"""Which bytes of two files may differ, told by their chunk lists: nothing is read but lists.

Two ranges of equal length are gone through side by side. Where both have the same chunk, or the
same list of chunks, at the same distance from the range's start, the bytes are the same, and a
common list is not even read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ahstore.objects.chunklist import ReadChunk, checked_list
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, REFS, ChunkRef, Row


class Span(NamedTuple):
    """Bytes of a range, counted from its start; ``certain``: they do differ, else they may."""

    start: int
    length: int
    certain: bool


class Listed(NamedTuple):
    """A file by its chunk list."""

    level: int
    refs: bytes
    read_chunk: ReadChunk

    @staticmethod
    def of(row: Row, read_chunk: ReadChunk) -> Listed:
        """Return a file by its row."""
        return Listed(row[FLAGS] >> LEVEL_SHIFT, row[REFS], read_chunk)


def differing(a: Listed, start_a: int, b: Listed, start_b: int, length: int) -> Iterator[Span]:
    """Yield where two ranges of ``length`` bytes may differ, in order, neighbours joined.

    Both ranges lie within their files.

    Raises:
        CorruptError: a chunk list is malformed.
    """
    joined: Span | None = None
    for span in spans(a, start_a, b, start_b, length):
        if joined and joined.start + joined.length == span.start and joined.certain == span.certain:
            joined = Span(joined.start, joined.length + span.length, joined.certain)
            continue
        if joined:
            yield joined
        joined = span
    if joined:
        yield joined


def spans(
    a_file: Listed, start_a: int, b_file: Listed, start_b: int, length: int
) -> Iterator[Span]:
    """Yield as :func:`differing` does, but chunk by chunk: the next list waits until it is needed."""
    if not length:
        return  # an empty file has no list to begin with
    a, b = _Cursor(a_file, start_a), _Cursor(b_file, start_b)
    at = 0
    while at < length:
        a.seek(at)
        b.seek(at)
        aligned = a.start == b.start and a.end == b.end
        if aligned and a.level == b.level and a.ref.id == b.ref.id:
            at = a.end
        elif a.level or b.level:
            level = max(a.level, b.level)
            for side in (a, b):
                if side.level == level:
                    side.open()
        else:
            end = min(a.end, b.end, length)
            yield Span(at, end - at, certain=aligned and a.start >= 0 and a.end <= length)
            at = end


class _Cursor:
    """A place in a file's list: ``ref`` stands for bytes ``start`` to ``end``, from the range's start."""

    __slots__ = ("_path", "_read_chunk", "end", "level", "ref", "start")

    def __init__(self, listed: Listed, offset: int) -> None:
        self._read_chunk = listed.read_chunk
        # From the top down: references to come, the next one last.
        self._path = [(listed.level, checked_list(listed.level, listed.refs, None)[::-1])]
        self.start = self.end = -offset
        self._take()

    def seek(self, at: int) -> None:
        """Go on to what stands for the byte ``at``."""
        while self.end <= at:
            self._take()

    def open(self) -> None:
        """Go into the list that is here."""
        level = self.level - 1
        refs = checked_list(level, self._read_chunk(self.ref.id), self.ref.length)
        self._path.append((level, refs[::-1]))
        self.end = self.start
        self._take()

    def _take(self) -> None:
        while not self._path[-1][1]:
            self._path.pop()
        self.level, refs = self._path[-1]
        self.ref: ChunkRef = refs.pop()
        self.start = self.end
        self.end += self.ref.length
