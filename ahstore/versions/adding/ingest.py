"""From the user's files to rows of a tree: what is known is not read, what is stored not stored.

A file whose stat is as remembered is not read again, provided that its chunks are still there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.codec.digests import MD5_BYTES
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
    Row,
    make_flags,
    unpack_refs,
)
from ahstore.versions.adding.hashing import Hasher
from ahstore.versions.adding.reading import Content
from ahstore.versions.adding.sinks import ChunkSink
from ahstore.versions.adding.walk import LocalFile
from ahstore.versions.monitor import Monitor

OWNER_EXECUTES = 0o100


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
        self._hasher = Hasher(sink, Cutter(cutting), monitor)

    def rows(self, files: Sequence[LocalFile], *, rehash: bool = False) -> list[Row]:
        """Return a row for each file, in their order; ``rehash`` reads all, remembered or not.

        Raises:
            SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
        """
        total = sum(file.stat.st_size for file in files)
        self._monitor.start("Hashing", files=len(files), bytes_=total)
        try:
            rows: list[Row | None] = [None] * len(files)
            if not rehash:
                self._remembered(files, rows)
            unknown = [at for at, row in enumerate(rows) if row is None]
            self._monitor.advance(files=len(files) - len(unknown))
            if unknown:
                self._read(files, unknown, rows)
        finally:
            self._monitor.finish()
        return [row for row in rows if row is not None]

    def _read(
        self, files: Sequence[LocalFile], unknown: Sequence[int], rows: list[Row | None]
    ) -> None:
        started = self._states.now()
        read: list[tuple[str, os.stat_result, bytes]] = []
        for at, content, found in self._hasher.read(files, unknown):
            file = files[at]
            read.append((file.local, found, _to_value(content)))
            rows[at] = _row(file.path, content, found)
            self._monitor.advance(files=1)
        self._states.remember_many(read, started=started)
        self._states.flush()

    def _remembered(self, files: Sequence[LocalFile], rows: list[Row | None]) -> None:
        """Fill in the rows of files that are as remembered, if their chunks are sure to be there.

        An unchanged file gets the very row of the live commit, which is told from others at once.
        """
        values = self._states.lookup_many([f.local for f in files], [f.stat for f in files])
        size = 0
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
            size += row[SIZE]
        self._monitor.advance(bytes_=size)


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
