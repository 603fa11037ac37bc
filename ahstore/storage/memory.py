"""A store in this process's memory, stricter than any real one.

It is for tests and trials. Beyond the contract it refuses what no correct caller does: a version
of a cell whose predecessor is missing, cells nested in one another, content that is not ``bytes``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from ahstore.errors import CorruptError, InvalidInputError, NotFoundError
from ahstore.storage.contract import (
    AlreadyThereError,
    Capabilities,
    FileStat,
    FileWriter,
    MissingError,
    Storage,
)
from ahstore.storage.paths import (
    check_deletable,
    check_folder,
    check_hollowable,
    check_key,
    check_replaceable,
    is_later_version,
    version_name,
    version_number,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

_shared: dict[str, MemoryStorage] = {}
_shared_guard = threading.Lock()


class MemoryStorage(Storage):
    """Files in a dictionary. ``shared(name)`` gives the one that all of the process share."""

    def __init__(self, name: str = "") -> None:
        self.url = f"memory://{name}"
        self.capabilities = Capabilities(shared_writers=False)
        self._files: dict[str, tuple[bytes, float]] = {}
        self._guard = threading.RLock()
        self._locks: dict[str, threading.RLock] = {}

    @classmethod
    def shared(cls, name: str, *, create: bool) -> MemoryStorage:
        """Return the storage of this name in the process, made if ``create`` allows.

        Raises:
            NotFoundError: there is none.
        """
        with _shared_guard:
            found = _shared.get(name)
            if found is None:
                if not create:
                    raise NotFoundError(f"there is no store memory://{name}", name=name)
                found = _shared[name] = cls(name)
            return found

    @staticmethod
    def forget(name: str) -> None:
        """Drop the shared storage of this name, if there is one."""
        with _shared_guard:
            _shared.pop(name, None)

    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:  # noqa: ARG002
        """See ``Storage.create``."""
        check_key(key)
        _check_bytes(data)
        with self._guard:
            if key in self._files:
                raise AlreadyThereError(key)
            self._check_place(key)
            self._files[key] = (data, self.now())

    def _check_place(self, key: str) -> None:
        folder, _, name = key.rpartition("/")
        if key.startswith("cells/"):
            self._check_cell(key, folder + "/", name)
        if folder in self._files or any(True for _ in self._under(key + "/")):
            raise InvalidInputError(f"a file and a folder of one name: {key!r}", key=key)

    def _check_cell(self, key: str, folder: str, name: str) -> None:
        above = folder
        while above.count("/") > 2:
            above = above[: above.rfind("/", 0, -1) + 1]
            if self._versions(above):
                raise InvalidInputError(f"a cell inside a cell: {key!r}", key=key)
        if any("/" in found[len(folder) :] for found in self._under(folder)):
            raise InvalidInputError(f"a cell around cells: {key!r}", key=key)
        if not is_later_version(key):
            return
        if not self._versions(folder):
            raise MissingError(key)
        before = folder + version_name(version_number(name) - 1)
        if before not in self._files and not key.startswith("cells/lease/"):
            raise InvalidInputError(f"{key!r} would leave a gap before it", key=key)

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``."""
        return _MemoryWriter(self, check_key(key))

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        return self._find(key)[0]

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        if offset < 0 or length < 0:
            raise InvalidInputError(f"not a range: {offset}, {length}")
        data = self._find(key)[0][offset : offset + length]
        if len(data) != length:
            raise CorruptError(f"{key} is truncated", key=key, offset=offset, length=length)
        return data

    def exists(self, key: str) -> bool:
        """See ``Storage.exists``."""
        return check_key(key) in self._files

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        data, mtime = self._find(key)
        return FileStat(len(data), mtime)

    def _find(self, key: str) -> tuple[bytes, float]:
        try:
            return self._files[check_key(key)]
        except KeyError:
            raise MissingError(key) from None

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``."""
        keys = sorted(key for key in self._under(check_folder(prefix)) if key > after)
        return islice(iter(keys), limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See ``Storage.list_folders``."""
        start = len(check_folder(prefix))
        rests = (key[start:] for key in self._under(prefix))
        return iter(sorted({rest[: rest.index("/")] for rest in rests if "/" in rest}))

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """See ``Storage.newest_version``."""
        check_folder(folder)
        return max(max(self._versions(folder), default=-1), at_least)

    def _versions(self, folder: str) -> Sequence[int]:
        names = (key[len(folder) :] for key in self._under(folder))
        return [version_number(name) for name in names if "/" not in name]

    def _under(self, prefix: str) -> Iterator[str]:
        with self._guard:
            keys = tuple(self._files)
        return (key for key in keys if key.startswith(prefix))

    def replace(self, key: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        check_replaceable(key)
        _check_bytes(data)
        with self._guard:
            self._files[key] = (data, self.now())

    def hollow(self, key: str, data: bytes) -> None:
        """See ``Storage.hollow``. Refuses the newest version."""
        check_hollowable(key)
        _check_bytes(data)
        folder, _, name = key.rpartition("/")
        with self._guard:
            self._find(key)
            if version_number(name) == max(self._versions(folder + "/")):
                raise InvalidInputError(f"{key!r} is the newest version of its cell", key=key)
            self._files[key] = (data, self.now())

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        check_deletable(key)
        with self._guard:
            self._files.pop(key, None)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """See ``Storage.lock``."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.RLock())
        held = lock.acquire(timeout=5.0)
        try:
            yield
        finally:
            if held:
                lock.release()

    def now(self) -> float:
        """See ``Storage.now``."""
        return time.time()


class _MemoryWriter(FileWriter):
    def __init__(self, storage: MemoryStorage, key: str) -> None:
        self.key = key
        self._storage = storage
        self._data: bytearray | None = bytearray()
        self._size = 0

    def write(self, data: Buffer) -> None:
        view = memoryview(data)
        self._open_data().extend(view)
        self._size += view.nbytes

    def tell(self) -> int:
        return self._size

    def commit(self) -> None:
        data, self._data = bytes(self._open_data()), None
        self._storage.create(self.key, data)

    def abort(self) -> None:
        self._data = None

    def _open_data(self) -> bytearray:
        if self._data is None:
            raise ValueError(f"the file {self.key} is not being written any more")
        return self._data


def _check_bytes(data: object) -> None:
    if type(data) is not bytes:
        raise InvalidInputError(f"content has to be bytes, not {type(data).__name__}")
