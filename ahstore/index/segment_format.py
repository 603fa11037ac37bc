"""The bytes of an index segment: records, packs covered, a sparse index over both. No I/O.

Implements docs/format/segments.md. A segment is a static search tree: blocks of sorted records, above
them levels of nodes until one block is left, the root. Each block is checked by the node above it
and the root by the trailer, so that a look-up reads and trusts only the blocks on its way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ahstore.codec.digests import checksum64
from ahstore.codec.ends import END_BYTES, check_version, open_end, seal_end
from ahstore.errors import CorruptError
from ahstore.ids import PackId
from ahstore.packs import format as pack_format
from ahstore.packs.place import (
    FAMILY_CODES,
    FAMILY_NAMES,
    MAX_OFFSET,
    Family,
    Place,
    checked_place,
    is_possible_blob,
)

VERSION = 1
MAGIC = b"AHIX"
TRAILER_MAGIC = b"XIHA"

RECORD = struct.Struct(">B32sB16sBBIIQ8s")
"""Kind, address, family, pack, codec, zero, stored, raw, offset, checksum."""
RECORD_BYTES = RECORD.size
KEY_BYTES = 33
IDENTITY_BYTES = 50
"""A record starts with its key (kind, address), then family and pack: together they are unique."""
PACK_BYTES = 17

BLOCK_RECORDS = 128
NODE_BYTES = 16
NODE_KEY_BYTES = 8
BLOCK_NODES = 1024

_HEADER = struct.Struct(">4sB3s")
_TRAILER = struct.Struct(">QQ8s8s16sB3s")
HEADER_BYTES = _HEADER.size
TRAILER_BYTES = _TRAILER.size + END_BYTES
MAX_RECORDS = 2**40
MAX_PACKS = 2**32
_ZEROS = b"\0\0\0"


class Block(NamedTuple):
    """A part of the file, and the bytes' XXH3."""

    offset: int
    length: int
    checksum: bytes


class Layout(NamedTuple):
    """Where the parts of a segment are, which two counts determine.

    Attributes:
        records: how many.
        packs: how many are covered.
        packs_offset: of the table of packs, after the records.
        levels: offset and bytes of each level above the records; the last is the root.
        size: of the whole file.
    """

    records: int
    packs: int
    packs_offset: int
    levels: tuple[tuple[int, int], ...]
    size: int

    @property
    def root(self) -> tuple[int, int]:
        """Offset and length of the root."""
        return self.levels[-1]


class Trailer(NamedTuple):
    """The end of a segment."""

    layout: Layout
    packs_checksum: bytes
    root_checksum: bytes
    id: PackId


