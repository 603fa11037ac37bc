"""Reading many blobs for gc and fsck: in the order of the packs, and whatever the cache thinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ahstore.ids import Address
from ahstore.packs.place import Kind
from ahstore.storage.contract import MissingError
from ahstore.versions.repository import Repository

BATCH = 4096
KIND_BYTE = {kind: bytes([kind]) for kind in Kind}
KEY_BYTES = 33


def read_blobs(
    repo: Repository, kind: Kind, addresses: Sequence[Address], *, trusted: bool = True
) -> Iterator[tuple[Address, bytes]]:
    """Yield each blob, verified, neighbours read together; in the order of the packs.

    Raises:
        NotFoundError: one is in no pack.
        CorruptError: one is damaged.
    """
    places = repo.index.find_many(kind, addresses)
    wanted = [(a, places.get(a) or repo.index.get(kind, a)) for a in addresses]
    done: set[Address] = set()
    try:
        for address, data in repo.packs.read_many(wanted, trusted=trusted):
            done.add(address)
            yield address, data
    except MissingError:
        # A pack that the cached index knows is gone. The store's packs say where to.
        repo.index.refresh()
        for address in addresses:
            if address not in done:
                place = repo.index.get(kind, address)
                yield address, repo.packs.read(address, place, trusted=trusted)
