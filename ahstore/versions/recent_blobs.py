"""Commits, pages and records that were just written or read, as bytes: the next operation needs them.

Every operation on a branch starts from what the last one wrote. Here it is found without asking the
storage; it was hashed when it was written, or verified when it was read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from ahstore.ids import Address
from ahstore.packs.place import Kind

LIMIT_BYTES = 4 * 2**20
MAX_BLOB_BYTES = 128 * 1024


class RecentBlobs:
    """Bytes by kind and address, the least recently used dropped first. Threads may share it."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._blobs: OrderedDict[tuple[Kind, Address], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, kind: Kind, address: Address) -> bytes | None:
        """Return the blob if it is here."""
        with self._lock:
            data = self._blobs.get((kind, address))
            if data is not None:
                self._blobs.move_to_end((kind, address))
            return data

    def put(self, kind: Kind, address: Address, data: bytes) -> None:
        """Keep a blob whose bytes are known to be right; large ones and chunks are not kept."""
        if kind is Kind.CHUNK or len(data) > MAX_BLOB_BYTES:
            return
        with self._lock:
            if (kind, address) in self._blobs:
                return
            self._blobs[kind, address] = data
            self._bytes += len(data)
            while self._bytes > self._limit_bytes:
                _, gone = self._blobs.popitem(last=False)
                self._bytes -= len(gone)

    def clear(self) -> None:
        """Forget all: some of it may be gone from the store."""
        with self._lock:
            self._blobs.clear()
            self._bytes = 0
