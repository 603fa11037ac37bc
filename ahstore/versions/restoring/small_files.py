"""Writing many small files: by several processes when there are enough and a fork is safe.

A small file is little but system calls, each of which gives up Python's lock and takes it again:
threads are slower here than none (docs/decisions/restoring.md).
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from functools import partial

from ahstore.ids import Address, ChunkId
from ahstore.objects.file import Row
from ahstore.packs.place import Kind, Place
from ahstore.versions import crew
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.batch import Batch
from ahstore.versions.restoring.target import Folder, TargetFolder

ROUND_FILES = 32 * 1024
ROUND_FOLDERS = 256
SHARE_FILES = 1000
"""For less a process is not worth its fork."""


class SmallFiles:
    """Collects batches into rounds; a round is written at once."""

    def __init__(self, repo: Repository, target: TargetFolder, monitor: Monitor) -> None:
        self._repo, self._target, self._monitor = repo, target, monitor
        self._batch = Batch()
        self._round: list[Batch] = []
        self._files = self._folders = 0
        # The folders of a round are open all at once.
        self._max_folders = min(ROUND_FOLDERS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def add(self, folder: Folder, row: Row) -> bool:
        """Take a file; True when it is time to ``write``."""
        if self._batch.add(folder, row):
            self._end_batch()
        return self._files >= ROUND_FILES or self._folders >= self._max_folders

    def _end_batch(self) -> None:
        batch, self._batch = self._batch, Batch()
        self._round.append(batch)
        self._files += len(batch.files)
        self._folders += len(batch.folders)

    def write(self) -> None:
        """Write what was taken. No other thread may be at work in the caller's name."""
        self._end_batch()
        batches, files = self._round, self._files
        self._round, self._files, self._folders = [], 0, 0
        count = min(crew.processes(), files // SHARE_FILES)
        if count > 1:
            self._share_out(batches, count)
        else:
            self._write_here(batches)
        for batch in batches:
            batch.release()

    def _share_out(self, batches: Sequence[Batch], count: int) -> None:
        bounds = [len(batches) * at // count for at in range(count + 1)]
        shares = [batches[bounds[at] : bounds[at + 1]] for at in range(count)]
        theirs = [partial(self._write_in_child, share, self._places(share)) for share in shares[1:]]
        failed = crew.run_shares([partial(self._write_here, shares[0]), *theirs])
        for work, share in zip(theirs, shares[1:], strict=True):
            if work in failed:
                self._write_here(share, again=True)
            else:
                for batch in share:
                    self._monitor.advance(files=len(batch.files), bytes_=batch.size)

    def _write_here(self, batches: Sequence[Batch], *, again: bool = False) -> None:
        for batch in batches:
            batch.write(self._repo.read_chunk_views, self._target, again=again)
            self._monitor.advance(files=len(batch.files), bytes_=batch.size)

    def _places(self, batches: Sequence[Batch]) -> dict[ChunkId, Place]:
        """Look up what a child needs: it can't, since LMDB does not survive a fork."""
        chunks = [chunk for batch in batches for chunk in batch.chunks()]
        return self._repo.index.find_many(Kind.CHUNK, chunks)

    def _write_in_child(self, batches: Sequence[Batch], places: dict[ChunkId, Place]) -> None:
        def read(chunks: Sequence[ChunkId]) -> Iterator[tuple[Address, bytes | memoryview]]:
            wanted = [(chunk, places[chunk]) for chunk in dict.fromkeys(chunks)]
            return self._repo.packs.read_views(wanted)

        self._target.renew_names()
        for batch in batches:
            batch.write(read, self._target)
