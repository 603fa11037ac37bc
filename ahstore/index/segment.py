"""Reading one index segment: look-ups by its tree of blocks, its packs, all of its records.

Implements "Reading" of docs/format/segments.md. A search tells which blocks it wants next and is
given them, so that whoever asks several segments fetches the blocks of all with one call.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ahstore.codec.digests import checksum64
from ahstore.errors import CorruptError
from ahstore.ids import PackId
from ahstore.index import segment_format as layout
from ahstore.index.segment_format import Block, Trailer
from ahstore.index.segment_writer import SegmentInfo
from ahstore.index.table import PackIndex
from ahstore.packs.place import Family
from ahstore.storage.contract import Range, Storage

TAIL_BYTES = 32 * 1024
"""How much of a segment's end is read at once: trailer and root, mostly the packs too."""
SCAN_BYTES = 4 * 2**20

Search: TypeAlias = Generator[list[Block], list[bytes], list[bytes]]
"""Yields the blocks it wants, is sent their bytes in that order, returns the records found."""


class Segment:
    """A segment whose end has been read and checked. Threads may share it.

    Args:
        storage: of the store.
        info: what the index cell says of it.

    Raises:
        MissingError: there is no such file.
        CorruptError: its end is damaged, or not that of this segment.
        UnsupportedError: a later version wrote it.
    """

    def __init__(self, storage: Storage, info: SegmentInfo) -> None:
        self._storage = storage
        self.info = info
        try:
            self._open()
        except CorruptError as error:
            raise self._damaged(str(error)) from error

    def _open(self) -> None:
        size = self.info.size
        if size < layout.HEADER_BYTES + layout.TRAILER_BYTES:
            raise CorruptError("it is too short")
        start = max(0, size - TAIL_BYTES)
        tail = self._storage.read_range(self.info.key, start, size - start)
        trailer = layout.decode_trailer(tail[-layout.TRAILER_BYTES :], size=size)
        found = (trailer.id, trailer.layout.records, trailer.layout.packs)
        if found != (self.info.id, self.info.records, self.info.packs):
            raise CorruptError("it is another segment than the index says")
        self._trailer: Trailer = trailer
        self._root = self._part(*trailer.layout.root, tail, start)
        if checksum64(self._root) != trailer.root_checksum:
            raise CorruptError("the root is damaged")
        at, length = trailer.layout.packs_offset, trailer.layout.packs * layout.PACK_BYTES
        self._packs = tail[at - start : at - start + length] if at >= start else None

    def _part(self, offset: int, length: int, tail: bytes, start: int) -> bytes:
        if offset >= start:
            return tail[offset - start : offset - start + length]
        return self._storage.read_range(self.info.key, offset, length)

    # Looking up.

    def search(self, keys: Iterable[bytes]) -> Search:
        """Find the records of these keys, or of all keys that start with the prefixes given.

        Raises:
            CorruptError: a block is not what the one above it says.
        """
        levels = self._trailer.layout.levels
        wanted = _children(self._root, sorted(keys))
        for offset, length in reversed(levels[:-1]):
            step = layout.BLOCK_NODES * layout.NODE_BYTES
            blocks = yield [
                Block(offset + at * step, min(step, length - at * step), checksum)
                for at, (checksum, _) in wanted.items()
            ]
            below: dict[int, tuple[bytes, list[bytes]]] = {}
            for (at, (checksum, ours)), block in zip(wanted.items(), blocks, strict=True):
                self._check(block, checksum)
                children = _children(block, ours)
                below.update((at * layout.BLOCK_NODES + n, what) for n, what in children.items())
            wanted = below
        found: list[bytes] = []
        blocks = yield [self._records_block(at, checksum) for at, (checksum, _) in wanted.items()]
        for (checksum, ours), block in zip(wanted.values(), blocks, strict=True):
            self._check(block, checksum)
            for key in ours:
                found.extend(layout.find_in_block(block, key))
        return found

    def _records_block(self, at: int, checksum: bytes) -> Block:
        start = layout.HEADER_BYTES + at * layout.BLOCK_RECORDS * layout.RECORD_BYTES
        end = min(
            start + layout.BLOCK_RECORDS * layout.RECORD_BYTES, self._trailer.layout.packs_offset
        )
        return Block(start, end - start, checksum)

    def _check(self, block: bytes, checksum: bytes) -> None:
        if checksum64(block) != checksum:
            raise self._damaged("a block's checksum does not match")

    # All of it.

    def packs(self) -> list[tuple[Family, PackId]]:
        """Return the packs that it covers.

        Raises:
            MissingError, CorruptError: it is gone, or the table is damaged.
        """
        data = self._packs
        if data is None:
            where = self._trailer.layout
            data = self._storage.read_range(
                self.info.key, where.packs_offset, where.packs * layout.PACK_BYTES
            )
        if checksum64(data) != self._trailer.packs_checksum:
            raise self._damaged("the table of packs is damaged")
        self._packs = data
        try:
            return list(layout.decode_packs(data))
        except CorruptError as error:
            raise self._damaged(str(error)) from error

    def records(self) -> Iterator[bytes]:
        """Yield all records, sorted, each block checked before its records are handed out.

        Raises:
            MissingError, CorruptError: as ``search``.
        """
        checksums = self._checksums()
        blocks = [self._records_block(at, checksum) for at, checksum in enumerate(checksums)]
        per_read = max(1, SCAN_BYTES // (layout.BLOCK_RECORDS * layout.RECORD_BYTES))
        groups = [blocks[at : at + per_read] for at in range(0, len(blocks), per_read)]
        ranges = (
            Range(
                self.info.key,
                group[0].offset,
                group[-1].offset + group[-1].length - group[0].offset,
            )
            for group in groups
        )
        for group, data in zip(groups, self._storage.read_ranges(ranges), strict=True):
            for block in group:
                at = block.offset - group[0].offset
                part = bytes(data[at : at + block.length])
                self._check(part, block.checksum)
                for start in range(0, len(part), layout.RECORD_BYTES):
                    yield part[start : start + layout.RECORD_BYTES]

    def indexes(self, packs: Mapping[PackId, Family]) -> Iterator[PackIndex]:
        """Yield the indexes of these packs, gathered from all records.

        Raises:
            MissingError, CorruptError: as ``search``; then nothing was yielded.
        """
        names = {bytes.fromhex(pack): pack for pack in packs}
        gathered: defaultdict[PackId, list[bytes]] = defaultdict(list)
        start = layout.KEY_BYTES + 1
        for record in self.records():
            pack = names.get(record[start : layout.IDENTITY_BYTES])
            if pack is not None:
                gathered[pack].append(record)
        yield from [
            PackIndex(pack, packs[pack], layout.index_of(ours)) for pack, ours in gathered.items()
        ]

    def _checksums(self) -> list[bytes]:
        """Return the checksum of each block of records, each level checked by the one above."""
        above = self._root
        for offset, length in reversed(self._trailer.layout.levels[:-1]):
            level = self._storage.read_range(self.info.key, offset, length)
            step = layout.BLOCK_NODES * layout.NODE_BYTES
            for at, checksum in enumerate(_node_checksums(above)):
                self._check(level[at * step : (at + 1) * step], checksum)
            above = level
        return _node_checksums(above)

    def check(self) -> None:
        """Read and check everything, for ``fsck``.

        Raises:
            MissingError, CorruptError, UnsupportedError: what is wrong with it.
        """
        try:
            layout.check_header(self._storage.read_range(self.info.key, 0, layout.HEADER_BYTES))
            covered = set(self.packs())
            last = b""
            for record in self.records():
                identity = record[: layout.IDENTITY_BYTES]
                place = layout.decode_record(record)
                if identity <= last or (place.family, place.pack) not in covered:
                    raise CorruptError("a record is out of order or of a pack that is not covered")
                last = identity
        except CorruptError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> CorruptError:
        return CorruptError(
            f"the index segment {self.info.key} is damaged: {why}", key=self.info.key
        )


def _node_checksums(nodes: bytes) -> list[bytes]:
    return [
        nodes[at + layout.NODE_KEY_BYTES : at + layout.NODE_BYTES]
        for at in range(0, len(nodes), layout.NODE_BYTES)
    ]


def _children(nodes: bytes, keys: Sequence[bytes]) -> dict[int, tuple[bytes, list[bytes]]]:
    """Return the blocks below that may hold these keys: number to checksum and keys.

    A node knows the first bytes of its block only. So a block whose first bytes are those of a key
    may begin with it, and the one before it may end with it.
    """
    firsts = [
        nodes[at : at + layout.NODE_KEY_BYTES] for at in range(0, len(nodes), layout.NODE_BYTES)
    ]
    found: dict[int, tuple[bytes, list[bytes]]] = {}
    below: defaultdict[int, list[bytes]] = defaultdict(list)
    for key in keys:
        low = key[: layout.NODE_KEY_BYTES]
        # A prefix shorter than a node's key: up to all that start with it.
        high = low.ljust(layout.NODE_KEY_BYTES, b"\xff")
        first = max(0, bisect_left(firsts, low) - 1)
        for at in range(first, bisect_right(firsts, high)):
            below[at].append(key)
    for at in sorted(below):
        start = at * layout.NODE_BYTES
        checksum = nodes[start + layout.NODE_KEY_BYTES : start + layout.NODE_BYTES]
        found[at] = checksum, below[at]
    return found
