"""A store's folder in the user's cache, which a copy never shares with it, and how much it may hold."""

from __future__ import annotations

import os

from ahstore.codec.canonical import encode
from ahstore.codec.digests import sha256

MOST_BYTES = 10 * 2**30


def default_cache_size(folder: str) -> int:
    """Return how much is kept of a store far away if nobody says: 10 GiB, or a tenth of the disk."""
    while folder and not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        disk = os.statvfs(folder or ".")
    except OSError:
        return MOST_BYTES
    return min(MOST_BYTES, disk.f_blocks * disk.f_frsize // 10)


def cache_key(creation_id: str, url: str, device: int, inode: int) -> str:
    """Return a folder name of 32 hex digits for the store that was made as ``creation_id``.

    Args:
        creation_id: given once, when the store was made; copied with it.
        url: canonical URL; a copy at another place has another one.
        device: of ``store.json`` on a local disk, else 0.
        inode: of ``store.json`` on a local disk, else 0. With the device it tells a copy that was
            put in the original's place.
    """
    return sha256(encode([creation_id, url, device, inode])).hex()[:32]
