"""Packs that no segment covers: who tells of them, and what happens when they are too many.

A cell tells of the packs its value needs (``recent_packs.py``); a listing tells of all. Who has just
committed and has seen more than ``CROWD`` of them covers them by a segment (``consolidation.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from ahstore.ids import PackId
from ahstore.index.consolidation import Consolidation
from ahstore.index.recent_packs import RecentPack, RecentPacks
from ahstore.index.segments import Segments
from ahstore.packs.place import Family
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import FinishedPack
from ahstore.storage.cells import Cells
from ahstore.storage.contract import Storage

CROWD = 64
"""More packs than this without a segment are a crowd."""
AGAIN = 32
"""Who makes so many more of them tries again: whoever's turn it was may have died."""
_KEPT_INDEX_BYTES = 8 * 2**20


class Crowd:
    """What this process knows of packs without a segment. Threads may share it."""

    def __init__(
        self,
        storage: Storage,
        cells: Cells,
        reader: PackReader,
        segments: Segments,
        recent: RecentPacks,
    ) -> None:
        self._consolidation = Consolidation(storage, cells, reader)
        self._segments = segments
        self._recent = recent
        self._indexes: dict[PackId, bytes] = {}
        self._covered: set[PackId] = set()
        self._uncovered: dict[PackId, Family] = {}
        self._lock = threading.RLock()

    def take_unread(self) -> list[RecentPack]:
        """Return the packs without a segment that cells told of since this was asked last."""
        return [pack for pack in self._recent.take_unread() if pack.pack not in self._covered]

    def keep_indexes(self, packs: Iterable[FinishedPack]) -> None:
        """Keep the indexes of packs just written, which then need not be read again."""
        with self._lock:
            for pack in packs:
                self._indexes[pack.id] = pack.index
            kept = sum(map(len, self._indexes.values()))
            while kept > _KEPT_INDEX_BYTES:
                kept -= len(self._indexes.pop(next(iter(self._indexes))))

    def listed(self, present: dict[PackId, Family], covered: set[PackId]) -> None:
        """Take in a listing of the store's packs, and which of them segments cover."""
        with self._lock:
            self._covered = covered
            self._uncovered = {p: f for p, f in present.items() if p not in covered}

    def told_under(self, prefix: str, own: Sequence[RecentPack]) -> list[RecentPack]:
        """Return what the next version of a cell is to tell of packs.

        Args:
            prefix: folder of the cell, or a folder above, of cells on whose values it may build.
            own: packs just written that the next version's value needs.
        """
        packs = {pack.pack: pack for pack in (*self._recent.told_under(prefix), *own)}
        with self._lock:
            if len(packs) > CROWD:
                self._look_at_segments()
            left = [pack for name, pack in packs.items() if name not in self._covered]
            if _is_turn(len(left) - len(own), len(left)):
                self._uncovered.update((pack.pack, pack.family) for pack in left)
            return left

    def consolidate(self, *, everything: bool = False) -> bool:
        """Cover what is uncovered if it is a crowd, or ``everything``; True if that changed the index.

        Raises:
            StorageError, OutcomeUnknownError: the storage failed; the index is the old or the new.
        """
        least = 1 if everything else CROWD + 1
        with self._lock:
            if len(self._uncovered) < least:
                return False
            uncovered, self._uncovered = self._uncovered, {}
        changed = self._consolidation.cover(
            [(family, pack) for pack, family in uncovered.items()],
            least=least,
            find_index=lambda pack: self._indexes.get(pack),
        )
        with self._lock:
            self._look_at_segments()
        return changed

    def _look_at_segments(self) -> None:
        self._segments.refresh()
        self._covered = set(self._segments.covered())
        for pack in self._covered & self._indexes.keys():
            del self._indexes[pack]


def _is_turn(before: int, after: int) -> bool:
    """Tell whether it is for who makes the packs ``after`` so many to cover them.

    The versions of a cell follow one another: so it is one of all who commit to it.
    """
    if after <= CROWD:
        return False
    return before <= CROWD or (before - CROWD) // AGAIN < (after - CROWD) // AGAIN
