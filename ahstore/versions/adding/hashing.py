"""Reading and hashing files that are not known: many small ones in batches, large ones singly.

What is done to each small file is a handful of system calls, two hashes and no object that stays.
Where there are many, a second process takes half of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ahstore.chunks.cutter import Cutter
from ahstore.ids import Address, ChunkId
from ahstore.index.stamps import Stamp
from ahstore.versions.adding.reading import read_content, read_small
from ahstore.versions.adding.second_process import SecondProcess
from ahstore.versions.adding.sinks import ChunkSink
from ahstore.versions.adding.unknown import ToRead, Unknown
from ahstore.versions.adding.values import small_value, to_value
from ahstore.versions.monitor import Monitor

BATCH_FILES = 1024
BATCH_BYTES = 8 * 2**20
SHARE_FROM_FILES = 4096
SHARE = 0.6
"""How much of the small files the second process takes: this one packs for both."""
SHARE_BYTES = 64 * 2**20
"""At most so much is held in memory that both processes see."""

Read = tuple[int, bytes, "Stamp | None"]
"""Number of the file, what is remembered of its content, its stamp unless it is as walked."""


class Hasher:
    """Reads files and gives their chunks to ``sink``."""

    def __init__(self, sink: ChunkSink, cutter: Cutter, monitor: Monitor) -> None:
        self._sink = sink
        self._cutter = cutter
        self._monitor = monitor
        self._limit = cutter.smallest

    def read(self, files: Unknown) -> Iterator[list[Read]]:
        """Yield what was read of each file, some at a time, in any order.

        Raises:
            SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
        """
        sizes, limit = files.sizes, self._limit
        small = [at for at, size in enumerate(sizes) if size <= limit]
        share = self._share(sizes, small)
        second = (
            SecondProcess.start(files.files(share), [sizes[at] for at in share]) if share else None
        )
        if second is None:
            yield from self._read_small(files, small)
        else:
            left = set(share)
            with second:
                yield from self._read_small(files, small[: len(small) - len(share)])
                for reads in self._take(share, second):
                    left.difference_update([read[0] for read in reads])
                    yield reads
            yield from self._read_small(files, sorted(left))
        for file in files.files([at for at, size in enumerate(sizes) if size > limit]):
            yield [self._read_large(file)]

    def _share(self, sizes: Sequence[int], small: Sequence[int]) -> Sequence[int]:
        """Return which of many small files the second process is to take: the later ones."""
        if len(small) < SHARE_FROM_FILES:
            return ()
        first, size = len(small), 0
        while first > len(small) * (1 - SHARE) and size < SHARE_BYTES:
            first -= 1
            size += sizes[small[first]]
        return small[first:]

    def _take(self, share: Sequence[int], second: SecondProcess) -> Iterator[list[Read]]:
        results = second.results()
        while some := [*islice(results, BATCH_FILES)]:
            ids = [ChunkId(Address(digest)) for _, data, _, digest in some if data]
            self._sink.put_chunks(ids, [data for _, data, _, _ in some if data])
            self._monitor.advance(bytes_=sum([len(data) for _, data, _, _ in some]))
            yield [
                (share[at], small_value(md5, digest, len(data)), None)
                for at, data, md5, digest in some
            ]

    def _read_small(self, files: Unknown, numbers: Sequence[int]) -> Iterator[list[Read]]:
        rest = files.files(numbers)
        for count in _batches(files.sizes, numbers):
            yield self._read_batch(islice(rest, count))

    def _read_batch(self, batch: Iterable[ToRead]) -> list[Read]:
        found: list[Read] = []
        ids: list[ChunkId] = []
        chunks: list[bytes | memoryview] = []
        md5, sha256 = hashlib.md5, hashlib.sha256
        for file in batch:
            data = read_small(file.local, file.stamp)
            if data is None:
                found.append(self._read_large(file))
                continue
            digest = sha256(data).digest()
            if data:
                ids.append(ChunkId(Address(digest)))
                chunks.append(data)
            whole = md5(data, usedforsecurity=False).digest()
            found.append((file.number, small_value(whole, digest, len(data)), None))
        self._sink.put_chunks(ids, chunks)
        self._monitor.advance(bytes_=sum(map(len, chunks)))
        return found

    def _read_large(self, file: ToRead) -> Read:
        content, stamp = read_content(file.local, self._cutter, self._sink.put_chunk, self._monitor)
        return file.number, to_value(content), None if stamp == file.stamp else stamp


def _batches(sizes: Sequence[int], numbers: Sequence[int]) -> Iterator[int]:
    """Split files, in order, into runs of a bounded number and size; yield how many each has."""
    first = size = 0
    for count, number in enumerate(numbers, start=1):
        size += sizes[number]
        if count - first == BATCH_FILES or size >= BATCH_BYTES:
            yield count - first
            first, size = count, 0
    if first < len(numbers):
        yield len(numbers) - first
