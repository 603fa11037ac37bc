"""Blobs as they lie in a pack, verified and still compressed: for copying them to another pack.

Whatever is copied is unpacked and hashed first, wherever it comes from; only the result of the
compression is spared being made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ahstore.ids import Address
from ahstore.packs.place import Kind, pack_key
from ahstore.packs.reader import Wanted, unpack_verified
from ahstore.storage.contract import Storage


class StoredBlob(NamedTuple):
    """A verified blob: ``data`` as stored by ``codec``; ``raw`` bytes when unpacked."""

    kind: Kind
    address: Address
    data: bytes
    raw: int
    codec: int


def read_stored(storage: Storage, span: Sequence[Wanted]) -> list[StoredBlob]:
    """Return the blobs of a span of one pack, read by one request, each checked by its SHA-256.

    Raises:
        MissingError: there is no such pack (any more).
        CorruptError: the bytes of one are not those of its address.
    """
    first = span[0][1]
    start = first.offset
    end = max(place.offset + place.stored for _, place in span)
    data = storage.read_range(pack_key(first.family, first.pack), start, end - start)
    found = []
    for address, place in span:
        stored = data[place.offset - start : place.offset - start + place.stored]
        unpack_verified(address, place, stored, trusted=False)
        found.append(StoredBlob(place.kind, address, stored, place.raw, place.codec))
    return found
