"""Chunks from one place to another, as they are stored: read ahead by threads, verified, put.

Neighbours in a pack are one read. Memory holds as many spans as are being read (docs/format/packs.md
bounds a span), whatever is copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ahstore.codec.compression import MOST_BYTES
from ahstore.errors import CorruptError
from ahstore.ids import ChunkId
from ahstore.objects.file import ChunkRef
from ahstore.packs.place import Kind, Place
from ahstore.packs.reader import Wanted, by_position, spans
from ahstore.packs.stored import StoredBlob, read_stored
from ahstore.storage.contract import MissingError
from ahstore.transfer.sinks import Sink
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository

BATCH_CHUNKS = 8192
BATCH_BYTES = 256 * 2**20
THREADS = 4


class Copier:
    """Copies the chunks that a sink lacks. ``want`` gathers them, ``flush`` copies what is left.

    Attributes:
        chunks: copied.
        bytes: of these, as stored.
        kept: chunks that the sink had already.
    """

    def __init__(self, source: Repository, sink: Sink, monitor: Monitor) -> None:
        self._source = source
        self._sink = sink
        self._monitor = monitor
        self._wanted: dict[ChunkId, int] = {}
        self._size = 0
        self._pool: ThreadPoolExecutor | None = None
        self.chunks = self.bytes = self.kept = 0

    def want(self, ref: ChunkRef) -> None:
        """Take note of a chunk that the sink has to have.

        Raises:
            CorruptError: it was wanted with another length, or is longer than chunks are.
        """
        chunk, length = ref
        known = self._wanted.setdefault(chunk, length)
        if known != length or length > MOST_BYTES:
            raise _wrong_length(chunk, length)
        self._size += length
        if len(self._wanted) >= BATCH_CHUNKS or self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Copy what is wanted and not there.

        Raises:
            CorruptError: a chunk is damaged, or of another length than its file says.
            NotFoundError: the source does not have one.
        """
        wanted, self._wanted, self._size = self._wanted, {}, 0
        lengths = self._sink.lengths(list(wanted))
        for chunk, length in lengths.items():
            if length != wanted[chunk]:
                raise _wrong_length(chunk, wanted[chunk])
            del wanted[chunk]
        self.kept += len(lengths)
        if wanted:
            self._sink.expect(sum(wanted.values()))
            # What a look around found is not sent again.
            for chunk in self._sink.lengths(list(wanted)):
                del wanted[chunk]
                self.kept += 1
        try:
            self._copy(wanted)
        except MissingError:
            # Repacked while it was read: the chunks lie elsewhere now.
            self._source.index.refresh()
            self._copy(wanted)

    def close(self) -> None:
        """Let go of the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _copy(self, wanted: dict[ChunkId, int]) -> None:
        places = self._source.index.look_up(Kind.CHUNK, wanted)
        items: list[Wanted] = []
        for chunk, length in wanted.items():
            place: Place = places.get(chunk) or self._source.place(Kind.CHUNK, chunk)
            if place.raw != length:
                raise _wrong_length(chunk, length)
            items.append((chunk, place))
        for blobs in self._read(list(spans(sorted(items, key=by_position)))):
            for blob in blobs:
                self._sink.put_stored(blob)
                wanted.pop(ChunkId(blob.address), None)
                self.chunks += 1
                self.bytes += len(blob.data)
            self._monitor.advance(bytes_=sum(blob.raw for blob in blobs))
            self._sink.beat()

    def _read(self, ordered: Sequence[Sequence[Wanted]]) -> Iterator[list[StoredBlob]]:
        storage = self._source.storage
        if len(ordered) <= 1:
            yield from (read_stored(storage, span) for span in ordered)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "read")
        reading: deque[Future[list[StoredBlob]]] = deque()
        try:
            for span in ordered:
                reading.append(self._pool.submit(read_stored, storage, span))
                if len(reading) > THREADS:
                    yield reading.popleft().result()
            while reading:
                yield reading.popleft().result()
        finally:
            for future in reading:
                future.cancel()


def _wrong_length(chunk: ChunkId, length: int) -> CorruptError:
    return CorruptError(
        f"a file says that chunk {chunk.hex()} has {length} bytes, which it has not",
        address=chunk.hex(),
    )
