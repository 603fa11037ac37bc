"""The name of a store's folder in the user's cache: a copy never shares the original's."""

from __future__ import annotations

from ahstore.codec.canonical import encode
from ahstore.codec.digests import sha256


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
