"""The packs that a cell's value needs and that perhaps no segment covers: told in the cell itself.

Implements docs/format/cells.md, "Packs in a value". So a reader finds what was just written
without listing the store, and a committer sees by his own cell when it is time to consolidate.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError
from ahstore.ids import PackId, parse_pack_id
from ahstore.packs.place import FAMILY_CODES, FAMILY_NAMES, MAX_OFFSET, Family
from ahstore.storage.cells import CellState, CellVersion

FIELD = "packs"
MAX_IN_CELL = 256
_REMEMBERED_CELLS = 1024


class RecentPack(NamedTuple):
    """A pack and the ``size`` of its file in bytes."""

    family: Family
    pack: PackId
    size: int


def encode_recent(packs: Iterable[RecentPack]) -> Value:
    """Return the field's form in a cell's value, oldest pack first; more than can be are left out."""
    items: list[Value] = [
        [FAMILY_CODES[family], bytes.fromhex(pack), size] for family, pack, size in packs
    ]
    return items[-MAX_IN_CELL:]


def decode_recent(version: CellVersion) -> list[RecentPack]:
    """Return the packs that a version of a cell tells; what is malformed is passed over."""
    items = version.value.get(FIELD) if version.state is CellState.LIVE else None
    if not isinstance(items, list):
        return []
    found = []
    for item in items[-MAX_IN_CELL:]:
        if not isinstance(item, list) or [type(v) for v in item] != [int, bytes, int]:
            continue
        family, raw, size = item
        name = FAMILY_NAMES.get(family)  # type: ignore[arg-type]
        if name is None or not 0 < size <= MAX_OFFSET:  # type: ignore[operator]
            continue
        try:
            found.append(RecentPack(name, parse_pack_id(raw.hex()), size))  # type: ignore[union-attr,arg-type]
        except InvalidInputError:
            continue
    return found


class RecentPacks:
    """What cells that were read tell. Threads may share it.

    Taking in is cheap, for it is done at each reading of a cell; what is told is decoded when it is
    asked for.
    """

    def __init__(self) -> None:
        self._cells: OrderedDict[str, CellVersion] = OrderedDict()
        self._unread: dict[str, CellVersion] = {}
        self._lock = threading.Lock()

    def learn(self, folder: str, version: CellVersion) -> bool:
        """Take in a version of the cell with this folder; False if it, or a newer, was before."""
        with self._lock:
            known = self._cells.get(folder)
            if known is not None and known.number >= version.number:
                return False
            if known is None and FIELD not in version.value:
                return True
            self._cells[folder] = self._unread[folder] = version
            self._cells.move_to_end(folder)
            for cells in (self._cells, self._unread):
                if len(cells) > _REMEMBERED_CELLS:
                    del cells[next(iter(cells))]
            return True

    def take_unread(self) -> list[RecentPack]:
        """Return the packs told by what was taken in since this was asked last."""
        with self._lock:
            unread, self._unread = self._unread, {}
        found = {pack.pack: pack for v in unread.values() for pack in decode_recent(v)}
        return list(found.values())

    def told_under(self, prefix: str) -> list[RecentPack]:
        """Return the packs told by all cells, as last read, whose folders start so."""
        with self._lock:
            versions = [v for folder, v in self._cells.items() if folder.startswith(prefix)]
        found = {pack.pack: pack for v in versions for pack in decode_recent(v)}
        return list(found.values())
