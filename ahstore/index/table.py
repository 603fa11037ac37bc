"""The table of places: what it answers, and its form in memory.

A pack enters as the bytes of its index (docs/format/packs.md) and leaves whole. One blob may lie
in several packs; the pack that came last is preferred, since an older one may be on its way out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ahstore.ids import PackId
from ahstore.packs.format import KEY_BYTES, RECORD_BYTES, record_place
from ahstore.packs.place import Family, Place


@dataclass(frozen=True, slots=True)
class PackIndex:
    """A pack and the checked bytes of its index."""

    id: PackId
    family: Family
    index: bytes


class PlaceTable(ABC):
    """Keys (address and kind, 33 bytes) to places."""

    @abstractmethod
    def packs(self) -> dict[PackId, Family]:
        """Return the packs that are in the table."""

    @abstractmethod
    def add(self, packs: Sequence[PackIndex]) -> bool:
        """Take these packs, all or none; False if that is not possible just now."""

    @abstractmethod
    def drop(self, packs: Iterable[PackId]) -> bool:
        """Forget these packs, all or none; False if that is not possible just now."""

    @abstractmethod
    def find(self, key: bytes) -> Place | None:
        """Return a place of the blob."""

    @abstractmethod
    def find_many(self, keys: Iterable[bytes]) -> dict[bytes, Place]:
        """Return a place of each blob that has one."""

    @abstractmethod
    def keys_from(self, prefix: bytes) -> list[bytes]:
        """Return the keys that start with ``prefix``, sorted."""


class MemoryTable(PlaceTable):
    """The table for one process."""

    def __init__(self) -> None:
        self._packs: dict[PackId, PackIndex] = {}
        # Key to pack and position of the entry; to a list of them only when there are several.
        self._places: dict[bytes, tuple[PackIndex, int] | list[tuple[PackIndex, int]]] = {}

    def packs(self) -> dict[PackId, Family]:
        """See the contract."""
        return {pack.id: pack.family for pack in self._packs.values()}

    def get_packs(self) -> list[PackIndex]:
        """Return the packs that are in the table, as they came."""
        return list(self._packs.values())

    def add(self, packs: Sequence[PackIndex]) -> bool:
        """See the contract."""
        for pack in packs:
            if pack.id in self._packs:
                continue
            self._packs[pack.id] = pack
            for at in range(0, len(pack.index), RECORD_BYTES):
                key = pack.index[at : at + KEY_BYTES]
                known = self._places.setdefault(key, entry := (pack, at))
                if known is not entry:
                    self._places[key] = [*_several(known), entry]
        return True

    def drop(self, packs: Iterable[PackId]) -> bool:
        """See the contract."""
        for name in packs:
            pack = self._packs.pop(name, None)
            if pack is None:
                continue
            for at in range(0, len(pack.index), RECORD_BYTES):
                key = pack.index[at : at + KEY_BYTES]
                left = [entry for entry in _several(self._places[key]) if entry[0] is not pack]
                if left:
                    self._places[key] = left
                else:
                    del self._places[key]
        return True

    def find(self, key: bytes) -> Place | None:
        """See the contract."""
        known = self._places.get(key)
        if known is None:
            return None
        pack, at = _several(known)[-1]
        return record_place(pack.index[at : at + RECORD_BYTES], pack.id, pack.family)

    def find_many(self, keys: Iterable[bytes]) -> dict[bytes, Place]:
        """See the contract."""
        found = {}
        for key in keys:
            place = self.find(key)
            if place is not None:
                found[key] = place
        return found

    def keys_from(self, prefix: bytes) -> list[bytes]:
        """See the contract."""
        return sorted(key for key in self._places if key.startswith(prefix))


def _several(
    known: tuple[PackIndex, int] | list[tuple[PackIndex, int]],
) -> list[tuple[PackIndex, int]]:
    return known if isinstance(known, list) else [known]
