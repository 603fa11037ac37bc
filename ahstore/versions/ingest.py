"""From the user's files to rows of a tree: what is known is not read, what is stored not stored.

A file whose stat is as remembered is not read again, provided that its chunks are still there.
Small files go through in batches: what is done to each of them is a handful of system calls, two
hashes and no object of its own; looking up and remembering is done for a batch at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.codec.canonical import decode, encode
from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError
from ahstore.ids import Address, ChunkId
from ahstore.index.filestates import FileStates
from ahstore.objects import content_type
from ahstore.objects.file import (
    FLAGS,
    LEVEL_SHIFT,
    MD5,
    REFS,
    SIZE,
    ChunkRef,
    Row,
    make_flags,
    pack_refs,
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
        nothing: list[Content | None] = [None] * len(files)
        contents = nothing if rehash else self._remembered(files)
        stats = [file.stat for file in files]
        unknown = [at for at, content in enumerate(contents) if content is None]
        if unknown:
            started = self._states.now()
            self._read(files, unknown, contents, stats)
            for at in unknown:
                content = contents[at]
                assert content is not None
                value = encode(list(content))
                self._states.remember(files[at].local, stats[at], value, started=started)
        self._monitor.advance(files=len(files))
        return [
            _row(file.path, content, found.st_mtime_ns, found.st_mode)
            for file, content, found in zip(files, contents, stats, strict=True)
            if content is not None
        ]

    def _remembered(self, files: Sequence[LocalFile]) -> list[Content | None]:
        """Return what is remembered of each file, if its chunks are sure to be there."""
        values = self._states.lookup_many([f.local for f in files], [f.stat for f in files])
        found = [
            self._trusted(value, file) if value is not None else None
            for value, file in zip(values, files, strict=True)
        ]
        self._monitor.advance(bytes_=sum(content.size for content in found if content))
        return found

    def _trusted(self, value: bytes, file: LocalFile) -> Content | None:
        content = _decode(value)
        if content is None or content.size != file.stat.st_size:
            return None
        row = self._known_rows.get(file.path)
        if row is not None and _content_of(row) == content:
            return content
        return content if self._sink.holds(content) else None

    def _read(
        self,
        files: Sequence[LocalFile],
        unknown: Sequence[int],
        contents: list[Content | None],
        stats: list[os.stat_result],
    ) -> None:
        """Read the files at the places ``unknown`` and put what was found into the lists."""
        small: list[tuple[int, bytes]] = []
        limit = self._cutter.smallest
        for at in unknown:
            read = read_small(files[at].local, limit) if files[at].stat.st_size <= limit else None
            if read is None:
                contents[at], stats[at] = read_content(
                    files[at].local, self._cutter, self._sink.put_chunk, self._monitor
                )
            else:
                small.append((at, read[0]))
                stats[at] = read[1]
        chunks = self._sink.put_chunks([data for _, data in small if data])
        ids = iter(chunks)
        md5 = hashlib.md5
        for at, data in small:
            size = len(data)
            refs = pack_refs([ChunkRef(next(ids), size)]) if size else b""
            contents[at] = Content(size, md5(data, usedforsecurity=False).digest(), 0, refs)
        self._monitor.advance(bytes_=sum(len(data) for _, data in small))


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


def _decode(value: bytes) -> Content | None:
    try:
        fields = decode(value)
    except CorruptError:
        return None
    if not isinstance(fields, list) or [type(f) for f in fields] != [int, bytes, int, bytes]:
        return None
    return Content(*fields)  # type: ignore[arg-type]


def _content_of(row: Row) -> Content:
    return Content(row[SIZE], row[MD5], row[FLAGS] >> LEVEL_SHIFT, row[REFS])


def _row(path: str, content: Content, mtime_ns: int, mode: int) -> Row:
    flags = make_flags(executable=bool(mode & OWNER_EXECUTES), level=content.level)
    kind = content_type.guess_code(path)
    return [path, content.size, content.md5, mtime_ns, flags, kind, content.refs]
