"""Packs, their records and segments of them, made without the code under test where that matters."""

from __future__ import annotations

import itertools

from ahstore.codec.digests import sha256
from ahstore.index import segment_format as layout
from ahstore.index.segment_list import INDEX_CELL, decode_list
from ahstore.index.segment_writer import write_segment
from ahstore.packs.place import Kind
from ahstore.packs.reader import list_packs
from ahstore.packs.writer import PackWriter
from ahstore.storage.cells import Cells

_numbers = itertools.count()


def write(storage, blobs, *, kind=Kind.CHUNK, family="data"):
    writer = PackWriter(storage, family)
    for blob in blobs:
        writer.add(kind, sha256(blob), blob)
    return writer.finish()


def write_packs(storage, count, *, blobs=3):
    """Write packs of chunks that nobody else has."""
    numbers = [next(_numbers) for _ in range(count)]
    return [write(storage, [b"%d/%d" % (n, i) for i in range(blobs)]) for n in numbers]


def cover(storage, packs):
    """Write a segment of these packs, unnamed by the index cell."""
    return write_segment(
        storage,
        [layout.records_of(pack.id, pack.family, pack.index) for pack in packs],
        [(pack.family, pack.id) for pack in packs],
    )


def named(storage):
    """Return the segments that the index cell names."""
    return decode_list(Cells(storage).read(INDEX_CELL))


def packs_in(storage):
    return {pack for _, pack in list_packs(storage)}


def model_of(packs):
    """Return what any index of these packs has to say: key to the set of places."""
    model = {}
    for pack in packs:
        for address, place in pack.entries:
            model.setdefault(bytes([place.kind]) + address, set()).add(place)
    return model
