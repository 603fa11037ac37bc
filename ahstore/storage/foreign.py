"""A store on any other file system that fsspec knows: for reading, and for one writer at a time.

``gs://``, ``az://``, ``sftp://`` and the like; ``fsspec+NAME://`` names any of fsspec's by its own
name. None of them is asked to create a file only if it is not there: that is looked up before, so
two writers could both win. Whoever makes sure that there is one says so: ``?writers=one``.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import fsspec

from ahstore.errors import CorruptError, InvalidInputError, StorageError, UnsupportedError
from ahstore.storage.addresses import (
    ONE_WRITER,
    WRITERS,
    read_options,
    read_prefix,
    split_url,
    write_url,
)
from ahstore.storage.contract import (
    AlreadyThereError,
    Capabilities,
    FileStat,
    FileWriter,
    MissingError,
    Storage,
)
from ahstore.storage.oserrors import storage_error
from ahstore.storage.paths import (
    check_deletable,
    check_folder,
    check_hollowable,
    check_key,
    check_replaceable,
    is_key,
    version_number,
)
from ahstore.storage.redaction import REDACTION

if TYPE_CHECKING:
    from typing_extensions import Buffer

OWN_NAME = "fsspec+"
_PARAMETERS = {WRITERS: "one: this process alone writes"}
_NOT_FOR_STORES = frozenset(("http", "https", "data", "reference", "cached", "file", "local"))
_WHOLE_AT_ONCE = frozenset(
    ("gs", "gcs", "az", "abfs", "abfss", "adl", "memory", "oss", "oci", "hf", "wasb")
)
"""Where a file appears when it is complete. Elsewhere it is written aside and moved."""
_WITHOUT_CONNECTION = frozenset(("memory", "file", "local"))

_SPARE = ".local/tmp/"
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_LOCK_SECONDS = 5.0


class ForeignStorage(Storage):
    """Files in a folder of a file system ``system`` of fsspec."""

    def __init__(
        self, system: Any, root: str, url: str, *, whole_at_once: bool, one_at_a_time: bool
    ) -> None:
        self.url = url
        self.capabilities = Capabilities(far=True, shared_writers=False, keeps_folders=False)
        self._system = system
        self._root = root.rstrip("/") + "/"
        self._writable = f"{WRITERS}={ONE_WRITER}" in url.partition("?")[2]
        self._whole_at_once = whole_at_once
        self._turn: contextlib.AbstractContextManager[object] = (
            threading.RLock() if one_at_a_time else contextlib.nullcontext()
        )
        self._locks: dict[str, threading.RLock] = {}

    @classmethod
    def open(cls, url: str, kind: str, options: Mapping[str, Any] | None) -> ForeignStorage:
        """Return the storage at ``url``, whose scheme is ``kind``.

        Raises:
            UnsupportedError: fsspec knows no such file system, or its package is not installed.
            InvalidInputError: the URL is malformed or holds a secret.
            StorageError: the file system can't be reached.
        """
        protocol = kind.removeprefix(OWN_NAME)
        if (protocol in _NOT_FOR_STORES and protocol == kind) or (
            protocol not in fsspec.available_protocols() and protocol not in fsspec.registry
        ):
            raise UnsupportedError(
                f"a store at {kind}:// is not supported: use file:///FOLDER, a path, "
                "s3://BUCKET/PREFIX, memory://NAME, or what fsspec knows (gs, az, sftp …)",
                scheme=kind,
            )
        parts = split_url(url)
        given = read_options(parts, _PARAMETERS)
        if given.get(WRITERS, ONE_WRITER) != ONE_WRITER:
            raise InvalidInputError(f"{WRITERS} can only be {ONE_WRITER} there")
        prefix = read_prefix(parts.path)
        REDACTION.learn((options or {}).values())
        place = f"{protocol}://{parts.netloc}/{prefix}"
        try:
            one_at_a_time = not _serves_threads(protocol)
            # One that is shared with others in this process would not wait for our turns.
            system, root = fsspec.url_to_fs(
                place, skip_instance_cache=one_at_a_time, **(options or {})
            )
        except ImportError as error:
            raise UnsupportedError(f"a store at {kind}:// needs a package: {error}") from None
        except Exception as error:
            raise _failure(error, write_url(f"{kind}://{parts.netloc}", prefix, {})) from None
        REDACTION.watch()
        canonical = write_url(f"{kind}://{parts.netloc}", prefix, given)
        return cls(
            system,
            root,
            canonical,
            whole_at_once=protocol in _WHOLE_AT_ONCE,
            one_at_a_time=one_at_a_time,
        )

    def _path(self, key: str) -> str:
        return self._root + key

    @contextlib.contextmanager
    def _errors(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Take turns, and turn what file systems raise into errors; "not there" only of reads."""
        try:
            with self._turn:
                yield
        except (MissingError, StorageError, InvalidInputError, CorruptError, AlreadyThereError):
            raise
        except Exception as error:
            gone = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
            if not writing and (isinstance(error, gone) or self._is_folder(key)):
                raise MissingError(key) from None
            raise _failure(error, self.location(key)) from error

    def _is_folder(self, key: str) -> bool:
        """Tell whether there is a folder of this name; servers have many words for reading one."""
        try:
            with self._turn:
                return bool(self._system.isdir(self._path(key)))
        except Exception:
            return False

    def _allow_writing(self) -> None:
        if not self._writable:
            raise UnsupportedError(
                f"{self.url} can be read, but not safely be written by several: its file system "
                "can't create a file only if it is not there. Keep a shared store on a disk or in "
                f"S3; or, if you make sure that one process writes at a time, add {WRITERS}="
                f"{ONE_WRITER} to the store's URL",
                url=self.url,
            )

    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:  # noqa: ARG002
        """See ``Storage.create``; for one writer at a time."""
        check_key(key)
        self._allow_writing()
        if self.exists(key):
            raise AlreadyThereError(key)
        self._put(key, bytes(data))

    def _put(self, key: str, data: bytes) -> None:
        with self._errors(key, writing=True), self._placed(key) as path:
            self._system.pipe_file(path, data)

    @contextlib.contextmanager
    def _placed(self, key: str) -> Iterator[str]:
        """Give the path to write to; what is written there is at ``key`` after the block."""
        path = self._path(key)
        if self._whole_at_once:
            yield path
            return
        spare = self._path(_SPARE + secrets.token_hex(16))
        self._system.makedirs(self._path(_SPARE), exist_ok=True)
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            yield spare
            self._system.mv(spare, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._system.rm_file(spare)
            raise

    def new_file(self, key: str) -> FileWriter:
        """See ``Storage.new_file``. It is gathered in a temporary file of this machine."""
        check_key(key)
        self._allow_writing()
        return _ForeignWriter(self, key)

    def put_file(self, key: str, file: str) -> None:
        """Publish the local ``file`` as ``key``."""
        if self.exists(key):
            raise AlreadyThereError(key)
        with self._errors(key, writing=True), self._placed(key) as path:
            self._system.put_file(file, path)

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        with self._errors(check_key(key)):
            return bytes(self._system.cat_file(self._path(key)))

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        if offset < 0 or length < 0:
            raise InvalidInputError(f"not a range: {offset}, {length}")
        if self.stat(key).size < offset + length:
            raise CorruptError(f"{key} is truncated", key=key, offset=offset, length=length)
        if not length:
            return b""
        with self._errors(key):
            data = bytes(self._system.cat_file(self._path(key), start=offset, end=offset + length))
        if len(data) != length:
            raise CorruptError(f"{key} is truncated", key=key, offset=offset, length=length)
        return data

    def exists(self, key: str) -> bool:
        """See ``Storage.exists``."""
        try:
            self.stat(key)
        except MissingError:
            return False
        return True

    def stat(self, key: str) -> FileStat:
        """See ``Storage.stat``."""
        path = self._path(check_key(key))
        with self._errors(key):
            self._forget(path)
            found = self._system.info(path)
            if found["type"] != "file":
                raise MissingError(key)
        return FileStat(int(found["size"] or 0), _mtime(found))

    def _forget(self, path: str) -> None:
        """Have listings that fsspec remembers read afresh."""
        self._system.invalidate_cache(path.rpartition("/")[0])

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``. Holds all keys of the folder in memory."""
        path = self._path(check_folder(prefix))
        with self._errors(prefix):
            self._system.invalidate_cache()
            found = self._system.find(path)
        start = len(self._root)
        keys = sorted(key for key in (name[start:] for name in found) if is_key(key))
        return islice((key for key in keys if key > after and key.startswith(prefix)), limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See ``Storage.list_folders``."""
        names = (
            entry["name"].rstrip("/").rpartition("/")[2]
            for entry in self._list_folder(check_folder(prefix))
            if entry["type"] == "directory"
        )
        return iter(sorted(name for name in names if name and not name.startswith(".")))

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """See ``Storage.newest_version``. Lists the cell's folder."""
        entries = self._list_folder(check_folder(folder))
        keys = (folder + entry["name"].rpartition("/")[2] for entry in entries)
        numbers = (version_number(key.rpartition("/")[2]) for key in keys if is_key(key))
        return max(max(numbers, default=-1), at_least)

    def _list_folder(self, prefix: str) -> Sequence[dict[str, Any]]:
        path = self._path(prefix).rstrip("/")
        try:
            with self._errors(prefix):
                self._system.invalidate_cache()
                found: Sequence[dict[str, Any]] = self._system.ls(path, detail=True)
        except MissingError:
            return []
        return [entry for entry in found if entry["name"].rstrip("/") != path]

    def replace(self, key: str, data: bytes) -> None:
        """See ``Storage.replace``."""
        check_replaceable(key)
        self._allow_writing()
        self._put(key, bytes(data))

    def hollow(self, key: str, data: bytes) -> None:
        """See ``Storage.hollow``."""
        self.stat(check_hollowable(key))
        self._allow_writing()
        self._put(key, bytes(data))

    def delete(self, key: str) -> None:
        """See ``Storage.delete``."""
        check_deletable(key)
        self._allow_writing()
        with contextlib.suppress(MissingError), self._errors(key):
            self._system.rm_file(self._path(key))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """See ``Storage.lock``: among threads."""
        lock = self._locks.setdefault(name, threading.RLock())
        held = lock.acquire(timeout=_LOCK_SECONDS)
        try:
            yield
        finally:
            if held:
                lock.release()

    def now(self) -> float:
        """See ``Storage.now``: this machine's clock; there is one writer."""
        return time.time()

    def location(self, key: str) -> str:
        """See ``Storage.location``."""
        return f"{self.url.partition('?')[0]}/{key}"


class _ForeignWriter(FileWriter):
    """Gathers a file on this machine's disk and sends it at ``commit``."""

    def __init__(self, storage: ForeignStorage, key: str) -> None:
        self.key = key
        self._storage = storage
        self._file: IO[bytes] | None = tempfile.NamedTemporaryFile(prefix="ahstore-")  # noqa: SIM115
        self._size = 0

    def write(self, data: Buffer) -> None:
        try:
            self._size += self._open_file().write(data)
        except OSError as error:
            raise storage_error(error, tempfile.gettempdir()) from error

    def tell(self) -> int:
        return self._size

    def commit(self) -> None:
        file = self._open_file()
        try:
            file.flush()
            self._storage.put_file(self.key, file.name)
        finally:
            self.abort()

    def abort(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open_file(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError(f"the file {self.key} is not being written any more")
        return self._file


def _serves_threads(protocol: str) -> bool:
    """Tell whether threads may use a file system of fsspec at once.

    Those may that work on an event loop of their own, and those without a connection. In others
    (``sftp``, ``ftp``, ``smb``) one thread can read the answer that another waits for.
    """
    return protocol in _WITHOUT_CONNECTION or fsspec.get_filesystem_class(protocol).async_impl


def _failure(error: Exception, place: str) -> StorageError:
    reason = str(error) or type(error).__name__
    return StorageError(REDACTION.hide(f"{place}: {reason}"), path=place)


def _mtime(info: Mapping[str, Any]) -> float:
    for name in _TIMES:
        moment = info.get(name)
        if isinstance(moment, datetime):
            return moment.timestamp()
        if isinstance(moment, int | float):
            return float(moment)
        if isinstance(moment, str):
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
    return time.time()
