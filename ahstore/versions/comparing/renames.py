"""Which deleted and added objects are one object that moved: by content, never by name alone.

The same chunks are the same content. With a threshold, what is left over is matched by the bytes
of the chunks that two objects have in common, which costs no more than their chunk lists.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from ahstore.ids import ChunkId
from ahstore.objects.chunklist import walk
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, PATH, REFS, SIZE, Row

Pair: TypeAlias = tuple[Row, Row, float]
ReadChunk: TypeAlias = Callable[[ChunkId], bytes]

MAX_CHUNKS = 262_144
"""Chunks of objects looked at for likeness, on each side; beyond, the rest is not."""
MAX_HOLDERS = 32
"""A chunk that more deleted objects have than this (zeros, a common header) tells nothing."""


def exact(deleted: Sequence[Row], added: Sequence[Row]) -> Iterator[Pair]:
    """Yield the pairs with the same content, those of the same name in another folder first.

    Empty objects are no pairs. Each row is in at most one.
    """
    named: defaultdict[tuple[object, str], deque[Row]] = defaultdict(deque)
    for row in deleted:
        if row[SIZE]:
            named[_content(row), _name(row)].append(row)
    rest = []
    for row in added:
        if found := named.get((_content(row), _name(row))):
            yield found.popleft(), row, 1.0
        else:
            rest.append(row)
    waiting: defaultdict[object, deque[Row]] = defaultdict(deque)
    for (content, _), rows in named.items():
        waiting[content].extend(rows)
    for row in rest:
        if found := waiting.get(_content(row)):
            yield found.popleft(), row, 1.0


def similar(
    deleted: Sequence[Row], added: Sequence[Row], read_chunk: ReadChunk, *, threshold: float
) -> Iterator[Pair]:
    """Yield pairs of which at least ``threshold`` (0 to 1) of the larger one's bytes are in common.

    The most alike go first. Objects of one chunk share nothing unless they are the same.

    Raises:
        CorruptError: a chunk list is malformed.
    """
    holders: defaultdict[ChunkId, list[int]] = defaultdict(list)
    for position, chunks in _chunk_sets(deleted, read_chunk):
        for chunk in chunks:
            if len(holders[chunk]) <= MAX_HOLDERS:
                holders[chunk].append(position)
    found = []
    for place, chunks in _chunk_sets(added, read_chunk):
        common: defaultdict[int, int] = defaultdict(int)
        for chunk, size in chunks.items():
            positions = holders.get(chunk, [])
            if len(positions) <= MAX_HOLDERS:
                for position in positions:
                    common[position] += size
        for position, size in common.items():
            likeness = min(size / max(deleted[position][SIZE], added[place][SIZE]), 1.0)
            if likeness >= threshold:
                found.append((-likeness, place, position))
    yield from _best(deleted, added, sorted(found))


def _best(
    deleted: Sequence[Row], added: Sequence[Row], found: list[tuple[float, int, int]]
) -> Iterator[Pair]:
    taken_new: set[int] = set()
    taken_old: set[int] = set()
    for likeness, place, position in found:
        if place not in taken_new and position not in taken_old:
            taken_new.add(place)
            taken_old.add(position)
            yield deleted[position], added[place], -likeness


def _chunk_sets(
    rows: Sequence[Row], read_chunk: ReadChunk
) -> Iterator[tuple[int, dict[ChunkId, int]]]:
    """Yield each row's position and its chunks with the bytes they stand for, within bounds."""
    left = MAX_CHUNKS
    for position, row in enumerate(rows):
        chunks: defaultdict[ChunkId, int] = defaultdict(int)
        for ref, _ in walk(row[FLAGS] >> LEVEL_SHIFT, row[REFS], read_chunk):
            left -= 1
            if left < 0:
                return
            chunks[ref.id] += ref.length
        if len(chunks) > 1:
            yield position, chunks


def _content(row: Row) -> tuple[int, bytes]:
    return row[FLAGS] >> LEVEL_SHIFT, row[REFS]


def _name(row: Row) -> str:
    return str(row[PATH]).rpartition("/")[2]
