"""Reading and hashing files that are not known: many small ones in batches, large ones singly.

What is done to each small file is a handful of system calls, two hashes and no object that stays.
Where there are many, a second process takes half of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ahstore.chunks.cutter import Cutter
from ahstore.codec.digests import sha256
from ahstore.ids import Address, ChunkId
from ahstore.index.stamps import Stamp
from ahstore.objects.file import ChunkRef, pack_refs
from ahstore.versions.adding.reading import Content, read_content, read_small
from ahstore.versions.adding.second_process import SecondProcess
from ahstore.versions.adding.sinks import ChunkSink
from ahstore.versions.adding.unknown import Unknown
from ahstore.versions.adding.walk import LocalFile
from ahstore.versions.monitor import Monitor

BATCH_FILES = 1024
BATCH_BYTES = 8 * 2**20
SHARE_FROM_FILES = 4096
SHARE = 0.6
"""How much of the small files the second process takes: this one packs for both."""
SHARE_BYTES = 64 * 2**20
"""At most so much is held in memory that both processes see."""

Read = tuple[int, Content, Stamp]
"""Place in the list of files, content, and the stamp that goes with it."""


class Hasher:
    """Reads files and gives their chunks to ``sink``."""

    def __init__(self, sink: ChunkSink, cutter: Cutter, monitor: Monitor) -> None:
        self._sink = sink
        self._cutter = cutter
        self._monitor = monitor
        self._limit = cutter.smallest

    def read(self, files: Unknown) -> Iterator[Read]:
        """Yield what was read of each file, in any order.

        Raises:
            SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
        """
        sizes, limit = files.sizes, self._limit
        small = [at for at, size in enumerate(sizes) if size <= limit]
        share = self._share(sizes, small)
        second = (
            SecondProcess.start(map(files.file, share), [sizes[at] for at in share])
            if share
            else None
        )
        if second is None:
            yield from self._read_small(files, small)
        else:
            left = set(share)
            with second:
                yield from self._read_small(files, small[: len(small) - len(share)])
                for read in self._take(files, share, second):
                    left.discard(read[0])
                    yield read
            yield from self._read_small(files, sorted(left))
        for at, size in enumerate(sizes):
            if size > limit:
                yield self._read_large(files.file(at), at)

    def _share(self, sizes: Sequence[int], small: Sequence[int]) -> Sequence[int]:
        """Return which of many small files the second process is to take: the later ones."""
        if len(small) < SHARE_FROM_FILES:
            return ()
        first, size = len(small), 0
        while first > len(small) * (1 - SHARE) and size < SHARE_BYTES:
            first -= 1
            size += sizes[small[first]]
        return small[first:]

    def _take(self, files: Unknown, share: Sequence[int], second: SecondProcess) -> Iterator[Read]:
        ids: list[ChunkId] = []
        chunks: list[bytes | memoryview] = []
        for at, data, md5, digest in second.results():
            size = len(data)
            refs = b""
            if size:
                ids.append(ChunkId(Address(digest)))
                chunks.append(data)
                refs = pack_refs([ChunkRef(ids[-1], size)])
            self._monitor.advance(bytes_=size)
            yield share[at], Content(size, md5, 0, refs), files.stamp(share[at])
            if len(ids) == BATCH_FILES:
                self._sink.put_chunks(ids, chunks)
                ids, chunks = [], []
        self._sink.put_chunks(ids, chunks)

    def _read_small(self, files: Unknown, places: Sequence[int]) -> Iterator[Read]:
        for batch in _batches(files.sizes, places):
            yield from self._read_batch([(at, files.file(at)) for at in batch])

    def _read_batch(self, batch: Sequence[tuple[int, LocalFile]]) -> Iterator[Read]:
        found: list[tuple[int, bytes, Stamp]] = []
        for at, file in batch:
            data = read_small(file.local, file.stat)
            if data is None:
                yield self._read_large(file, at)
            else:
                found.append((at, data, file.stat))
        chunks: list[bytes | memoryview] = [data for _, data, _ in found if data]
        ids = [ChunkId(sha256(data)) for data in chunks]
        self._sink.put_chunks(ids, chunks)
        self._monitor.advance(bytes_=sum(map(len, chunks)))
        rest = iter(ids)
        md5 = hashlib.md5
        for at, data, stamp in found:
            size = len(data)
            refs = pack_refs([ChunkRef(next(rest), size)]) if size else b""
            yield at, Content(size, md5(data, usedforsecurity=False).digest(), 0, refs), stamp

    def _read_large(self, file: LocalFile, at: int) -> Read:
        return at, *read_content(file.local, self._cutter, self._sink.put_chunk, self._monitor)


def _batches(sizes: Sequence[int], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split places, in order, into runs of a bounded number and size of files."""
    first = size = 0
    for count, at in enumerate(places, start=1):
        size += sizes[at]
        if count - first == BATCH_FILES or size >= BATCH_BYTES:
            yield places[first:count]
            first, size = count, 0
    if first < len(places):
        yield places[first:]
