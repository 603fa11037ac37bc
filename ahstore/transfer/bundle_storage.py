"""A bundle's packs as a storage: read-only from a finished one, append-only into a new one.

So packs in a bundle are read and written by the very code that does it in a store.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, NoReturn

from ahstore.errors import CorruptError, StorageError, UnsupportedError
from ahstore.packs.place import pack_key, parse_pack_key
from ahstore.storage.contract import Capabilities, FileStat, FileWriter, MissingError, Storage
from ahstore.transfer.bundle_format import PackEntry

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ahstore.transfer.bundle_file import BundleFile
    from ahstore.transfer.bundle_writer import HashedOutput

SPOOL_BYTES = 16 * 2**20


class _PacksOnly(Storage):
    """A storage that has packs and nothing else."""

    capabilities = Capabilities(shared_writers=False)

    def __init__(self, url: str) -> None:
        self.url = url

    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:  # noqa: ARG002
        """Refuse: a bundle holds packs only."""
        _refuse(key)

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``."""
        _refuse(key)

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        return self.read_range(key, 0, self.stat(key).size)

    def read_range(self, key: str, offset: int, length: int) -> bytes:  # noqa: ARG002
        """See ``Storage.read_range``."""
        raise MissingError(key)

    def exists(self, key: str) -> bool:
        """See ``Storage.exists``."""
        try:
            self.stat(key)
        except MissingError:
            return False
        return True

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        raise MissingError(key)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:  # noqa: ARG002
        """See ``Storage.list``."""
        return iter(())

    def list_folders(self, prefix: str) -> Iterator[str]:  # noqa: ARG002
        """See ``Storage.list_folders``."""
        return iter(())

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:  # noqa: ARG002
        """Return -1: a bundle has no cells."""
        return -1

    def replace(self, key: str, data: bytes) -> None:  # noqa: ARG002
        """Refuse: a bundle holds packs only."""
        _refuse(key)

    def hollow(self, key: str, data: bytes) -> None:  # noqa: ARG002
        """Refuse: a bundle has no cells."""
        _refuse(key)

    def delete(self, key: str) -> None:
        """Refuse: a bundle does not change."""
        _refuse(key)

    def lock(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """See ``Storage.lock``."""
        return contextlib.nullcontext()

    def now(self) -> float:
        """Return 0: nothing of a bundle has a time."""
        return 0.0


class BundlePacks(_PacksOnly):
    """The packs of a bundle that is read."""

    def __init__(self, file: BundleFile) -> None:
        super().__init__(f"bundle:{file.name}")
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        offset = file.packs_offset
        for pack in file.packs:
            self._places[pack_key(pack.family, pack.id)] = (offset, pack.length)
            offset += pack.length

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        start, size = self._find(key)
        if offset < 0 or length < 0 or offset + length > size:
            raise CorruptError(f"{key} has {size} bytes in the bundle", key=key)
        return self._file.read_at(start + offset, length)

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        return FileStat(self._find(key)[1], 0.0)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``."""
        found = sorted(key for key in self._places if key.startswith(prefix) and key > after)
        return iter(found[:limit])

    def _find(self, key: str) -> tuple[int, int]:
        place = self._places.get(key)
        if place is None:
            raise MissingError(key)
        return place


class BundleOutput(_PacksOnly):
    """The packs of a bundle that is written: one goes straight to its end, others wait their turn.

    Packs of chunks are written as they come. One that is begun while another is open is gathered
    in a temporary file, and appended when it is finished.
    """

    def __init__(self, output: HashedOutput) -> None:
        super().__init__("bundle:")
        self.output = output
        self.packs: list[PackEntry] = []
        self._busy: _Appending | None = None
        self._waiting: list[_Waiting] = []

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``."""
        family, _ = parse_pack_key(key)
        if family == "data" and self._busy is None:
            self._busy = _Appending(self, key)
            return self._busy
        return _Waiting(self, key)

    def end_of(self, writer: _Appending) -> None:
        """Note that the pack at the bundle's end is whole; those that waited for it follow."""
        self._note(writer.key, writer.tell())
        self._busy = None
        for waiting in self._waiting:
            self._append(waiting)
        self._waiting.clear()

    def take(self, writer: _Waiting) -> None:
        """Append a gathered pack, now or when the one that is being written is whole."""
        if self._busy is None:
            self._append(writer)
        else:
            self._waiting.append(writer)

    def awaits(self, writer: _Waiting) -> bool:
        """Say whether a gathered pack is still to be appended."""
        return writer in self._waiting

    def _append(self, writer: _Waiting) -> None:
        for block in writer.blocks():
            self.output.write(block)
        self._note(writer.key, writer.tell())

    def _note(self, key: str, length: int) -> None:
        family, pack = parse_pack_key(key)
        self.packs.append(PackEntry(family, pack, length))


class _Appending(FileWriter):
    def __init__(self, storage: BundleOutput, key: str) -> None:
        self.key = key
        self._storage = storage
        self._size = 0

    def write(self, data: Buffer) -> None:
        self._storage.output.write(data)
        self._size += memoryview(data).nbytes

    def tell(self) -> int:
        return self._size

    def commit(self) -> None:
        self._storage.end_of(self)

    def abort(self) -> None:
        """Do nothing: the whole bundle is given up."""


class _Waiting(FileWriter):
    def __init__(self, storage: BundleOutput, key: str) -> None:
        self.key = key
        self._storage = storage
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
        self._size = 0

    def write(self, data: Buffer) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise StorageError(f"a temporary file: {error.strerror}") from error
        self._size += memoryview(data).nbytes

    def tell(self) -> int:
        return self._size

    def commit(self) -> None:
        self._storage.take(self)

    def blocks(self) -> Iterator[bytes]:
        """Yield what was written, and let go of it."""
        self._file.seek(0)
        while block := self._file.read(SPOOL_BYTES):
            yield block
        self._file.close()

    def abort(self) -> None:
        """Let go of what was written, unless it is waiting for its turn."""
        if not self._storage.awaits(self):
            self._file.close()


def _refuse(key: str) -> NoReturn:
    raise UnsupportedError(f"a bundle has no place for {key}", key=key)
