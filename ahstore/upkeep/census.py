"""The census: which packs hold what is needed, and which bytes of them nobody needs.

All entries of all packs and all needed keys are sorted by key and read side by side once or twice,
so memory follows the number of packs, not of blobs. Of a blob that lies in several packs one copy
counts: that in the pack which holds most that is needed, so that the others may go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from struct import Struct

from ahstore.ids import PackId
from ahstore.packs.format import HEADER_BYTES, RECORD, RECORD_BYTES, TRAILER_BYTES
from ahstore.packs.place import Family, Kind
from ahstore.packs.reader import list_packs
from ahstore.storage.contract import MissingError
from ahstore.upkeep.blobs import KEY_BYTES
from ahstore.upkeep.sorted_keys import KeySorter, SortedKeys
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

_TAIL = Struct(">III")
"""Behind the key: the pack's number in this census, the bytes stored, and those unpacked."""

_WIDTH = KEY_BYTES + _TAIL.size

END = b"\xff" * (KEY_BYTES + 1)
"""Sorts after every key."""


@dataclass(slots=True)
class PackCount:
    """A pack as the census sees it; all sizes in bytes.

    Attributes:
        id: the pack.
        family: its family.
        size: of the file, 0 if its index can't be read.
        readable: whether its index could be read.
        held: blobs in it that are needed, their entries in the index included.
        owned: the same, without those of which another pack's copy counts.
    """

    id: PackId
    family: Family
    size: int = 0
    readable: bool = True
    held: int = 0
    owned: int = 0

    @property
    def dead(self) -> int:
        """Bytes that nobody would miss."""
        return max(0, self.size - self.owned - HEADER_BYTES - TRAILER_BYTES)


@dataclass(slots=True)
class Census:
    """All packs, by number, and where each blob lies."""

    packs: list[PackCount]
    entries: SortedKeys
    missing: list[bytes] = field(default_factory=list)

    def close(self) -> None:
        """Release what lies on disk."""
        self.entries.close()


MAX_MISSING = 1000


def take_census(
    repo: Repository, *, scratch: str | None = None, monitor: Monitor = SILENT
) -> Census:
    """List the packs and read all their indexes."""
    sorter = KeySorter(_WIDTH, scratch)
    packs: list[PackCount] = []
    _read_packs(repo, list_packs(repo.storage), packs, sorter, monitor)
    return Census(packs, sorter.finish())


def extend_census(repo: Repository, census: Census, *, scratch: str | None = None) -> set[PackId]:
    """Add the packs that came since; return all that are in the store now."""
    known = {pack.id for pack in census.packs}
    sorter = KeySorter(_WIDTH, scratch)
    before = len(census.packs)
    found = list(list_packs(repo.storage))
    new = (name for name in found if name[1] not in known)
    _read_packs(repo, new, census.packs, sorter, SILENT)
    if len(census.packs) > before:
        sorter.include(census.entries)
        entries, census.entries = census.entries, sorter.finish()
        entries.close()
    return {pack for _, pack in found}


def _read_packs(
    repo: Repository,
    names: Iterable[tuple[Family, PackId]],
    packs: list[PackCount],
    sorter: KeySorter,
    monitor: Monitor,
) -> None:
    """Count packs by their own indexes, from afar many at once.

    Not by the segments of the index in the store: what is deleted must not hang on what another
    wrote down of a pack.
    """
    for (family, pack), index in repo.packs.read_raw_indexes(names):
        monitor.advance(files=1)
        if isinstance(index, MissingError):
            continue  # gone since it was listed
        count = PackCount(pack, family)
        if isinstance(index, bytes):
            _count_entries(count, index, len(packs), sorter)
        else:
            count.readable = False
        packs.append(count)


def _count_entries(count: PackCount, index: bytes, number: int, sorter: KeySorter) -> None:
    end = HEADER_BYTES
    for address, kind, _, _, stored, raw, offset, _ in RECORD.iter_unpack(index):
        sorter.add(address + bytes((kind,)) + _TAIL.pack(number, stored, raw))
        end = max(end, offset + stored)
    count.size = end + len(index) + TRAILER_BYTES


def count_needed(census: Census, needed: SortedKeys) -> None:
    """Fill in what each pack holds and owns, and which needed blobs are in no pack."""
    packs = census.packs
    shared = False
    for key, copies in _copies(census, needed):
        if not copies and len(census.missing) < MAX_MISSING:
            census.missing.append(key)
        for number, stored in copies:
            packs[number].held += stored + RECORD_BYTES
        if len(copies) == 1:
            packs[copies[0][0]].owned += copies[0][1] + RECORD_BYTES
        shared = shared or len(copies) > 1
    if not shared:
        return
    for _, copies in _copies(census, needed):
        if len(copies) > 1:
            number, stored = max(copies, key=lambda copy: (packs[copy[0]].held, copy[0]))
            packs[number].owned += stored + RECORD_BYTES


def owned_blobs(
    census: Census, needed: SortedKeys, chosen: Collection[int]
) -> Iterator[tuple[bytes, int]]:
    """Yield key and pack number of each needed blob whose counted copy lies in a chosen pack."""
    packs = census.packs
    for key, copies in _copies(census, needed):
        if not copies:
            continue
        number, _ = max(copies, key=lambda copy: (packs[copy[0]].held, copy[0]))
        if number in chosen:
            yield key, number


def to_rescue(
    census: Census,
    needed: Iterable[bytes],
    condemned: Collection[PackId],
    present: Collection[PackId],
) -> set[PackId]:
    """Return the condemned packs that must stay, so that each needed blob keeps a copy."""
    packs = census.packs
    rescued: set[PackId] = set()
    for _, copies in _copies(census, needed):
        names = [packs[number].id for number, _ in copies]
        if any(name in present and (name not in condemned or name in rescued) for name in names):
            continue
        here = [number for number, _ in copies if packs[number].id in present]
        if here:
            rescued.add(packs[max(here, key=lambda n: (packs[n].held, n))].id)
    return rescued


def _copies(
    census: Census, needed: Iterable[bytes]
) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Yield each needed key with pack numbers and stored bytes of all its copies."""
    entries = groupby(census.entries, key=lambda entry: entry[:KEY_BYTES])
    here, group = next(entries, (None, iter(())))
    for key in needed:
        while here is not None and here < key:
            here, group = next(entries, (None, iter(())))
        if here == key:
            yield key, [_place(entry) for entry in group]
            here, group = next(entries, (None, iter(())))
        else:
            yield key, []


def wrong_lengths(census: Census, claims: SortedKeys) -> Iterator[tuple[bytes, int]]:
    """Yield the claims (address, then length as u64) of chunks that are not so long anywhere."""
    suffix = bytes([Kind.CHUNK])
    entries = groupby(census.entries, key=lambda entry: entry[:KEY_BYTES])
    here, lengths = b"", set[int]()
    for claim in claims:
        key = claim[:32] + suffix
        while here < key:
            here, group = next(entries, (END, iter(())))
            lengths = {_TAIL.unpack_from(entry, KEY_BYTES)[2] for entry in group}
        length = int.from_bytes(claim[32:], "big")
        if here == key and length not in lengths:
            yield claim[:32], length


def _place(entry: bytes) -> tuple[int, int]:
    number, stored, _ = _TAIL.unpack_from(entry, KEY_BYTES)
    return number, stored
