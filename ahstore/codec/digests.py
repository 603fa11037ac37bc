"""The three digests: SHA-256 addresses, MD5 is shown, XXH3 guards stored bytes.

MD5 never addresses, deduplicates or decides trust; XXH3 finds accidents, not attackers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import xxhash

from ahstore.ids import Address

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHECKSUM_BYTES = 8
MD5_BYTES = 16


def sha256(data: Buffer) -> Address:
    """Return the 32-byte address of ``data``."""
    return Address(hashlib.sha256(data).digest())


def md5(data: Buffer) -> bytes:
    """Return the 16-byte MD5 of ``data``, as listings show it."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def checksum64(data: Buffer) -> bytes:
    """Return XXH3-64 of ``data``, 8 bytes, big-endian."""
    return xxhash.xxh3_64_digest(data)
