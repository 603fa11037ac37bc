"""Rows to files: small ones in rounds (``small_files.py``), larger ones by threads, in pieces.

The caller's thread walks the rows, keeps the folders, and finishes what others have written; these
read neighbouring chunks in one read (verified) and write. Memory is bounded by what is under way.
docs/decisions/restoring.md says why so.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ahstore.objects.chunklist import walk
from ahstore.objects.file import (
    EXECUTABLE,
    FLAGS,
    LEVEL_SHIFT,
    MTIME_NS,
    PATH,
    REFS,
    SIZE,
    ChunkRef,
    Row,
)
from ahstore.packs.reader import MAX_SPAN_BYTES
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.batch import Batch, check_size, write_piece
from ahstore.versions.restoring.small_files import SmallFiles
from ahstore.versions.restoring.target import Folder, TargetFolder
from ahstore.versions.restoring.target_file import TargetFile
from ahstore.versions.restoring.workers import Workers

THREADS = 2
FAR_THREADS = 12
"""From a store that is far away: so many requests are under way, 100 to 200 MiB of memory."""
SMALL_BYTES = 32 * 1024
PIECE_BYTES = 2 * 2**20
FAR_PIECE_BYTES = MAX_SPAN_BYTES - 512 * 1024
"""One request, although chunks of another kind (lists) may lie between."""


def restore(repo: Repository, target: TargetFolder, rows: Iterable[Row], monitor: Monitor) -> None:
    """Write the files of ``rows``, sorted by path, into ``target``.

    Raises:
        InvalidInputError: something in the target is in the way.
        CorruptError: stored bytes are damaged.
        StorageError: the target's file system or the store failed.
    """
    threads = FAR_THREADS if repo.storage.capabilities.far else THREADS
    with Workers(threads, ahead=threads + 2) as workers:
        restoring = _Restoring(repo, target, workers, monitor)
        try:
            restoring.run(rows)
        except BaseException:
            workers.close()  # what threads still write is closed next
            restoring.abort()
            raise


class _LargeFile:
    """A file whose pieces are written by several threads."""

    def __init__(self, file: TargetFile, folder: Folder, mtime_ns: int) -> None:
        self.file, self.folder, self.mtime_ns = file, folder, mtime_ns
        self.pieces = 1  # under way; one is whoever hands them out


class _Restoring:
    def __init__(
        self, repo: Repository, target: TargetFolder, workers: Workers, monitor: Monitor
    ) -> None:
        self._repo, self._target = repo, target
        self._workers, self._monitor = workers, monitor
        self._small = SmallFiles(repo, target, monitor)
        # What counts far away is how many requests wait at once, not what threads cost.
        far = repo.storage.capabilities.far
        self._small_bytes = -1 if far else SMALL_BYTES
        self._piece_bytes = FAR_PIECE_BYTES if far else PIECE_BYTES
        self._far = far
        self._batch = Batch(far=far)
        self._large: set[_LargeFile] = set()

    def run(self, rows: Iterable[Row]) -> None:
        enter, add_small = self._target.enter, self._small.add
        for row in rows:
            folder = enter(row[PATH])
            size = row[SIZE]
            if size <= self._small_bytes and row[FLAGS] < 1 << LEVEL_SHIFT:
                if add_small(folder, row):
                    self._write_small()
            elif size > self._piece_bytes:
                self._hand_out_large(folder, row)
            elif self._batch.add(folder, row):
                self._hand_out_batch()
        self._hand_out_batch()
        self._write_small()

    def abort(self) -> None:
        for large in self._large:
            large.file.abort()

    def _write_small(self) -> None:
        self._workers.rest()  # only a process of one thread may fork
        self._small.write()

    def _hand_out_batch(self) -> None:
        batch, self._batch = self._batch, Batch(far=self._far)
        if batch.files:
            self._workers.submit(
                partial(batch.write, self._repo.read_chunk_views, self._target),
                partial(self._batch_done, batch),
            )

    def _batch_done(self, batch: Batch) -> None:
        self._monitor.advance(files=len(batch.files), bytes_=batch.size)
        batch.release()

    def _hand_out_large(self, folder: Folder, row: Row) -> None:
        name = row[PATH].rpartition("/")[2]
        file = TargetFile(self._target, folder, name, executable=bool(row[FLAGS] & EXECUTABLE))
        large = _LargeFile(file, folder, row[MTIME_NS])
        folder.hold()
        self._large.add(large)
        piece: list[ChunkRef] = []
        start = size = 0
        for ref, _ in walk(row[FLAGS] >> LEVEL_SHIFT, row[REFS], self._repo.read_chunk):
            if piece and size + ref.length > self._piece_bytes:
                self._hand_out_piece(large, start, size, piece)
                start, size, piece = start + size, 0, []
            piece.append(ref)
            size += ref.length
        if piece:
            self._hand_out_piece(large, start, size, piece)
        check_size(row, start + size)
        self._piece_done(large, 0)

    def _hand_out_piece(
        self, large: _LargeFile, start: int, size: int, piece: list[ChunkRef]
    ) -> None:
        large.pieces += 1
        self._workers.submit(
            partial(write_piece, self._repo.read_chunk_views, large.file, start, piece),
            partial(self._piece_done, large, size),
        )

    def _piece_done(self, large: _LargeFile, size: int) -> None:
        large.pieces -= 1
        self._monitor.advance(files=not large.pieces, bytes_=size)
        if not large.pieces:
            large.file.commit(large.mtime_ns)
            self._large.discard(large)
            large.folder.release()
