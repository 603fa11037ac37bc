"""The bytes of a pack: header, blobs, index, trailer. No I/O.

Implements docs/format/packs.md. Whatever is decoded is bounds-checked before it is used: an index
that this module accepts points only at bytes between the header and itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ahstore.codec.digests import checksum64
from ahstore.codec.ends import END_BYTES, check_version, open_end, seal_end
from ahstore.errors import CorruptError
from ahstore.ids import Address, PackId
from ahstore.packs.place import (
    FAMILY_CODES,
    FAMILY_NAMES,
    KINDS,
    Family,
    Place,
    is_possible_blob,
)

VERSION = 1
MAGIC = b"AHPK"
TRAILER_MAGIC = b"KPHA"

_HEADER = struct.Struct(">4sBB2s")
_TRAILER = struct.Struct(">QI8s16sBB2s")
RECORD = struct.Struct(">32sBBHIIQ8s")
"""Address, kind, codec, zero, stored, raw, offset, checksum: one entry of the index."""

_OFFSET = struct.Struct(">Q")
_OFFSET_AT = 44

HEADER_BYTES = _HEADER.size
TRAILER_BYTES = _TRAILER.size + END_BYTES
RECORD_BYTES = RECORD.size
KEY_BYTES = 33
"""An entry starts with its key: address and kind. Entries are sorted by it, each key once."""

MAX_RECORDS = 2**24
_ZEROS = b"\0\0"


class Trailer(NamedTuple):
    """The end of a pack: where its index is, and how to know that it is whole."""

    index_offset: int
    entries: int
    checksum: bytes
    pack: PackId
    family: Family

    @property
    def index_bytes(self) -> int:
        """Length of the index in bytes."""
        return self.entries * RECORD_BYTES


def encode_header(family: Family) -> bytes:
    """Return the first bytes of a pack."""
    return _HEADER.pack(MAGIC, VERSION, FAMILY_CODES[family], _ZEROS)


def check_header(data: bytes, family: Family) -> None:
    """Check the first ``HEADER_BYTES`` of a pack.

    Raises:
        CorruptError: they are something else.
        UnsupportedError: a later version wrote them.
    """
    if len(data) != HEADER_BYTES or data[:4] != MAGIC:
        raise CorruptError("not a pack: its first bytes are wrong")
    check_version(data[4], VERSION, what="a pack")
    if data != encode_header(family):
        raise CorruptError("a pack of another family, or a damaged header")


def encode_trailer(pack: PackId, family: Family, index_offset: int, index: bytes) -> bytes:
    """Return the last bytes of a pack whose index lies at ``index_offset``."""
    fields = _TRAILER.pack(
        index_offset,
        len(index) // RECORD_BYTES,
        checksum64(index),
        bytes.fromhex(pack),
        VERSION,
        FAMILY_CODES[family],
        _ZEROS,
    )
    return seal_end(fields, TRAILER_MAGIC)


def decode_trailer(data: bytes, *, size: int) -> Trailer:
    """Return what the last ``TRAILER_BYTES`` of a pack of ``size`` bytes say.

    Raises:
        CorruptError: they are damaged, or do not fit the size.
        UnsupportedError: a later version wrote them.
    """
    fields = open_end(data, TRAILER_MAGIC, size=_TRAILER.size, what="a pack")
    offset, count, index_checksum, pack, version, family, zeros = _TRAILER.unpack(fields)
    check_version(version, VERSION, what="a pack")
    if family not in FAMILY_NAMES or zeros != _ZEROS or not 0 < count <= MAX_RECORDS:
        raise CorruptError("the trailer makes no sense")
    trailer = Trailer(offset, count, index_checksum, PackId(pack.hex()), FAMILY_NAMES[family])
    if offset < HEADER_BYTES or offset + trailer.index_bytes + TRAILER_BYTES != size:
        raise CorruptError(f"the trailer does not fit a pack of {size} bytes")
    return trailer


def check_index(index: bytes, trailer: Trailer) -> None:
    """Check the index of a pack against its trailer: whole, sorted, all of it within bounds.

    Raises:
        CorruptError: it is not.
    """
    if len(index) != trailer.index_bytes or checksum64(index) != trailer.checksum:
        raise CorruptError("the index is damaged")
    last = b""
    end = trailer.index_offset
    for at, fields in zip(
        range(0, len(index), RECORD_BYTES), RECORD.iter_unpack(index), strict=True
    ):
        _, kind, codec, zero, stored, raw, offset, _ = fields
        key = index[at : at + KEY_BYTES]
        if key <= last:
            raise CorruptError("the index is not in order")
        last = key
        if zero or not is_possible_blob(kind, codec, stored, raw):
            raise CorruptError(f"entry {at // RECORD_BYTES} of the index makes no sense")
        if offset < HEADER_BYTES or offset + stored > end:
            raise CorruptError(f"entry {at // RECORD_BYTES} of the index points outside the blobs")


def entries(index: bytes, pack: PackId, family: Family) -> Iterator[tuple[Address, Place]]:
    """Yield address and place of each entry of a checked index."""
    new = tuple.__new__
    kinds = KINDS
    for address, kind, codec, _, stored, raw, offset, checksum in RECORD.iter_unpack(index):
        place = new(Place, (pack, family, kinds[kind], offset, stored, raw, codec, checksum))
        yield address, place


def shifted(record: bytes, shift: int) -> bytes:
    """Return an entry whose blob lies ``shift`` bytes further on."""
    (offset,) = _OFFSET.unpack_from(record, _OFFSET_AT)
    return record[:_OFFSET_AT] + _OFFSET.pack(offset + shift) + record[_OFFSET_AT + 8 :]


def find_record(index: bytes, key: bytes) -> int | None:
    """Return the position of the entry with this key in a checked index."""
    low, high = 0, len(index) // RECORD_BYTES
    while low < high:
        middle = (low + high) // 2
        at = middle * RECORD_BYTES
        if index[at : at + KEY_BYTES] < key:
            low = middle + 1
        else:
            high = middle
    at = low * RECORD_BYTES
    return at if index[at : at + KEY_BYTES] == key else None


def record_place(record: bytes, pack: PackId, family: Family) -> Place:
    """Return the place that one checked entry tells."""
    _, kind, codec, _, stored, raw, offset, checksum = RECORD.unpack(record)
    return Place(pack, family, KINDS[kind], offset, stored, raw, codec, checksum)
