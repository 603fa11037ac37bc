"""A store in a folder of a local (or network) file system.

Implements docs/format/storage.md, "On a local disk". Files are written under no name, synced, and
given their name by a call that fails if it is taken; then the folder is synced. Beside the keys
lies ``.local/``: lock files and, on file systems that need them, temporary files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import quote

from ahstore.errors import CorruptError, InvalidInputError, NotFoundError, StorageError
from ahstore.storage.clock import FileClock
from ahstore.storage.contract import (
    Capabilities,
    FileStat,
    FileWriter,
    MissingError,
    Storage,
)
from ahstore.storage.drafts import (
    WRITE_ONCE_MODE,
    DraftMaker,
    draft_makers,
    make_private,
    open_spare,
    probe,
)
from ahstore.storage.folders import Folders, make_root, sync_folder
from ahstore.storage.listing import list_keys, list_names
from ahstore.storage.local_writer import LocalWriter, write_all
from ahstore.storage.locks import hold
from ahstore.storage.oserrors import storage_error
from ahstore.storage.paths import (
    LEASE_FOLDER,
    check_deletable,
    check_folder,
    check_hollowable,
    check_key,
    check_replaceable,
    is_later_version,
    version_name,
    version_number,
)

_SPARE = ".local/tmp"
_LOCKS = ".local/locks"
_TRIES = 16
_FOLDERS_THAT_GO = (LEASE_FOLDER, "logs/")


class LocalStorage(Storage):
    """Files under the folder ``path``, which must be there unless ``create`` is asked for.

    Raises:
        NotFoundError: there is no such folder.
        InvalidInputError: it is not a folder.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        self._root = os.path.realpath(path)
        if os.path.lexists(self._root) and not os.path.isdir(self._root):
            raise InvalidInputError(f"not a folder: {self._root}", path=self._root)
        if create:
            with self._errors(self._root):
                make_root(self._root)
        elif not os.path.isdir(self._root):
            raise NotFoundError(f"there is no folder {self._root}", path=self._root)
        self.url = "file://" + quote(os.fsencode(self._root))
        self.capabilities = Capabilities(local_path=self._root)
        self._folders = Folders(self._root)
        self._clock = FileClock(self._root)
        self._draft_maker: DraftMaker | None = None
        self._has_locks = False

    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:
        """See ``Storage.create``."""
        again = 0 if is_later_version(key) else _TRIES
        while not self._create(key, data, durable=durable):
            if not again:
                raise MissingError(key)
            again -= 1

    def _create(self, key: str, data: bytes, *, durable: bool) -> bool:
        """Create the file; False if its folder is not there, or was removed meanwhile."""
        try:
            with self._new_writer(key, durable=durable) as writer:
                writer.write(data)
                writer.commit()
        except MissingError:
            return False
        return True

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``."""
        return self._new_writer(key, durable=True)

    def _new_writer(self, key: str, *, durable: bool) -> LocalWriter:
        check_key(key)
        with self._errors(self._path(key)):
            maker = self._draft_maker or self._choose_draft_maker()
            return LocalWriter(
                self._folders, maker, key, make=not is_later_version(key), durable=durable
            )

    def _choose_draft_maker(self) -> DraftMaker:
        spare = os.path.join(self._root, _SPARE)
        make_private(spare)
        self._draft_maker = probe(spare, draft_makers(spare))
        return self._draft_maker

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        with self._opened(key) as fd:
            return _read_from(fd, 0, os.fstat(fd).st_size)

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        if offset < 0 or length < 0:
            raise InvalidInputError(f"not a range: {offset}, {length}")
        with self._opened(key) as fd:
            data = _read_from(fd, offset, length)
        if len(data) != length:
            raise CorruptError(
                f"{key} is truncated: {length} bytes from {offset} on were expected, "
                f"{len(data)} are there",
                key=key,
                offset=offset,
                length=length,
            )
        return data

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        path = self._path(check_key(key))
        with self._errors(path, key=key):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)

    def exists(self, key: str) -> bool:
        """See ``Storage.exists``."""
        path = self._path(check_key(key))
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise storage_error(error, path) from error
        return True

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        path = self._path(check_key(key))
        with self._errors(path, key=key):
            found = os.stat(path)
        return FileStat(found.st_size, found.st_mtime)

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``. Holds the names of one folder a level in memory."""
        return list_keys(self._root, check_folder(prefix), after=after, limit=limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See ``Storage.list_folders``."""
        folders, _ = list_names(self._root, check_folder(prefix))
        return iter(sorted(folders))

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """See ``Storage.newest_version``. With a hint it looks at a few names, else at all."""
        if at_least >= 0:
            return self._gallop(check_folder(folder), at_least)
        _, files = list_names(self._root, check_folder(folder))
        return max(map(version_number, files), default=-1)

    def _gallop(self, folder: str, known: int) -> int:
        """Return the highest number, given that numbers have no gaps: logarithmic in the rest."""
        step = 1
        while self.exists(folder + version_name(known + step)):
            known += step
            step *= 2
        while step > 1:
            step //= 2
            if self.exists(folder + version_name(known + step)):
                known += step
        return known

    def replace(self, key: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        path = self._path(check_replaceable(key))
        with self._errors(path), self._spare(data, 0o644, durable=False) as draft:
            os.close(self._folders.open(key[: key.rfind("/") + 1], make=True))
            os.rename(draft, path)

    def hollow(self, key: str, data: bytes) -> None:
        """See ``Storage.hollow``."""
        path = self._path(check_hollowable(key))
        with self._errors(path, key=key):
            os.stat(path)
            with self._spare(data, WRITE_ONCE_MODE, durable=True) as draft:
                os.rename(draft, path)
                sync_folder(os.path.dirname(path))

    @contextlib.contextmanager
    def _spare(self, data: bytes, mode: int, *, durable: bool) -> Iterator[str]:
        """Write a temporary file and give its path; it goes if the block fails to move it."""
        draft, fd = open_spare(os.path.join(self._root, _SPARE), mode)
        try:
            try:
                write_all(fd, data)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            yield draft
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise

    def clean_leftovers(self, older_than: float) -> int:
        """See ``Storage.clean_leftovers``: drafts of writers without nameless files."""
        folder = os.path.join(self._root, _SPARE)
        removed = 0
        with self._errors(folder), contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    if os.lstat(path).st_mtime < older_than:
                        os.unlink(path)
                        removed += 1
        return removed

    def delete(self, key: str) -> None:
        """See ``Storage.delete``. The folder of an ended lease or a deleted log goes with it."""
        path = self._path(check_deletable(key))
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise storage_error(error, path) from error
        if key.startswith(_FOLDERS_THAT_GO):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """See ``Storage.lock``."""
        folder = os.path.join(self._root, _LOCKS)
        if not self._has_locks:
            with contextlib.suppress(OSError):
                make_private(folder)
                self._has_locks = True
        with hold(folder, name):
            yield

    def now(self) -> float:
        """See ``Storage.now``."""
        return self._clock.now()

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextlib.contextmanager
    def _errors(self, path: str, *, key: str | None = None) -> Iterator[None]:
        """Turn the system's errors into typed ones; with a ``key``, "not there" into missing."""
        try:
            yield
        except StorageError:
            raise
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if key is not None:
                raise MissingError(key) from None
            raise storage_error(error, path) from error
        except OSError as error:
            raise storage_error(error, path) from error


def _read_from(fd: int, offset: int, length: int) -> bytes:
    """Return up to ``length`` bytes; fewer only at the end of the file."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    got = len(data)
    while got < length:
        data = os.pread(fd, length - got, offset + got)
        if not data:
            break
        parts.append(data)
        got += len(data)
    return b"".join(parts)
