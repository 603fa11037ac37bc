"""From the user's files to rows of a tree: what is known is not read, what is stored not stored.

A file whose stat is as remembered is not read again, provided that its chunks are still there.
Small files go through in batches: what is done to each of them is a handful of system calls, two
hashes and no object of its own; looking up and remembering is done for a batch at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.codec.digests import MD5_BYTES, sha256
from ahstore.ids import Address, ChunkId
from ahstore.index.filestates import FileStates
from ahstore.objects import content_type
from ahstore.objects.file import (
    EXECUTABLE,
    FLAGS,
    LEVEL_SHIFT,
    MD5,
    REF_BYTES,
    REFS,
    SIZE,
    ChunkRef,
    Row,
    make_flags,
    pack_refs,
    unpack_refs,
)
from ahstore.packs.place import Kind
from ahstore.versions.closure import chunks_of
from ahstore.versions.monitor import Monitor
from ahstore.versions.reading import Content, read_content, read_small
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession
from ahstore.versions.walk import LocalFile

OWNER_EXECUTES = 0o100
BATCH_FILES = 1024
BATCH_BYTES = 8 * 2**20


class ChunkSink(Protocol):
    """Where the chunks of new content go."""

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """Take a chunk, return its id."""

    def put_chunks(self, chunks: Sequence[bytes]) -> list[ChunkId]:
        """Take many small chunks, return their ids."""

    def holds(self, content: Content) -> bool:
        """Say whether all chunks of remembered content are there for certain."""


class StoringSink:
    """Stores chunks in a session's packs."""

    def __init__(self, repo: Repository, session: WriteSession) -> None:
        self._repo = repo
        self._session = session
        self.put_chunk = session.put_chunk
        self.put_chunks = session.put_chunks

    def holds(self, content: Content) -> bool:
        """See :class:`ChunkSink`: lists are looked up before they are read."""
        refs = content.refs
        ids = [Address(refs[at : at + 32]) for at in range(0, len(refs), 40)]
        if not self._session.has_all(Kind.CHUNK, ids):
            return False
        if content.level == 0:
            return True
        chunks = list(chunks_of(self._repo, content.level, refs))
        return self._session.has_all(Kind.CHUNK, chunks)


class HashingSink:
    """Names chunks and keeps nothing: for looking at what a commit would change."""

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """See :class:`ChunkSink`."""
        return ChunkId(sha256(data))

    def put_chunks(self, chunks: Sequence[bytes]) -> list[ChunkId]:
        """See :class:`ChunkSink`."""
        return [ChunkId(sha256(data)) for data in chunks]

    def holds(self, content: Content) -> bool:  # noqa: ARG002
        """See :class:`ChunkSink`: nothing will refer to the chunks."""
        return True


