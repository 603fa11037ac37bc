"""Writing an index segment: sorted runs of records merged into one new file, streaming.

Implements "Writing" of docs/format/segments.md. The file is durable when ``write_segment`` returns;
nobody reads it before the index cell names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from ahstore.errors import InvalidInputError
from ahstore.ids import PackId, new_pack_id
from ahstore.index import segment_format as layout
from ahstore.packs.place import Family
from ahstore.storage.contract import FileWriter, Storage

_WRITE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What the index cell says of a segment: ``size`` in bytes, counts of records and packs."""

    id: PackId
    size: int
    records: int
    packs: int

    @property
    def key(self) -> str:
        """Its key in the store."""
        return segment_key(self.id)


def segment_key(segment: PackId) -> str:
    """Return the storage key of a segment."""
    return f"index/{segment}"


def write_segment(
    storage: Storage,
    runs: Iterable[Iterable[bytes]],
    packs: Iterable[tuple[Family, PackId]],
) -> SegmentInfo | None:
    """Write a segment of all records of ``runs``; None, and no file, if there are none.

    Args:
        storage: of the store.
        runs: sorted records; one that is in several is written once.
        packs: those whose records these are, all of them.

    Raises:
        StorageError: it could not be written; nothing of it stays.
        CorruptError: a run that is read from another segment is damaged.
    """
    segment = new_pack_id()
    with storage.new_file(segment_key(segment)) as file:
        info = _write(file, segment, runs, layout.encode_packs(list(packs)))
        if info is not None:
            file.commit()
        return info


def _write(
    file: FileWriter, segment: PackId, runs: Iterable[Iterable[bytes]], packs: bytes
) -> SegmentInfo | None:
    out = _Buffer(file)
    out.add(layout.encode_header())
    nodes: list[bytes] = []
    count = 0
    records = _distinct(merge(*runs))
    while block := b"".join(islice(records, layout.BLOCK_RECORDS)):
        out.add(block)
        nodes.append(layout.nodes_of([block]))
        count += len(block) // layout.RECORD_BYTES
    if not count:
        return None
    if not packs:
        raise InvalidInputError("a segment covers the packs of its records")
    parts = layout.layout_of(count, len(packs) // layout.PACK_BYTES)
    out.add(packs)
    level = b"".join(nodes)
    out.add(level)
    while len(level) > layout.BLOCK_NODES * layout.NODE_BYTES:
        level = layout.nodes_of(list(_cut(level, layout.BLOCK_NODES * layout.NODE_BYTES)))
        out.add(level)
    out.add(layout.encode_trailer(segment, parts, packs, level))
    out.flush()
    if file.tell() != parts.size:
        raise AssertionError("a segment's size is not what its counts say")
    return SegmentInfo(segment, parts.size, parts.records, parts.packs)


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def _distinct(records: Iterable[bytes]) -> Iterator[bytes]:
    last = b""
    for record in records:
        identity = record[: layout.IDENTITY_BYTES]
        if identity != last:
            last = identity
            yield record


class _Buffer:
    def __init__(self, file: FileWriter) -> None:
        self._file = file
        self._parts: list[bytes] = []
        self._bytes = 0

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes >= _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        self._file.write(b"".join(self._parts))
        self._parts, self._bytes = [], 0
