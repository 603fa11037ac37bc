"""What is remembered of a file: MD5, level, refs. Flat, so that a row is compared with it at once."""

from __future__ import annotations

import struct

from ahstore.codec.digests import MD5_BYTES
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, MD5, REF_BYTES, REFS, Row, unpack_refs
from ahstore.versions.adding.reading import Content

_ONE_CHUNK = struct.Struct(">16sB32sQ")


def to_value(content: Content) -> bytes:
    """Return what is remembered of a file."""
    return content.md5 + bytes([content.level]) + content.refs


def small_value(md5: bytes, sha256: bytes, size: int) -> bytes:
    """Return what is remembered of a file of ``size`` bytes that is one chunk, or empty."""
    return _ONE_CHUNK.pack(md5, 0, sha256, size) if size else md5 + b"\0"


def value_of_row(row: Row) -> bytes:
    """Return what would be remembered of the file of which this is a row."""
    value: bytes = row[MD5] + bytes([row[FLAGS] >> LEVEL_SHIFT]) + row[REFS]
    return value


def from_value(value: bytes, size: int) -> Content | None:
    """Return the remembered content of a file of ``size`` bytes, None if it can't be that."""
    if len(value) <= MD5_BYTES or (len(value) - MD5_BYTES - 1) % REF_BYTES:
        return None
    refs = value[MD5_BYTES + 1 :]
    if sum(ref.length for ref in unpack_refs(refs)) != size:
        return None
    return Content(size, value[:MD5_BYTES], value[MD5_BYTES], refs)
