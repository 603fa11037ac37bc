"""The envelope of small stored documents: magic, kind, length and checksum before the payload.

Implements docs/format/encoding.md, "Envelope". A truncated, damaged or misplaced document is told
before anything parses it.
"""

from __future__ import annotations

import struct

from ahstore.codec.digests import checksum64
from ahstore.errors import CorruptError, InvalidInputError

MAGIC = b"AHS1"
KIND_BYTES = 4
HEADER_BYTES = 20
MAX_PAYLOAD_BYTES = 2**32 - 1

_HEADER = struct.Struct(">4s4sI8s")


def seal(kind: bytes, payload: bytes) -> bytes:
    """Return ``payload`` in an envelope of the 4-byte ``kind``.

    Raises:
        InvalidInputError: the kind has not 4 bytes, or the payload is 4 GiB or longer.
    """
    if len(kind) != KIND_BYTES:
        raise InvalidInputError(f"an envelope's kind has 4 bytes, not {len(kind)}")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidInputError("an envelope's payload is shorter than 4 GiB")
    return _HEADER.pack(MAGIC, kind, len(payload), checksum64(kind + payload)) + payload


def unseal(kind: bytes, data: bytes) -> bytes:
    """Return the payload of an envelope that has this ``kind``.

    Raises:
        CorruptError: ``data`` is truncated, damaged, or an envelope of another kind.
    """
    if len(data) < HEADER_BYTES:
        raise CorruptError(f"truncated: {len(data)} bytes, a header has {HEADER_BYTES}")
    magic, found, length, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise CorruptError("not a document of this store")
    if found != kind:
        raise CorruptError(f"a document of kind {found!r} where {kind!r} was expected")
    payload = data[HEADER_BYTES:]
    if len(payload) != length:
        raise CorruptError(f"{len(payload)} bytes where {length} were expected")
    if checksum64(kind + payload) != checksum:
        raise CorruptError("its checksum does not match")
    return payload
