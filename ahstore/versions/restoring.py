"""Rows to files: small files many at once, large ones in pieces, by a few threads side by side.

The caller's thread walks the rows, keeps the folders, and finishes what the threads have written;
these look up chunks, read neighbours in one read (verified), and write. Memory is bounded by the
pieces under way. See docs/decisions/restoring.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ahstore.errors import CorruptError
from ahstore.ids import Address, ChunkId
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
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.target import Folder, TargetFolder
from ahstore.versions.target_file import TargetFile
from ahstore.versions.workers import Workers

THREADS = 2
AHEAD = 2 * THREADS
PIECE_BYTES = 4 * 2**20
"""A batch of small files, or a part of a large one."""
BATCH_FILES = 256
BATCH_FOLDERS = 32
"""Each is an open descriptor while its files are written."""

_ID_BYTES = 32
_REF_BYTES = 40


def restore(repo: Repository, target: TargetFolder, rows: Iterable[Row], monitor: Monitor) -> None:
    """Write the files of ``rows``, sorted by path, into ``target``.

    Raises:
        InvalidInputError: something in the target is in the way.
        CorruptError: stored bytes are damaged.
        StorageError: the target's file system or the store failed.
    """
    with Workers(THREADS, ahead=AHEAD) as workers:
        restoring = _Restoring(repo, target, workers, monitor)
        try:
            restoring.run(rows)
        except BaseException:
            # Threads that write must be done before files and folders are closed.
            workers.__exit__()
            restoring.abort()
            raise


class _Batch:
    """Small files to be written by one thread, and the folders they go to."""

    def __init__(self) -> None:
        self.files: list[tuple[Folder, Row]] = []
        self.folders: list[Folder] = []
        self.size = 0


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
        self._batch = _Batch()
        self._large: set[_LargeFile] = set()

    def run(self, rows: Iterable[Row]) -> None:
        enter = self._target.enter
        for row in rows:
            folder = enter(row[PATH])
            size = row[SIZE]
            if size > PIECE_BYTES:
                self._flush()
                self._hand_out_large(folder, row)
                continue
            batch = self._batch
            batch.files.append((folder, row))
            batch.size += size
            if not batch.folders or batch.folders[-1] is not folder:
                folder.hold()
                batch.folders.append(folder)
            if (
                batch.size >= PIECE_BYTES
                or len(batch.files) >= BATCH_FILES
                or len(batch.folders) >= BATCH_FOLDERS
            ):
                self._flush()
        self._flush()
        self._workers.drain()

    def abort(self) -> None:
        for large in self._large:
            large.file.abort()

    def _flush(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if batch.files:
            self._workers.submit(
                partial(_write_batch, self._repo, self._target, batch.files),
                partial(self._batch_done, batch),
            )

    def _batch_done(self, batch: _Batch) -> None:
        self._monitor.advance(files=len(batch.files), bytes_=batch.size)
        for folder in batch.folders:
            folder.release()

    def _hand_out_large(self, folder: Folder, row: Row) -> None:
        name = row[PATH].rpartition("/")[2]
        file = TargetFile(self._target, folder, name, executable=bool(row[FLAGS] & EXECUTABLE))
        large = _LargeFile(file, folder, row[MTIME_NS])
        folder.hold()
        self._large.add(large)
        piece: list[ChunkRef] = []
        start = size = 0
        for ref, _ in walk(row[FLAGS] >> LEVEL_SHIFT, row[REFS], self._repo.read_chunk):
            piece.append(ref)
            size += ref.length
            if size >= PIECE_BYTES:
                self._hand_out(large, start, size, piece)
                start, size, piece = start + size, 0, []
        if piece:
            self._hand_out(large, start, size, piece)
        _check_size(row, start + size)
        self._piece_done(large, 0)

    def _hand_out(self, large: _LargeFile, start: int, size: int, piece: list[ChunkRef]) -> None:
        large.pieces += 1
        self._workers.submit(
            partial(_write_piece, self._repo, large.file, start, piece),
            partial(self._piece_done, large, size),
        )

    def _piece_done(self, large: _LargeFile, size: int) -> None:
        large.pieces -= 1
        self._monitor.advance(files=not large.pieces, bytes_=size)
        if not large.pieces:
            large.file.commit(large.mtime_ns)
            self._large.discard(large)
            large.folder.release()


def _write_piece(repo: Repository, file: TargetFile, start: int, piece: list[ChunkRef]) -> None:
    found = dict(repo.read_chunks([ref.id for ref in piece]))
    file.write_at(start, [_checked(found, *ref) for ref in piece])


def _write_batch(repo: Repository, target: TargetFolder, files: list[tuple[Folder, Row]]) -> None:
    """Read the chunks of small files, neighbours together, and write the files in order."""
    lists: dict[int, list[ChunkRef]] = {}
    wanted: list[ChunkId] = []
    for at, (_, row) in enumerate(files):
        refs = row[REFS]
        if len(refs) == _REF_BYTES and row[FLAGS] < 1 << LEVEL_SHIFT:  # nearly every small file
            wanted.append(ChunkId(refs[:_ID_BYTES]))
        elif refs:
            level = row[FLAGS] >> LEVEL_SHIFT
            lists[at] = [ref for ref, _ in walk(level, refs, repo.read_chunk)]
            wanted.extend(ref.id for ref in lists[at])
    found = dict(repo.read_chunks(wanted)) if wanted else {}
    for at, (folder, row) in enumerate(files):
        refs = row[REFS]
        if at in lists:
            parts = [_checked(found, *ref) for ref in lists[at]]
            _check_size(row, sum(map(len, parts)))
        elif refs:
            parts = [_checked(found, refs[:_ID_BYTES], row[SIZE])]
        else:
            parts = []
        _write_file(target, folder, row, parts)


def _write_file(target: TargetFolder, folder: Folder, row: Row, parts: list[bytes]) -> None:
    name = row[PATH].rpartition("/")[2]
    file = TargetFile(target, folder, name, executable=bool(row[FLAGS] & EXECUTABLE))
    try:
        for data in parts:
            file.write(data)
        file.commit(row[MTIME_NS])
    except BaseException:
        file.abort()
        raise


def _checked(found: dict[Address, bytes], chunk: bytes, length: int) -> bytes:
    data = found[Address(chunk)]
    if len(data) != length:
        raise CorruptError(f"chunk {chunk.hex()} is not as long as its file says")
    return data


def _check_size(row: Row, size: int) -> None:
    if size != row[SIZE]:
        raise CorruptError(f"the chunks of {row[PATH]!r} are not as long as it says")
