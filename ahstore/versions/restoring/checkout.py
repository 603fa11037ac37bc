"""From a commit to files: downloading into a folder, and reading one object."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ahstore.errors import CorruptError, InvalidInputError, ObjectNotFoundError
from ahstore.ids import Address, ChunkId, CommitId
from ahstore.names import check_object_path
from ahstore.objects.chunklist import walk
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, REFS, SIZE, FileEntry, Row
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.pins import PIN_BYTES, PIN_FILES, Beating, pinned
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.collisions import refuse_collisions
from ahstore.versions.restoring.restorer import restore
from ahstore.versions.restoring.selection import Selection
from ahstore.versions.restoring.target import TargetFolder

CHUNKS_AT_ONCE = 32


class ChunkSource(Protocol):
    """Who reads chunks, verified: a `Repository`, or a writer who knows his own."""

    def read_chunk(self, chunk: ChunkId) -> bytes:
        """Return a chunk's bytes."""
        ...

    def read_chunks(self, chunks: Sequence[ChunkId]) -> Iterator[tuple[Address, bytes]]:
        """Yield each distinct chunk once with its bytes, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """How many files and bytes were written."""

    files: int
    size_bytes: int


def find_object(repo: Repository, commit: CommitId, path: str) -> FileEntry | None:
    """Return the object at ``path``, None if the commit has none there."""
    row = repo.files(commit).find(check_object_path(path))
    return FileEntry.from_row(row) if row is not None else None


def open_object(repo: Repository, commit: CommitId, path: str) -> BinaryIO:
    """Open an object for reading; seekable, read by chunks as needed.

    Raises:
        ObjectNotFoundError: the commit has no such object.
    """
    row = repo.files(commit).find(check_object_path(path))
    if row is None:
        raise ObjectNotFoundError(
            f"there is no object {path!r} in commit {commit.hex()[:8]}", path=path
        )
    return open_row(repo, row)


def open_row(chunks: ChunkSource, row: Row) -> BinaryIO:
    """Open the object that a row of a tree tells of, for reading; as `open_object`."""
    return io.BufferedReader(_ObjectReader(chunks, row), buffer_size=1024 * 1024)


def download(
    repo: Repository,
    commit: CommitId,
    *,
    target: str,
    paths: Sequence[str] = (),
    read_only: bool = False,
    monitor: Monitor = SILENT,
) -> DownloadResult:
    """Write a commit's objects into a folder, all or those at ``paths`` (objects or folders).

    Content, mtime and the executable bit are as committed. Files that stand there are replaced,
    each at once; ``read_only`` takes the write permission from what is written.

    Raises:
        ObjectNotFoundError: a path names neither an object nor a folder of the commit.
        InvalidInputError, UnsupportedError: the target can't take a file at its path.
        StorageError: the target's file system failed.
    """
    selection = Selection(repo, commit, paths)
    refuse_collisions(target, selection.paths)
    files, size = selection.totals()
    monitor.start("Downloading", files=files, bytes_=size)
    try:
        with TargetFolder(target, read_only=read_only) as folder:
            if size < PIN_BYTES and files < PIN_FILES:
                restore(repo, folder, selection.rows(), monitor)
            else:
                with pinned(repo, commit) as pin:
                    restore(repo, folder, selection.rows(), Beating(pin, monitor))
    finally:
        monitor.finish()
    return DownloadResult(files, size)


def read_row(repo: ChunkSource, row: Row, *, offset: int = 0) -> Iterator[bytes]:
    """Yield a file's bytes from ``offset`` on, a chunk at a time, neighbours read together.

    Raises:
        CorruptError: the chunks are not as long as the file says.
    """
    return read_refs(repo, row[FLAGS] >> LEVEL_SHIFT, row[REFS], offset=offset)


def read_refs(repo: ChunkSource, level: int, refs: bytes, *, offset: int = 0) -> Iterator[bytes]:
    """Yield the bytes that a file's references stand for; see `read_row`."""
    batch: list[ChunkId] = []
    skip = 0
    lengths: list[int] = []
    for ref, start in walk(level, refs, repo.read_chunk, offset=offset):
        if not batch and not skip and start < offset:
            skip = offset - start
        batch.append(ref.id)
        lengths.append(ref.length)
        if len(batch) >= CHUNKS_AT_ONCE:
            yield from _in_order(repo, batch, lengths, skip)
            batch, lengths, skip = [], [], 0
    if batch:
        yield from _in_order(repo, batch, lengths, skip)


def _in_order(
    repo: ChunkSource, chunks: list[ChunkId], lengths: list[int], skip: int
) -> Iterator[bytes]:
    found = dict(repo.read_chunks(chunks))
    for chunk, length in zip(chunks, lengths, strict=True):
        data = found[chunk]
        if len(data) != length:
            raise CorruptError(f"chunk {chunk.hex()} is not as long as its file says")
        yield data[skip:] if skip else data
        skip = 0


class _ObjectReader(io.RawIOBase):
    """An object as a raw stream; a seek only drops what was read ahead."""

    def __init__(self, repo: ChunkSource, row: Row) -> None:
        super().__init__()
        self._repo, self._row = repo, row
        self._position = 0
        self._source: Iterator[bytes] | None = None
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size: int = self._row[SIZE]
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        if start + offset < 0:
            raise InvalidInputError("can't seek before the start of an object")
        self._position = start + offset
        self._source, self._pending = None, memoryview(b"")
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        if self._position >= self._row[SIZE]:
            return 0
        if self._source is None:
            self._source = read_row(self._repo, self._row, offset=self._position)
        if not self._pending:
            self._pending = memoryview(next(self._source, b""))
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        self._position += count
        return count