class Ingest:
    """Makes rows of files; new content goes to ``sink``.

    ``known_rows`` are rows of a live commit by path: what they hold needs no confirmation.
    """

    def __init__(
        self,
        sink: ChunkSink,
        *,
        cutting: CuttingParameters,
        states: FileStates,
        known_rows: Mapping[str, Row],
        monitor: Monitor,
    ) -> None:
        self._sink = sink
        self._states = states
        self._known_rows = known_rows
        self._monitor = monitor
        self._cutter = Cutter(cutting)

    def rows(self, files: Sequence[LocalFile], *, rehash: bool = False) -> list[Row]:
        """Return a row for each file, in their order; ``rehash`` reads all, remembered or not.

        Raises:
            SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
        """
        total = sum(file.stat.st_size for file in files)
        self._monitor.start("Hashing", files=len(files), bytes_=total)
        try:
            rows: list[Row] = []
            for batch in _batches(files):
                rows.extend(self._batch(batch, rehash))
            self._states.flush()
        finally:
            self._monitor.finish()
        return rows

    def _batch(self, files: Sequence[LocalFile], rehash: bool) -> list[Row]:
        rows: list[Row | None] = [None] * len(files)
        if not rehash:
            self._remembered(files, rows)
        unknown = [at for at, row in enumerate(rows) if row is None]
        if unknown:
            started = self._states.now()
            read: list[tuple[str, os.stat_result, bytes]] = []
            for at, content, found in self._read(files, unknown):
                read.append((files[at].local, found, _to_value(content)))
                rows[at] = _row(files[at].path, content, found)
            self._states.remember_many(read, started=started)
        self._monitor.advance(files=len(files))
        return [row for row in rows if row is not None]

    def _remembered(self, files: Sequence[LocalFile], rows: list[Row | None]) -> None:
        """Fill in the rows of files that are as remembered, if their chunks are sure to be there.

        An unchanged file gets the very row of the live commit, which is told from others at once.
        """
        values = self._states.lookup_many([f.local for f in files], [f.stat for f in files])
        for at, (value, file) in enumerate(zip(values, files, strict=True)):
            if value is None:
                continue
            row = self._known_rows.get(file.path)
            if row is None or _value_of_row(row) != value or row[SIZE] != file.stat.st_size:
                content = _from_value(value, file.stat.st_size)
                if content is None or not self._sink.holds(content):
                    continue
                row = _row(file.path, content, file.stat)
            elif row[FLAGS] & EXECUTABLE != bool(file.stat.st_mode & OWNER_EXECUTES):
                row = [*row]
                row[FLAGS] ^= EXECUTABLE
            rows[at] = row
            self._monitor.advance(bytes_=row[SIZE])

    def _read(
        self, files: Sequence[LocalFile], places: Sequence[int]
    ) -> Iterator[tuple[int, Content, os.stat_result]]:
        """Read the files at these places; yield place, content and stat of each, in any order."""
        small: list[tuple[int, bytes, os.stat_result]] = []
        limit = self._cutter.smallest
        for at in places:
            file = files[at]
            read = read_small(file.local, limit) if file.stat.st_size <= limit else None
            if read is not None:
                small.append((at, *read))
            else:
                yield (
                    at,
                    *read_content(file.local, self._cutter, self._sink.put_chunk, self._monitor),
                )
        ids = iter(self._sink.put_chunks([data for _, data, _ in small if data]))
        md5 = hashlib.md5
        for at, data, found in small:
            size = len(data)
            refs = pack_refs([ChunkRef(next(ids), size)]) if size else b""
            yield at, Content(size, md5(data, usedforsecurity=False).digest(), 0, refs), found
        self._monitor.advance(bytes_=sum(len(data) for _, data, _ in small))


def _batches(files: Sequence[LocalFile]) -> list[Sequence[LocalFile]]:
    """Split files, in order, into runs of a bounded number and size."""
    batches: list[Sequence[LocalFile]] = []
    first = size = 0
    for at, file in enumerate(files):
        size += file.stat.st_size
        if at + 1 - first == BATCH_FILES or size >= BATCH_BYTES:
            batches.append(files[first : at + 1])
            first, size = at + 1, 0
    if first < len(files):
        batches.append(files[first:])
    return batches


# What is remembered of a file: MD5, level, refs. Flat, so that a row is compared with it at once.


def _to_value(content: Content) -> bytes:
    return content.md5 + bytes([content.level]) + content.refs


def _value_of_row(row: Row) -> bytes:
    value: bytes = row[MD5] + bytes([row[FLAGS] >> LEVEL_SHIFT]) + row[REFS]
    return value


def _from_value(value: bytes, size: int) -> Content | None:
    """Return the remembered content of a file of ``size`` bytes, None if it can't be that."""
    if len(value) <= MD5_BYTES or (len(value) - MD5_BYTES - 1) % REF_BYTES:
        return None
    refs = value[MD5_BYTES + 1 :]
    if sum(ref.length for ref in unpack_refs(refs)) != size:
        return None
    return Content(size, value[:MD5_BYTES], value[MD5_BYTES], refs)


def _row(path: str, content: Content, found: os.stat_result) -> Row:
    executable = bool(found.st_mode & OWNER_EXECUTES)
    flags = make_flags(executable=executable, level=content.level)
    kind = content_type.guess_code(path)
    return [path, content.size, content.md5, found.st_mtime_ns, flags, kind, content.refs]