def layout_of(records: int, packs: int) -> Layout:
    """Return where everything is in a segment of so many records and packs."""
    packs_offset = at = HEADER_BYTES + records * RECORD_BYTES
    at += packs * PACK_BYTES
    levels = []
    count = -(-records // BLOCK_RECORDS)
    while True:
        levels.append((at, count * NODE_BYTES))
        at += count * NODE_BYTES
        if count <= BLOCK_NODES:
            break
        count = -(-count // BLOCK_NODES)
    return Layout(records, packs, packs_offset, tuple(levels), at + TRAILER_BYTES)


def encode_header() -> bytes:
    """Return the first bytes of a segment."""
    return _HEADER.pack(MAGIC, VERSION, _ZEROS)


def check_header(data: bytes) -> None:
    """Check the first ``HEADER_BYTES``.

    Raises:
        CorruptError: they are something else.
        UnsupportedError: a later version wrote them.
    """
    if len(data) != HEADER_BYTES or data[:4] != MAGIC:
        raise CorruptError("not a segment: its first bytes are wrong")
    check_version(data[4], VERSION, what="a segment")
    if data != encode_header():
        raise CorruptError("a damaged header")


def encode_trailer(segment: PackId, layout: Layout, packs: bytes, root: bytes) -> bytes:
    """Return the last bytes of a segment."""
    fields = _TRAILER.pack(
        layout.records,
        layout.packs,
        checksum64(packs),
        checksum64(root),
        bytes.fromhex(segment),
        VERSION,
        _ZEROS,
    )
    return seal_end(fields, TRAILER_MAGIC)


def decode_trailer(data: bytes, *, size: int) -> Trailer:
    """Return what the last ``TRAILER_BYTES`` of a segment of ``size`` bytes say.

    Raises:
        CorruptError: they are damaged, or do not fit the size.
        UnsupportedError: a later version wrote them.
    """
    fields = open_end(data, TRAILER_MAGIC, size=_TRAILER.size, what="a segment")
    records, packs, packs_checksum, root_checksum, segment, version, zeros = _TRAILER.unpack(fields)
    check_version(version, VERSION, what="a segment")
    if zeros != _ZEROS or not 0 < records <= MAX_RECORDS or not 0 < packs <= MAX_PACKS:
        raise CorruptError("the trailer makes no sense")
    layout = layout_of(records, packs)
    if layout.size != size:
        raise CorruptError(f"the trailer does not fit a segment of {size} bytes")
    return Trailer(layout, packs_checksum, root_checksum, PackId(segment.hex()))


def records_of(pack: PackId, family: Family, index: bytes) -> list[bytes]:
    """Return the sorted records of a pack with this checked index."""
    name = bytes([FAMILY_CODES[family]]) + bytes.fromhex(pack)
    pack_record = RECORD.pack
    family_code, pack_bytes = name[0], name[1:]
    return sorted(
        pack_record(kind, address, family_code, pack_bytes, codec, 0, stored, raw, offset, checksum)
        for address, kind, codec, _, stored, raw, offset, checksum in (
            pack_format.RECORD.iter_unpack(index)
        )
    )


def index_of(records: Sequence[bytes]) -> bytes:
    """Return the index that the pack of these records has: the inverse of ``records_of``.

    Raises:
        CorruptError: a record makes no sense.
    """
    entries = []
    for kind, address, _, _, codec, zero, stored, raw, offset, checksum in RECORD.iter_unpack(
        b"".join(records)
    ):
        if zero or offset > MAX_OFFSET or not is_possible_blob(kind, codec, stored, raw):
            raise CorruptError("a record of a segment makes no sense")
        entries.append(
            pack_format.RECORD.pack(address, kind, codec, 0, stored, raw, offset, checksum)
        )
    return b"".join(sorted(entries))


def decode_record(record: bytes) -> Place:
    """Return the place that a record tells.

    Raises:
        CorruptError: its fields make no sense.
    """
    kind, _, family, pack, codec, zero, stored, raw, offset, checksum = RECORD.unpack(record)
    if zero:
        raise CorruptError("a record of a segment makes no sense")
    return checked_place(family, pack, kind, offset, stored, raw, codec, checksum)


def encode_packs(packs: Sequence[tuple[Family, PackId]]) -> bytes:
    """Return the table of packs covered."""
    return b"".join(
        sorted(bytes([FAMILY_CODES[family]]) + bytes.fromhex(pack) for family, pack in packs)
    )


def decode_packs(data: bytes) -> Iterator[tuple[Family, PackId]]:
    """Yield the packs of a checked table.

    Raises:
        CorruptError: a family is not known, or they are not in order.
    """
    last = b""
    for at in range(0, len(data), PACK_BYTES):
        entry = data[at : at + PACK_BYTES]
        family = FAMILY_NAMES.get(entry[0])
        if family is None or entry <= last:
            raise CorruptError("the table of packs makes no sense")
        last = entry
        yield family, PackId(entry[1:].hex())


def nodes_of(blocks: Sequence[bytes]) -> bytes:
    """Return the nodes that stand for blocks of records or of nodes, in their order."""
    return b"".join(block[:NODE_KEY_BYTES] + checksum64(block) for block in blocks)


def check_records(block: bytes) -> None:
    """Check that the records of a block are in order.

    Raises:
        CorruptError: they are not.
    """
    last = b""
    for at in range(0, len(block), RECORD_BYTES):
        identity = block[at : at + IDENTITY_BYTES]
        if identity <= last:
            raise CorruptError("the records are not in order")
        last = identity


def find_in_block(block: bytes, key: bytes) -> Iterator[bytes]:
    """Yield the records of a block that have this key (or start with a prefix of it)."""
    at = block.find(key)
    while at >= 0:
        if at % RECORD_BYTES == 0:
            yield block[at : at + RECORD_BYTES]
            at = block.find(key, at + RECORD_BYTES)
        else:
            at = block.find(key, at + 1)
