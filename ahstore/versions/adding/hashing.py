"""Reading and hashing files that are not known: many small ones in batches, large ones singly.

What is done to each small file is a handful of system calls, two hashes and no object of its own.
Where there are many, a second process takes half of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence

from ahstore.chunks.cutter import Cutter
from ahstore.codec.digests import sha256
from ahstore.ids import Address, ChunkId
from ahstore.objects.file import ChunkRef, pack_refs
from ahstore.versions.adding.reading import Content, read_content, read_small
from ahstore.versions.adding.second_process import SecondProcess
from ahstore.versions.adding.sinks import ChunkSink
from ahstore.versions.adding.walk import LocalFile
from ahstore.versions.monitor import Monitor

BATCH_FILES = 1024
BATCH_BYTES = 8 * 2**20
SHARE_FROM_FILES = 4096
SHARE = 0.6
"""How much of the small files the second process takes: this one packs for both."""
SHARE_BYTES = 64 * 2**20
"""At most so much is held in memory that both processes see."""

Read = tuple[int, Content, os.stat_result]
"""Place in the list of files, content, and the stat that goes with it."""


class Hasher:
    """Reads files and gives their chunks to ``sink``."""

    def __init__(self, sink: ChunkSink, cutter: Cutter, monitor: Monitor) -> None:
        self._sink = sink
        self._cutter = cutter
        self._monitor = monitor
        self._limit = cutter.smallest

    def read(self, files: Sequence[LocalFile], places: Sequence[int]) -> Iterator[Read]:
        """Yield what was read of the files at these places, in any order.

        Raises:
            SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
        """
        small = [at for at in places if files[at].stat.st_size <= self._limit]
        share = self._share(files, small)
        second = SecondProcess.start([files[at] for at in share], self._limit) if share else None
        if second is None:
            yield from self._read_small(files, small)
        else:
            shared = set(share)
            with second:
                yield from self._read_small(files, [at for at in small if at not in shared])
                for read in self._take(files, share, second):
                    shared.discard(read[0])
                    yield read
            yield from self._read_small(files, sorted(shared))
        for at in places:
            if files[at].stat.st_size > self._limit:
                yield self._read_large(files, at)

    def _share(self, files: Sequence[LocalFile], small: Sequence[int]) -> Sequence[int]:
        """Return which of many small files the second process is to take: the later ones."""
        if len(small) < SHARE_FROM_FILES:
            return ()
        first, size = len(small), 0
        while first > len(small) * (1 - SHARE) and size < SHARE_BYTES:
            first -= 1
            size += files[small[first]].stat.st_size
        return small[first:]

    def _take(
        self, files: Sequence[LocalFile], share: Sequence[int], second: SecondProcess
    ) -> Iterator[Read]:
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
            yield share[at], Content(size, md5, 0, refs), files[share[at]].stat
            if len(ids) == BATCH_FILES:
                self._sink.put_chunks(ids, chunks)
                ids, chunks = [], []
        self._sink.put_chunks(ids, chunks)

    def _read_small(self, files: Sequence[LocalFile], places: Sequence[int]) -> Iterator[Read]:
        for batch in _batches(files, places):
            yield from self._read_batch(files, batch)

    def _read_batch(self, files: Sequence[LocalFile], batch: Sequence[int]) -> Iterator[Read]:
        found: list[tuple[int, bytes, os.stat_result]] = []
        for at in batch:
            read = read_small(files[at].local, self._limit)
            if read is None:
                yield self._read_large(files, at)
            else:
                found.append((at, *read))
        chunks: list[bytes | memoryview] = [data for _, data, _ in found if data]
        ids = [ChunkId(sha256(data)) for data in chunks]
        self._sink.put_chunks(ids, chunks)
        self._monitor.advance(bytes_=sum(map(len, chunks)))
        rest = iter(ids)
        md5 = hashlib.md5
        for at, data, stat in found:
            size = len(data)
            refs = pack_refs([ChunkRef(next(rest), size)]) if size else b""
            yield at, Content(size, md5(data, usedforsecurity=False).digest(), 0, refs), stat

    def _read_large(self, files: Sequence[LocalFile], at: int) -> Read:
        return (
            at,
            *read_content(files[at].local, self._cutter, self._sink.put_chunk, self._monitor),
        )


def _batches(files: Sequence[LocalFile], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split places, in order, into runs of a bounded number and size of files."""
    first = size = 0
    for count, at in enumerate(places, start=1):
        size += files[at].stat.st_size
        if count - first == BATCH_FILES or size >= BATCH_BYTES:
            yield places[first:count]
            first, size = count, 0
    if first < len(places):
        yield places[first:]
