"""What a folder's files hashed to, as one entry: so that a folder at rest is one comparison.

Implements docs/format/cache.md, "Folders". When an entry counts is the business of ``filestates``;
what values and notes mean is left to those who give them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ahstore.codec import canonical
from ahstore.codec.canonical import Value
from ahstore.codec.digests import checksum64
from ahstore.errors import CorruptError
from ahstore.index.stamps import STAMP_BYTES

CHECKSUM_BYTES = 8
MAX_ENTRY_BYTES = 2**30
MAX_VALUE_BYTES = 2**16 - 1
_LIMITS = canonical.Limits(bytes=MAX_ENTRY_BYTES, items=1 << 22)


@dataclass(frozen=True, slots=True)
class FolderState:
    """Files that lie directly in one folder, each with its stamp and value, in one order.

    Attributes:
        names: joined by ``/``, at least one.
        stamps: packed; that of a file whose value does not count is ``UNTRUSTED``.
        lengths: of the values, 2 bytes each.
        values: back to back.
        notes: whatever else is to be remembered with these files.
    """

    names: str
    stamps: bytes
    lengths: bytes
    values: bytes
    notes: Value = None

    @staticmethod
    def of(
        names: Sequence[str], stamps: bytes, values: Sequence[bytes], notes: Value = None
    ) -> FolderState:
        """Return the state of these files; values have at most ``MAX_VALUE_BYTES``."""
        lengths = array("H", map(len, values)).tobytes()
        return FolderState("/".join(names), stamps, lengths, b"".join(values), notes)

    def places(self) -> dict[str, int]:
        """Return at which place each name stands."""
        return {name: at for at, name in enumerate(self.names.split("/"))}

    def find(self, name: str) -> int:
        """Return at which place a name stands, -1 if it is not there."""
        names = self.names.split("/")
        return names.index(name) if name in names else -1

    def value(self, place: int) -> bytes:
        """Return the value at a place."""
        lengths = array("H", self.lengths)
        start = sum(lengths[:place])
        return self.values[start : start + lengths[place]]

    def split_values(self) -> list[bytes]:
        """Return the value of each file."""
        ends = accumulate(array("H", self.lengths), initial=0)
        return [self.values[start:end] for start, end in pairwise(ends)]

    def noting(self, notes: Value) -> FolderState:
        """Return the same with other notes."""
        return FolderState(self.names, self.stamps, self.lengths, self.values, notes)


def encode(key: bytes, state: FolderState) -> bytes:
    """Return an entry, its checksum over the key too."""
    fields: list[Value] = [state.names, state.stamps, state.lengths, state.values, state.notes]
    data = canonical.encode(fields)
    return checksum64(key + data) + data


def decode(key: bytes, entry: bytes) -> FolderState | None:
    """Return what an entry holds; None if it is damaged."""
    data = entry[CHECKSUM_BYTES:]
    if checksum64(key + data) != entry[:CHECKSUM_BYTES]:
        return None
    try:
        fields = canonical.decode(data, limits=_LIMITS)
    except CorruptError:
        return None
    match fields:
        case [str(names), bytes(stamps), bytes(lengths), bytes(values), notes]:
            state = FolderState(names, stamps, lengths, values, notes)
            return state if _fits(state) else None
    return None


def _fits(state: FolderState) -> bool:
    count = state.names.count("/") + 1
    return (
        len(state.stamps) == count * STAMP_BYTES
        and len(state.lengths) == count * 2
        and sum(array("H", state.lengths)) == len(state.values)
    )
