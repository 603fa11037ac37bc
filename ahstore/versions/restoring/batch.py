"""Some files that are written together: their chunks read at once, neighbours in one read.

Whoever calls says how chunks are read: a thread by the store's index, a forked process by places
that were looked up before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ahstore.errors import CorruptError
from ahstore.ids import Address, ChunkId
from ahstore.objects.chunklist import walk
from ahstore.objects.file import (
    EXECUTABLE,
    FLAGS,
    LEVEL_SHIFT,
    MTIME_NS,
    PATH,
    REF_BYTES,
    REFS,
    SIZE,
    ChunkRef,
    Row,
    unpack_refs,
)
from ahstore.packs.reader import MAX_SPAN_BYTES
from ahstore.versions.restoring.target import Folder, TargetFolder
from ahstore.versions.restoring.target_file import TargetFile

MAX_BYTES = 2 * 2**20
MAX_FILES = 256
MAX_FOLDERS = 32
"""Each is an open descriptor while its files are written."""
FAR_BYTES = MAX_SPAN_BYTES
FAR_FILES = 4096
"""From a store that is far away: as much as one request brings, so that neighbours come with it."""

Data = bytes | memoryview
ReadChunks = Callable[[Sequence[ChunkId]], Iterable[tuple[Address, Data]]]

_ID_BYTES = 32


class Batch:
    """Files to be written, and the folders they go to, held until ``release``.

    Args:
        far: they come from a store that is far away.
    """

    __slots__ = ("_max_bytes", "_max_files", "files", "folders", "size")

    def __init__(self, *, far: bool = False) -> None:
        self._max_bytes, self._max_files = (FAR_BYTES, FAR_FILES) if far else (MAX_BYTES, MAX_FILES)
        self.files: list[tuple[Folder, Row]] = []
        self.folders: list[Folder] = []
        self.size = 0

    def add(self, folder: Folder, row: Row) -> bool:
        """Take one more; True if that was enough."""
        self.files.append((folder, row))
        self.size += row[SIZE]
        if not self.folders or self.folders[-1] is not folder:
            folder.hold()
            self.folders.append(folder)
        return (
            self.size >= self._max_bytes
            or len(self.files) >= self._max_files
            or len(self.folders) >= MAX_FOLDERS
        )

    def chunks(self) -> list[ChunkId]:
        """Return the chunks of files that have no list of them in a chunk of its own."""
        found: list[ChunkId] = []
        for _, row in self.files:
            refs = row[REFS]
            if row[FLAGS] < 1 << LEVEL_SHIFT:
                found.extend(
                    ChunkId(refs[at : at + _ID_BYTES]) for at in range(0, len(refs), REF_BYTES)
                )
        return found

    def release(self) -> None:
        """Let go of the folders."""
        for folder in self.folders:
            folder.release()

    def write(self, read: ReadChunks, target: TargetFolder, *, again: bool = False) -> None:
        """Write the files, in their order.

        Args:
            read: reads chunks, verified.
            target: what the folders belong to.
            again: another process may have begun this, and has ended.

        Raises:
            CorruptError: a chunk is damaged, or not as long as the file says.
            StorageError: the file system refused.
        """
        lists = {
            at: [ref for ref, _ in walk(row[FLAGS] >> LEVEL_SHIFT, row[REFS], one_by(read))]
            for at, (_, row) in enumerate(self.files)
            if row[FLAGS] >= 1 << LEVEL_SHIFT
        }
        wanted = self.chunks()
        for refs in lists.values():
            wanted.extend(ref.id for ref in refs)
        found = dict(read(wanted)) if wanted else {}
        for at, (folder, row) in enumerate(self.files):
            parts = _many(found, row, lists[at]) if at in lists else _few(found, row)
            _write_file(target, folder, row, parts, again=again)


def write_piece(read: ReadChunks, file: TargetFile, start: int, piece: Sequence[ChunkRef]) -> None:
    """Write neighbouring chunks of a large file, from the byte ``start`` on."""
    found = dict(read([ref.id for ref in piece]))
    file.write_at(start, [_checked(found, *ref) for ref in piece])


def one_by(read: ReadChunks) -> Callable[[ChunkId], bytes]:
    """Return how to read a single chunk."""
    return lambda chunk: bytes(dict(read([chunk]))[chunk])


def check_size(row: Row, size: int) -> None:
    """Refuse a file whose chunks have other bytes than its row says.

    Raises:
        CorruptError: it is one.
    """
    if size != row[SIZE]:
        raise CorruptError(f"the chunks of {row[PATH]!r} are not as long as it says")


def _few(found: dict[Address, Data], row: Row) -> list[Data]:
    refs = row[REFS]
    if len(refs) == REF_BYTES:  # nearly every small file
        return [_checked(found, refs[:_ID_BYTES], row[SIZE])]
    return _many(found, row, list(unpack_refs(refs)))


def _many(found: dict[Address, Data], row: Row, refs: list[ChunkRef]) -> list[Data]:
    check_size(row, sum([ref.length for ref in refs]))
    return [_checked(found, *ref) for ref in refs]


def _checked(found: dict[Address, Data], chunk: bytes, length: int) -> Data:
    data = found[Address(chunk)]
    if len(data) != length:
        raise CorruptError(f"chunk {chunk.hex()} is not as long as its file says")
    return data


def _write_file(
    target: TargetFolder, folder: Folder, row: Row, parts: list[Data], *, again: bool
) -> None:
    file = TargetFile(
        target,
        folder,
        row[PATH].rpartition("/")[2],
        executable=bool(row[FLAGS] & EXECUTABLE),
        again=again,
    )
    try:
        for data in parts:
            file.write(data)
        file.commit(row[MTIME_NS])
    except BaseException:
        file.abort()
        raise
