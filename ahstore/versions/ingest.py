"""From the user's files to rows of a tree: what is known is not read, what is stored not stored.

A file whose stat is as remembered is not read again, provided that its chunks are still there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.codec.canonical import decode, encode
from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError
from ahstore.ids import ChunkId
from ahstore.index.filestates import FileStates
from ahstore.objects import content_type
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, MD5, REFS, SIZE, Row, make_flags
from ahstore.packs.place import Kind
from ahstore.versions.closure import chunks_of
from ahstore.versions.monitor import Monitor
from ahstore.versions.reading import Content, read_content
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession
from ahstore.versions.walk import LocalFile

OWNER_EXECUTES = 0o100


class ChunkSink(Protocol):
    """Where the chunks of new content go."""

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """Take a chunk, return its id."""

    def holds(self, content: Content) -> bool:
        """Say whether all chunks of remembered content are there for certain."""


class StoringSink:
    """Stores chunks in a session's packs."""

    def __init__(self, repo: Repository, session: WriteSession) -> None:
        self._repo = repo
        self._session = session
        self.put_chunk = session.put_chunk

    def holds(self, content: Content) -> bool:
        """See :class:`ChunkSink`: lists are looked up before they are read."""
        ids = [content.refs[at : at + 32] for at in range(0, len(content.refs), 40)]
        if not self._session.has_all(Kind.CHUNK, [ChunkId(i) for i in ids]):  # type: ignore[arg-type]
            return False
        if content.level == 0:
            return True
        chunks = list(chunks_of(self._repo, content.level, content.refs))
        return self._session.has_all(Kind.CHUNK, chunks)


class HashingSink:
    """Names chunks and keeps nothing: for looking at what a commit would change."""

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """See :class:`ChunkSink`."""
        return ChunkId(sha256(data))

    def holds(self, content: Content) -> bool:  # noqa: ARG002
        """See :class:`ChunkSink`: nothing will refer to the chunks."""
        return True


def ingest(
    files: Sequence[LocalFile],
    sink: ChunkSink,
    *,
    cutting: CuttingParameters,
    states: FileStates,
    known_rows: Mapping[str, Row],
    rehash: bool,
    monitor: Monitor,
) -> list[Row]:
    """Return a row for each file, in their order; new content goes to ``sink``.

    ``known_rows`` are rows of a live commit by path: what they hold needs no confirmation.
    ``rehash`` reads every file, whatever is remembered of it.

    Raises:
        SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
    """
    cutter = Cutter(cutting)
    remembered = (
        [None] * len(files)
        if rehash
        else states.lookup_many([f.local for f in files], [f.stat for f in files])
    )
    monitor.start("Hashing", files=len(files), bytes_=sum(f.stat.st_size for f in files))
    rows: list[Row] = []
    try:
        for file, value in zip(files, remembered, strict=True):
            content = _trusted(value, file, known_rows, sink)
            found = file.stat
            if content is not None:
                monitor.advance(bytes_=content.size)
            else:
                started = states.now()
                content, found = read_content(file.local, cutter, sink.put_chunk, monitor)
                states.remember(file.local, found, _encode(content), started=started)
            rows.append(_row(file, content, found.st_mtime_ns, found.st_mode))
            monitor.advance(files=1)
        states.flush()
    finally:
        monitor.finish()
    return rows


def _trusted(
    value: bytes | None, file: LocalFile, known_rows: Mapping[str, Row], sink: ChunkSink
) -> Content | None:
    """Return remembered content if its chunks are sure to be there."""
    content = _decode(value) if value is not None else None
    if content is None or content.size != file.stat.st_size:
        return None
    row = known_rows.get(file.path)
    if (
        row is not None
        and Content(row[SIZE], row[MD5], row[FLAGS] >> LEVEL_SHIFT, row[REFS]) == content
    ):
        return content
    return content if sink.holds(content) else None


def _encode(content: Content) -> bytes:
    return encode(list(content))


def _decode(value: bytes) -> Content | None:
    try:
        fields = decode(value)
    except CorruptError:
        return None
    if not isinstance(fields, list) or [type(f) for f in fields] != [int, bytes, int, bytes]:
        return None
    return Content(*fields)  # type: ignore[arg-type]


def _row(file: LocalFile, content: Content, mtime_ns: int, mode: int) -> Row:
    flags = make_flags(executable=bool(mode & OWNER_EXECUTES), level=content.level)
    kind = content_type.encode(content_type.guess(file.path))
    return [file.path, content.size, content.md5, mtime_ns, flags, kind, content.refs]
