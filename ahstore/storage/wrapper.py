"""The base of storages that wrap another: every operation passes through one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import tee
from typing import TYPE_CHECKING, TypeVar

from ahstore.storage.contract import FileStat, FileWriter, Range, Storage

if TYPE_CHECKING:
    from typing_extensions import Buffer

Result = TypeVar("Result")


class WrappedStorage(Storage):
    """Passes every operation on to ``inner``, each through ``_do``.

    The operations are named after the methods of ``Storage``; those of a file being written are
    ``new_file``, ``write``, ``commit`` and ``abort``.
    """

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.url = inner.url
        self.capabilities = inner.capabilities

    def _do(self, op: str, key: str, sent: int, action: Callable[[], Result]) -> Result:  # noqa: ARG002
        """Run ``action``, which is the operation ``op`` on ``key`` and sends ``sent`` bytes."""
        return action()

    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:
        """See ``Storage.create``."""
        self._do("create", key, len(data), lambda: self.inner.create(key, data, durable=durable))

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``."""
        writer = self._do("new_file", key, 0, lambda: self.inner.new_file(key))
        return _WrappedWriter(self, writer)

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        return self._do("read", key, 0, lambda: self.inner.read(key))

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        return self._do("read_range", key, 0, lambda: self.inner.read_range(key, offset, length))

    def read_ranges(self, ranges: Iterable[Range]) -> Iterator[bytes | memoryview]:
        """See ``Storage.read_ranges``. Each range passes as an operation ``read_range``."""
        asked, passed_on = tee(ranges)
        answers = self.inner.read_ranges(passed_on)
        for key, _, _ in asked:
            yield self._do("read_range", key, 0, lambda: next(answers))

    def exists(self, key: str) -> bool:
        """See ``Storage.exists``."""
        return self._do("exists", key, 0, lambda: self.inner.exists(key))

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        return self._do("stat", key, 0, lambda: self.inner.stat(key))

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``."""
        return self._do(
            "list", prefix, 0, lambda: self.inner.list(prefix, after=after, limit=limit)
        )

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See ``Storage.list_folders``."""
        return self._do("list_folders", prefix, 0, lambda: self.inner.list_folders(prefix))

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """See ``Storage.newest_version``."""
        return self._do(
            "newest_version",
            folder,
            0,
            lambda: self.inner.newest_version(folder, at_least=at_least),
        )

    def replace(self, key: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        self._do("replace", key, len(data), lambda: self.inner.replace(key, data))

    def hollow(self, key: str, data: bytes) -> None:
        """See ``Storage.hollow``."""
        self._do("hollow", key, len(data), lambda: self.inner.hollow(key, data))

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        self._do("delete", key, 0, lambda: self.inner.delete(key))

    def clean_leftovers(self, older_than: float) -> int:
        """See ``Storage.clean_leftovers``."""
        return self._do("clean_leftovers", "", 0, lambda: self.inner.clean_leftovers(older_than))

    def lock(self, name: str) -> AbstractContextManager[None]:
        """See ``Storage.lock``."""
        return self.inner.lock(name)

    def now(self) -> float:
        """See ``Storage.now``."""
        return self.inner.now()

    def location(self, key: str) -> str:
        """See ``Storage.location``."""
        return self.inner.location(key)

    def close(self) -> None:
        """See ``Storage.close``."""
        self.inner.close()


class _WrappedWriter(FileWriter):
    def __init__(self, storage: WrappedStorage, inner: FileWriter) -> None:
        self.key = inner.key
        self._storage = storage
        self._inner = inner

    def write(self, data: Buffer) -> None:
        size = memoryview(data).nbytes
        self._storage._do("write", self.key, size, lambda: self._inner.write(data))

    def write_all(self, parts: Sequence[bytes | memoryview]) -> None:
        size = sum(map(len, parts))
        self._storage._do("write", self.key, size, lambda: self._inner.write_all(parts))

    def tell(self) -> int:
        return self._inner.tell()

    def commit(self) -> None:
        self._storage._do("commit", self.key, 0, self._inner.commit)

    def abort(self) -> None:
        self._storage._do("abort", self.key, 0, self._inner.abort)
