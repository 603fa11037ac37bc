"""The segments that count, together: what they know of a key, and which packs they cover.

A segment that can't be read is left out, and what it covered counts as covered by none: then the
packs' own indexes are read, which is slower and never wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from ahstore.errors import AhError, CorruptError
from ahstore.ids import PackId
from ahstore.index import segment_format as layout
from ahstore.index.segment import Segment
from ahstore.index.segment_list import INDEX_CELL, decode_list
from ahstore.index.segment_search import UNREADABLE, SegmentSearch
from ahstore.packs.place import Family, Place
from ahstore.storage.cells import Cells
from ahstore.storage.contract import Storage

_NEVER_READ = -2


class Segments:
    """The segments of a store as far as they are known here. Threads may share it.

    Attributes:
        unreadable: segments that the index cell names and that can't be used, with the reasons;
            the cell itself stands as ``None``.
    """

    def __init__(self, storage: Storage, cells: Cells) -> None:
        self._storage = storage
        self._cells = cells
        self._search = SegmentSearch(storage)
        self._number = _NEVER_READ
        self._segments: tuple[Segment, ...] = ()
        self.unreadable: dict[PackId | None, AhError] = {}

    @property
    def in_use(self) -> tuple[Segment, ...]:
        """The segments that can be read, in the order of the cell: the newest last."""
        return self._segments

    @property
    def known(self) -> bool:
        """Whether the index cell was ever read."""
        return self._number != _NEVER_READ

    def refresh(self) -> bool:
        """Read the index cell and open what it names; True if there is something new.

        Raises:
            StorageError: the storage failed.
        """
        unreadable: dict[PackId | None, AhError] = {}
        try:
            version = self._cells.read(INDEX_CELL)
            if version.number == self._number:
                return False
            infos = decode_list(version)
        except CorruptError as error:
            self._number, self._segments, self.unreadable = _NEVER_READ, (), {None: error}
            return True
        kept = {segment.info.id: segment for segment in self._segments}
        opened = []
        for info in infos:
            try:
                opened.append(kept.get(info.id) or Segment(self._storage, info))
            except UNREADABLE as error:
                unreadable[info.id] = error
        self._number, self._segments, self.unreadable = version.number, tuple(opened), unreadable
        return True

    def covered(self) -> dict[PackId, Family]:
        """Return the packs that the readable segments cover."""
        found: dict[PackId, Family] = {}
        for segment in self._segments:
            try:
                found.update((pack, family) for family, pack in segment.packs())
            except UNREADABLE as error:
                self.drop(segment, error)
        return found

    def find_many(self, keys: Sequence[bytes]) -> dict[bytes, list[Place]]:
        """Return all places told of each key that is found, those of the newest segment first."""
        found: dict[bytes, list[Place]] = {}
        for record in self._records(keys):
            try:
                place = layout.decode_record(record)
            except CorruptError:
                continue  # whole, but nothing that a pack can hold: of no use to anyone
            found.setdefault(record[: layout.KEY_BYTES], []).append(place)
        return found

    def keys_from(self, prefix: bytes) -> set[bytes]:
        """Return the keys that start with ``prefix``: kind, then bytes of the address."""
        return {record[: layout.KEY_BYTES] for record in self._records([prefix])}

    def _records(self, keys: Sequence[bytes]) -> list[bytes]:
        segments = self._segments
        if not segments or not keys:
            return []
        found, failed = self._search.run(segments, keys)
        for segment, error in failed.items():
            self.drop(segment, error)
        return [record for segment in reversed(segments) for record in found.get(segment, ())]

    def drop(self, segment: Segment, error: AhError) -> None:
        """Do without a segment that turned out to be unreadable."""
        self.unreadable = {**self.unreadable, segment.info.id: error}
        self._segments = tuple(s for s in self._segments if s is not segment)
