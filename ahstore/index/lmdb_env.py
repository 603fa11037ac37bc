"""One LMDB environment for each cache folder: opened, grown, shared by threads, given up.

Owns the rules of docs/format/cache.md, "Environment": what is kept here can be rebuilt, so any
trouble ends in doing without, never in an error and never in waiting for another process. What is
kept, and how, is the business of those who ask for transactions.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lmdb

from ahstore.errors import UnsupportedError
from ahstore.index.lmdb_files import (
    DAMAGE,
    UninitialisedError,
    give_up,
    initialise,
    open_file,
    writers_lock,
)
from ahstore.index.mounts import is_local

MAX_MAP_BYTES = 64 * 2**30
_INITIALISE_SECONDS = 2.0


class CacheUnusableError(Exception):
    """The environment failed while it was read: go on without it. Never leaves this floor."""


class Environment:
    """An open environment. Threads share it; a forked child may not use it."""

    def __init__(self, path: str, env: lmdb.Environment) -> None:
        self.path = path
        self._env = env
        self._pid = os.getpid()
        # One transaction at a time in this process: they are short, and growing needs none open.
        self._lock = threading.RLock()
        self._users = 0
        self.broken = False
        self._damaged = False

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """Hold a short read transaction.

        Raises:
            UnsupportedError: in a process forked after the environment was opened.
            CacheUnusableError: the environment can't be read.
        """
        self._check_process()
        with self._lock:
            if self.broken:
                raise CacheUnusableError(self.path)
            try:
                with self._begin() as txn:
                    yield Transaction(txn)
            except (CacheUnusableError, *DAMAGE) as error:
                self.broken = self._damaged = True
                raise CacheUnusableError(f"{self.path}: {error}") from error
            except lmdb.Error as error:
                self.broken = True
                raise CacheUnusableError(f"{self.path}: {error}") from error

    def write(self, work: Callable[[Transaction], None]) -> bool:
        """Run ``work`` in a write transaction; False if that was not possible just now.

        It is not possible while another process writes, even one that is stopped, and when the
        disk or the map is full: all of that is only a cache missed.

        Raises:
            UnsupportedError: as ``read``.
        """
        self._check_process()
        with self._lock, writers_lock(self.path) as free:
            if self.broken or not free:
                return False
            try:
                return self._write_growing(work)
            except (CacheUnusableError, *DAMAGE):
                self.broken = self._damaged = True
                return False
            except (lmdb.Error, MemoryError):
                return False  # a full disk or map: the transaction is undone

    def _write_growing(self, work: Callable[[Transaction], None]) -> bool:
        while True:
            try:
                with self._begin(write=True) as txn:
                    work(Transaction(txn))
                return True
            except lmdb.MapFullError:
                size = 2 * int(self._env.info()["map_size"])
                if size > MAX_MAP_BYTES:
                    raise
                self._env.set_mapsize(size)

    def _begin(self, *, write: bool = False) -> lmdb.Transaction:
        for last_try in (False, False, True):
            try:
                return self._env.begin(write=write)
            except lmdb.MapResizedError:  # another process grew the file: follow
                if last_try:
                    raise
                self._env.set_mapsize(0)
            except lmdb.ReadersFullError:
                if last_try:
                    raise
                self._env.reader_check()
        raise AssertionError("unreachable")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise UnsupportedError(
                "this process was forked after the store was opened: open the store again here"
            )

    def condemn(self) -> None:
        """Say that what it holds is wrong: nobody uses it from now on, closing sets it aside."""
        with self._lock:
            self.broken = self._damaged = True

    def close(self) -> None:
        """Give it back; the last of its users in this process closes it."""
        with _registry_lock:
            self._users -= 1
            if self._users == 0 and os.getpid() == self._pid:
                _registry.pop(self.path, None)
                with self._lock:
                    self.broken = True
                    self._env.close()
                    if self._damaged:
                        give_up(self.path)


class Transaction:
    """A transaction over the one table of the environment; each user's keys start with his byte.

    There are no named tables: opening one would have to wait for whoever is writing.
    """

    __slots__ = ("_txn",)

    def __init__(self, txn: lmdb.Transaction) -> None:
        self._txn = txn

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        value: Any = self._txn.get(key)
        return value  # type: ignore[no-any-return]

    def get_many(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """Return keys and values of those that are there; quickest when sorted."""
        with self._txn.cursor() as cursor:
            pairs: Any = cursor.getmulti(keys)
        return pairs  # type: ignore[no-any-return]

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self._txn.put(key, value)

    def put_many(self, pairs: Sequence[tuple[bytes, bytes]], *, overwrite: bool = True) -> bool:
        """Set many; True if all are as given, False if ``overwrite`` was needed for some."""
        with self._txn.cursor() as cursor:
            consumed, added = cursor.putmulti(pairs, overwrite=overwrite)
        return bool(consumed == added)

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._txn.delete(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that start with ``prefix`` and their values, sorted."""
        with self._txn.cursor() as cursor:
            pairs: Any = cursor.iternext() if cursor.set_range(prefix) else ()
            for key, value in pairs:
                if not key.startswith(prefix):
                    return
                yield key, value


_registry: dict[str, Environment] = {}
_registry_lock = threading.Lock()


def open_environment(folder: str) -> Environment | None:
    """Return the environment in ``folder``, made if it is not there; None to do without.

    None: on a file system of another machine (where LMDB's locks and maps can't be trusted), when
    the folder can't be written, and in a child forked while the parent had it open.
    """
    path = os.path.realpath(folder)
    with _registry_lock:
        found = _registry.get(path)
        if found is None:
            found = _open(path)
        elif found._pid != os.getpid():
            return None
        if found is not None:
            found._users += 1
            _registry[path] = found
        return found


def _open(path: str) -> Environment | None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if not is_local(path):
            return None
        deadline = time.monotonic() + _INITIALISE_SECONDS
        while True:
            try:
                return Environment(path, open_file(path))
            except (UninitialisedError, *DAMAGE):
                if not initialise(path):
                    time.sleep(0.002)
            if time.monotonic() > deadline:
                return None
    except (OSError, MemoryError, lmdb.Error):
        return None  # no room for the map, no slot for a reader: nothing is wrong with the files
