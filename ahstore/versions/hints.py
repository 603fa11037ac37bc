"""Where blobs lie, as the cells that were read lately tell: a look at the index is then spared.

A hint may be wrong, which costs a look at the index and no more (docs/format/cells.md, "Places").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from contextlib import suppress

from ahstore.codec.canonical import Value
from ahstore.ids import Address, PackId
from ahstore.packs.place import Kind, Place
from ahstore.versions.locators import decode_places

REMEMBERED_HINTS = 65_536
TOLD_TOGETHER_BYTES = 128 * 1024
"""So much is read at once from afar of what a cell tells of: a commit and its newest pages."""
CELLS_REMEMBERED = 64
"""Of so many cells read last the locators are taken in when something is looked for."""


class Hints:
    """Places by address; bounded, and safe to use from several threads."""

    def __init__(self) -> None:
        self._untold: deque[Value] = deque(maxlen=CELLS_REMEMBERED)
        self._places: dict[tuple[Kind, Address], Place] = {}
        self._told_together: dict[PackId, dict[Address, Place]] = {}

    def learn(self, places: Value) -> None:
        """Keep what a cell tells; it is parsed when something is looked for."""
        self._untold.append(places)

    def find(self, kind: Kind, address: Address) -> Place | None:
        """Return where a blob lies, None if no cell has told."""
        while self._untold:
            if len(self._places) > REMEMBERED_HINTS:
                self._places.clear()
                self._told_together.clear()
            with suppress(IndexError):  # another thread was faster
                for told, place in decode_places(self._untold.popleft()):
                    self._places[place.kind, told] = place
                    self._told_together.setdefault(place.pack, {})[told] = place
        return self._places.get((kind, address))

    def told_near(self, address: Address, hint: Place) -> dict[Address, Place]:
        """Return a blob's place and those next to it that were told with it, of bounded size."""
        told = self._told_together.get(hint.pack, {})
        near: dict[Address, Place] = {address: hint}
        size = hint.stored
        for other in sorted(told, key=lambda other: abs(told[other].offset - hint.offset)):
            size += told[other].stored
            if size > TOLD_TOGETHER_BYTES:
                break
            near[other] = told[other]
        return near

    def forget(self, kind: Kind, address: Address) -> None:
        """Forget a hint that was wrong."""
        self._places.pop((kind, address), None)

    def forget_packs(self, packs: AbstractSet[PackId]) -> None:
        """Forget all that these packs were said to hold."""
        for key in [key for key, place in self._places.items() if place.pack in packs]:
            self._places.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()
