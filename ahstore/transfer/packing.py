"""Blobs on their way into packs, several of which are finished while the next is filled.

What a pack holds counts as there from the moment it is put, and is known by its place when the
pack is durable. For one thread; those that finish packs see nothing but their pack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ahstore.ids import Address
from ahstore.packs.place import Family, Kind
from ahstore.packs.stored import StoredBlob
from ahstore.packs.writer import FinishedPack, PackWriter
from ahstore.storage.contract import Storage

TARGET_BYTES = 64 * 2**20
"""A transfer that is killed has lost no more than the packs that were not finished."""
IN_FLIGHT = 2

Key = tuple[Kind, Address]


class Packer:
    """Writes packs of ``TARGET_BYTES`` into a storage.

    Args:
        storage: where.
        learn: called with each pack that is durable.
        in_flight: packs that may be finishing at once; 0: each is finished before the next begins.
        target_bytes: size at which a pack is finished.
    """

    def __init__(
        self,
        storage: Storage,
        learn: Callable[[FinishedPack], None],
        *,
        in_flight: int = IN_FLIGHT,
        target_bytes: int = TARGET_BYTES,
    ) -> None:
        self._storage = storage
        self._learn = learn
        self._target_bytes = target_bytes
        self._in_flight = in_flight
        self._open: dict[Family, tuple[PackWriter, dict[Key, int]]] = {}
        self._ending: deque[tuple[Future[FinishedPack | None], PackWriter, dict[Key, int]]] = (
            deque()
        )
        self._pool: ThreadPoolExecutor | None = None
        self.packs = 0
        self.bytes = 0

    def find_length(self, kind: Kind, address: Address) -> int | None:
        """Return the raw length of a blob that was put into a pack not durable yet."""
        key = (kind, address)
        for _, lengths in self._open.values():
            if key in lengths:
                return lengths[key]
        for _, _, lengths in self._ending:
            if key in lengths:
                return lengths[key]
        return None

    def put(self, kind: Kind, address: Address, data: bytes) -> None:
        """Put a blob by its bytes, which the caller has verified."""
        family: Family = "data" if kind is Kind.CHUNK else "meta"
        writer, lengths = self._writer(family)
        writer.add(kind, address, data)
        lengths[kind, address] = len(data)
        self._finish_large(family, writer)

    def put_stored(self, blob: StoredBlob) -> None:
        """Put a verified blob as another pack has it."""
        family: Family = "data" if blob.kind is Kind.CHUNK else "meta"
        writer, lengths = self._writer(family)
        writer.add_stored(blob.kind, blob.address, blob.data, raw=blob.raw, codec=blob.codec)
        lengths[blob.kind, blob.address] = blob.raw
        self._finish_large(family, writer)

    def flush(self) -> None:
        """Make everything durable; data before what refers to it."""
        for family in ("data", "meta"):
            self._finish("data" if family == "data" else "meta")
        while self._ending:
            self._harvest()

    def close(self) -> None:
        """Give up what is not durable; harmless after ``flush``."""
        for writer, _ in self._open.values():
            writer.abort()
        self._open.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for future, writer, _ in self._ending:
            if future.cancelled() or future.exception() is not None:
                writer.abort()
        self._ending.clear()

    def _writer(self, family: Family) -> tuple[PackWriter, dict[Key, int]]:
        opened = self._open.get(family)
        if opened is None:
            opened = self._open[family] = (PackWriter(self._storage, family), {})
        return opened

    def _finish_large(self, family: Family, writer: PackWriter) -> None:
        if writer.size >= self._target_bytes:
            self._finish(family)

    def _finish(self, family: Family) -> None:
        opened = self._open.pop(family, None)
        if opened is None:
            return
        writer, lengths = opened
        if not self._in_flight:
            self._take(writer.finish())
            return
        while len(self._ending) >= self._in_flight:
            self._harvest()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._in_flight, "finish")
        self._ending.append((self._pool.submit(writer.finish), writer, lengths))

    def _harvest(self) -> None:
        finished = self._ending[0][0].result()
        # Known by its place before it is no longer known as being on its way.
        self._take(finished)
        self._ending.popleft()

    def _take(self, finished: FinishedPack | None) -> None:
        if finished is not None:
            self.packs += 1
            self.bytes += finished.size
            self._learn(finished)
