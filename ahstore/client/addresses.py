"""``physical_address``: where the first bytes of objects lie at this moment.

``<store>/packs/data/xx/<id>#<offset>,<length>``; it changes when packs are rewritten. An object with
no bytes has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ahstore.ids import ADDRESS_BYTES, Address, ChunkId
from ahstore.objects.chunklist import walk
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, REFS, Row
from ahstore.packs.place import Kind, pack_key
from ahstore.versions.repository import Repository


def physical_addresses(repo: Repository, rows: Sequence[Row]) -> list[str]:
    """Return the address of each row's first chunk, looked up together; "" for empty files."""
    first = [_first_chunk(repo, row) for row in rows]
    places = repo.index.find_many(Kind.CHUNK, [chunk for chunk in first if chunk is not None])
    addresses = []
    for chunk in first:
        if chunk is None:
            addresses.append("")
            continue
        place = places.get(chunk) or repo.place(Kind.CHUNK, chunk)
        key = pack_key(place.family, place.pack)
        addresses.append(f"{repo.storage.location(key)}#{place.offset},{place.stored}")
    return addresses


def _first_chunk(repo: Repository, row: Row) -> ChunkId | None:
    refs: bytes = row[REFS]
    if not refs:
        return None
    level = row[FLAGS] >> LEVEL_SHIFT
    if level == 0:
        return ChunkId(Address(refs[:ADDRESS_BYTES]))
    ref, _ = next(iter(walk(level, refs, repo.read_chunk, offset=0, length=1)))
    return ref.id
