"""Writing packs anew: what is needed of them goes to new ones, in the order in which it lay.

The new packs are published without a lease, and only then the old ones are condemned, by the same
plan as all others (docs/format/gc.md). A crash between leaves blobs in two places; the next gc
keeps one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from struct import Struct

from ahstore.errors import CorruptError
from ahstore.ids import Address
from ahstore.packs.place import Place
from ahstore.storage.contract import MissingError
from ahstore.upkeep.blobs import KEY_BYTES, KIND_BYTE
from ahstore.upkeep.census import Census, PackCount, owned_blobs
from ahstore.upkeep.new_packs import NewPacks
from ahstore.upkeep.sorted_keys import KeySorter, SortedKeys
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

_NUMBER = Struct(">I")


def repack(
    repo: Repository,
    census: Census,
    needed: SortedKeys,
    chosen: Sequence[int],
    *,
    scratch: str | None = None,
    monitor: Monitor = SILENT,
) -> list[int]:
    """Write what is needed of the chosen packs anew; return those that may be condemned.

    A pack with a damaged blob is left as it is: what can be read of it is for fsck to save.
    """
    sorter = KeySorter(_NUMBER.size + KEY_BYTES, scratch)
    for key, number in owned_blobs(census, needed, set(chosen)):
        sorter.add(_NUMBER.pack(number) + key)
    done: list[int] = []
    with sorter.finish() as wanted, NewPacks(repo) as packs:
        for head, group in groupby(wanted, key=lambda entry: entry[: _NUMBER.size]):
            (number,) = _NUMBER.unpack(head)
            keys = {entry[_NUMBER.size :] for entry in group}
            if _copy(repo, census.packs[number], keys, packs, monitor):
                done.append(number)
        packs.finish()
    return done


def _copy(
    repo: Repository, pack: PackCount, keys: set[bytes], packs: NewPacks, monitor: Monitor
) -> bool:
    try:
        index = repo.packs.read_index(pack.family, pack.id)
        wanted = [(a, place) for a, place in index if a + KIND_BYTE[place.kind] in keys]
        for address, data, place in _read(repo, wanted):
            packs.add(place.kind, address, data)
            monitor.advance(files=1, bytes_=len(data))
    except (CorruptError, MissingError):
        return False
    return len(wanted) == len(keys)


def _read(
    repo: Repository, wanted: list[tuple[Address, Place]]
) -> Iterator[tuple[Address, bytes, Place]]:
    """Yield the blobs in the order in which they lie, their SHA-256 checked."""
    places = sorted(wanted, key=lambda item: item[1].offset)
    blobs = repo.packs.read_many(places, trusted=False)
    for (address, place), (found, data) in zip(places, blobs, strict=True):
        assert found == address
        yield address, data, place
