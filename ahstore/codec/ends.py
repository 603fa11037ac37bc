"""The ends of files that are read from behind: fixed fields, their XXH3, and a magic.

Packs and segments of the index end so (docs/format/packs.md, segments.md). What the fields mean is
said by those who own them.
"""

from __future__ import annotations

from ahstore.codec.digests import CHECKSUM_BYTES, checksum64
from ahstore.errors import CorruptError, UnsupportedError

MAGIC_BYTES = 4
END_BYTES = CHECKSUM_BYTES + MAGIC_BYTES
"""What follows the fields."""


def seal_end(fields: bytes, magic: bytes) -> bytes:
    """Return a file's last bytes."""
    return fields + checksum64(fields) + magic


def open_end(data: bytes, magic: bytes, *, size: int, what: str) -> bytes:
    """Return the fields, ``size`` bytes, out of a file's last bytes.

    Args:
        data: the end of the file, ``size`` + ``END_BYTES`` bytes if it is whole.
        magic: the file's last bytes.
        size: of the fields.
        what: the file should be, for the error.

    Raises:
        CorruptError: it is truncated, something else, or damaged.
    """
    if len(data) != size + END_BYTES or data[-MAGIC_BYTES:] != magic:
        raise CorruptError(f"not {what}, or truncated: it does not end with a trailer")
    if checksum64(data[:size]) != data[size:-MAGIC_BYTES]:
        raise CorruptError("the trailer is damaged")
    return data[:size]


def check_version(found: int, known: int, *, what: str) -> None:
    """Refuse what a later version of ahstore wrote.

    Raises:
        UnsupportedError: it did.
    """
    if found != known:
        raise UnsupportedError(
            f"{what} of version {found}: this version of ahstore knows version {known}"
        )
