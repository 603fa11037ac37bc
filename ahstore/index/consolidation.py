"""Consolidation: packs that no segment covers become one segment, merged with those of its size.

Write order: docs/format/write-order.md, "Consolidating the index". Whoever loses the race for the
index cell has lost nothing but his work. Sizes of the segments grow by ``GROWTH``, so that there
are few of them and each record is rewritten a few times in the life of a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from ahstore.errors import CorruptError, LeaseLostError
from ahstore.ids import PackId
from ahstore.index import segment_format as layout
from ahstore.index.segment import Segment
from ahstore.index.segment_list import INDEX_CELL, decode_list, encode_list
from ahstore.index.segment_search import UNREADABLE
from ahstore.index.segment_writer import SegmentInfo, write_segment
from ahstore.packs.place import Family
from ahstore.packs.reader import PackReader
from ahstore.storage.cells import CellConflictError, Cells, CellVersion
from ahstore.storage.contract import Storage
from ahstore.storage.leases import Lease

GROWTH = 4
"""A segment is merged into a new one unless it is more than so many times as large."""
SMALL_RECORDS = 4096
"""Segments of fewer records are always merged: one read gets so many as quickly as a few."""
MAX_PENDING_BYTES = 32 * 2**20
"""Of the indexes of packs that are covered at one go: with their records about 150 MB in memory."""

Pack = tuple[Family, PackId]
Plan = Callable[[list[Segment]], "list[SegmentInfo] | None"]
"""From the segments in use to the new list; None: nothing is to be done."""
FindIndex = Callable[[PackId], bytes | None]


class Consolidation:
    """Changes the index of one store."""

    def __init__(self, storage: Storage, cells: Cells, reader: PackReader) -> None:
        self._storage = storage
        self._cells = cells
        self._reader = reader

    def cover(
        self, packs: Iterable[Pack], *, least: int = 1, find_index: FindIndex | None = None
    ) -> bool:
        """Have these packs covered by a segment; those that are already are left out.

        Args:
            packs: present, as far as the caller knows.
            least: for fewer nothing is done.
            find_index: the checked index of a pack, if it is at hand.

        Returns:
            Whether the index cell was changed. Not if another was faster: then he has seen most
            of these packs too, and the rest has time.

        Raises:
            StorageError: the storage failed; the index is as it was.
            OutcomeUnknownError: it is the old or the new one.
        """
        wanted = list(dict.fromkeys(packs))
        changed = False
        # Who waited for another process here finds that most is covered by now.
        with self._storage.lock(INDEX_CELL.folder):
            while wanted:
                covered = self._covered()
                wanted = [pack for pack in wanted if pack not in covered]
                if len(wanted) < (1 if changed else least):
                    break
                some, wanted = self._take(wanted, find_index)
                if not some:
                    continue
                if not self._swap(partial(self._plan, fresh=some)):
                    break
                changed = True
        return changed

    def without(self, packs: Iterable[PackId]) -> bool:
        """Publish the index without these packs (gc's step before it deletes them).

        Unlike ``cover`` it is tried until it is done.

        Returns:
            Whether any segment had covered one of them.

        Raises:
            StorageError: the storage failed; the index is as it was.
            CorruptError: the index cell can't be read.
        """
        going = frozenset(packs)
        while True:
            current = self._cells.read(INDEX_CELL)
            if not any(_touches(s, going) for s in self._open(decode_list(current))):
                return False
            if self._swap(partial(self._rewrite, going=going)):
                return True

    def repair(self, packs: Iterable[Pack]) -> None:
        """Publish the index without the segments that are damaged, and cover these packs.

        Raises:
            StorageError: the storage failed; the index is as it was.
        """
        while not self._swap(lambda segments: [s.info for s in segments if _is_whole(s)]):
            pass
        self.cover(packs)

    # What is to be covered.

    def _take(
        self, wanted: list[Pack], find_index: FindIndex | None
    ) -> tuple[dict[Pack, bytes], list[Pack]]:
        """Return the indexes of as many packs as memory allows, and the packs left."""
        found: dict[Pack, bytes] = {}
        missing: list[Pack] = []
        for family, pack in wanted:
            index = find_index(pack) if find_index is not None else None
            if index is None:
                missing.append((family, pack))
            else:
                found[family, pack] = index
        size = sum(map(len, found.values()))
        taken = 0
        for name, read in self._reader.read_raw_indexes(missing):
            taken += 1
            if isinstance(read, bytes):
                found[name] = read
                size += len(read)
            if size >= MAX_PENDING_BYTES:
                break
        return found, missing[taken:]

    def _covered(self) -> set[Pack]:
        found: set[Pack] = set()
        with suppress(CorruptError):
            for segment in self._open(decode_list(self._cells.read(INDEX_CELL))):
                found.update(segment.packs())
        return found

    # The new list.

    def _swap(self, plan: Plan) -> bool:
        """Publish what ``plan`` makes of the segments in use; False if another was faster."""
        try:
            with Lease.take(self._cells, [INDEX_CELL], purpose="index") as lease:
                current = self._cells.read(INDEX_CELL)
                before = self._open(_decode(current))
                after = self._planned(plan, before)
                if after is None:
                    return True
                lease.check()
                return self._publish(current, before, after)
        except LeaseLostError:
            return False

    def _planned(self, plan: Plan, segments: list[Segment]) -> list[SegmentInfo] | None:
        """Plan; a segment that turns out to be damaged falls out of the list."""
        try:
            return plan(segments)
        except UNREADABLE:
            return plan([segment for segment in segments if _is_whole(segment)])

    def _publish(
        self, current: CellVersion, before: list[Segment], after: list[SegmentInfo]
    ) -> bool:
        try:
            self._cells.swap(INDEX_CELL, current.number, encode_list(after))
        except CellConflictError:
            # Nobody but this writer knows of them, and he will not name them any more.
            for segment in {s.id: s for s in after}.values():
                if segment.id not in {s.info.id for s in before}:
                    self._storage.delete(segment.key)
            return False
        return True

    def _open(self, infos: Sequence[SegmentInfo]) -> list[Segment]:
        """Return the segments that can be read; the others fall out of the next list."""
        opened = []
        for info in infos:
            with suppress(*UNREADABLE):
                segment = Segment(self._storage, info)
                segment.packs()
                opened.append(segment)
        return opened

    def _plan(self, segments: list[Segment], fresh: dict[Pack, bytes]) -> list[SegmentInfo] | None:
        covered = {pack for segment in segments for pack in segment.packs()}
        fresh = {pack: index for pack, index in fresh.items() if pack not in covered}
        if not fresh:
            return None
        ours = sorted(
            record
            for (family, pack), index in fresh.items()
            for record in layout.records_of(pack, family, index)
        )
        size = len(ours)
        kept = sorted(segments, key=lambda s: s.info.records, reverse=True)
        merged: list[Segment] = []
        while kept and kept[-1].info.records <= max(SMALL_RECORDS, GROWTH * size):
            merged.append(kept.pop())
            size += merged[-1].info.records
        packs = [*fresh, *(pack for segment in merged for pack in segment.packs())]
        runs = [ours, *(segment.records() for segment in merged)]
        info = write_segment(self._storage, runs, dict.fromkeys(packs))
        return None if info is None else [*(s.info for s in kept), info]

    def _rewrite(
        self, segments: list[Segment], going: frozenset[PackId]
    ) -> list[SegmentInfo] | None:
        after: list[SegmentInfo] = []
        for segment in segments:
            if not _touches(segment, going):
                after.append(segment.info)
                continue
            staying = [(family, pack) for family, pack in segment.packs() if pack not in going]
            info = write_segment(self._storage, [_staying(segment, going)], staying)
            if info is not None:
                after.append(info)
        return after


def _touches(segment: Segment, going: frozenset[PackId]) -> bool:
    return any(pack in going for _, pack in segment.packs())


def _is_whole(segment: Segment) -> bool:
    try:
        segment.check()
    except UNREADABLE:
        return False
    return True


def _staying(segment: Segment, going: frozenset[PackId]) -> Iterator[bytes]:
    raw = {bytes.fromhex(pack) for pack in going}
    pack_at = layout.KEY_BYTES + 1
    for record in segment.records():
        if record[pack_at : layout.IDENTITY_BYTES] not in raw:
            yield record


def _decode(version: CellVersion) -> list[SegmentInfo]:
    try:
        return decode_list(version)
    except CorruptError:
        return []  # the next list replaces what can't be read
