"""What files on disk hashed to, so that a file that has not changed is not read again.

A remembered value counts only while size, mtime, ctime, inode and device are what they were, and a
file is remembered only if it was at rest before it was read (docs/format/cache.md, "File states").
What the value means is left to those who give it.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ahstore.codec.digests import checksum64, sha256
from ahstore.index.lmdb_env import CacheUnusableError, Environment, Transaction, open_environment
from ahstore.index.mounts import has_fine_times

TABLE = b"f"
MAX_KEY_BYTES = 500
FINE_GRAIN_NS = 50_000_000
"""Kernel ticks are 1 to 10 ms and come late on a busy machine: far more than that."""
COARSE_GRAIN_NS = 2_000_000_000
"""The coarsest stamps in use, those of FAT; any unknown file system may have them."""
_SECOND_NS = 1_000_000_000
_BUFFERED = 50_000
_MOST_IN_MEMORY = 200_000
_STATE = struct.Struct(">QqqQQ8s")
_MASK = 2**64 - 1


class Stat(Protocol):
    """The parts of an ``os.stat_result`` that tell whether a file is as it was."""

    @property
    def st_size(self) -> int:
        """Bytes."""

    @property
    def st_mtime_ns(self) -> int:
        """Change of content, in nanoseconds."""

    @property
    def st_ctime_ns(self) -> int:
        """Change of anything, in nanoseconds."""

    @property
    def st_ino(self) -> int:
        """Inode."""

    @property
    def st_dev(self) -> int:
        """Device."""


class FileStates:
    """Remembered files of this machine. Threads may share it."""

    def __init__(
        self,
        env: Environment | None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        fine_times: Callable[[int], bool] = has_fine_times,
    ) -> None:
        self._env = env
        self._now_ns = now_ns
        self._fine_times = fine_times
        # In memory: all without LMDB, else what is not written yet.
        self._recent: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    @staticmethod
    def open(directory: str | None) -> FileStates:
        """Open the states kept in ``directory``; None, or a folder that won't do: in memory."""
        return FileStates(open_environment(directory) if directory else None)

    def close(self) -> None:
        """Write down what is not yet, and let go of the cache."""
        self.flush()
        with self._lock:
            if self._env is not None:
                self._env.close()
            self._env = None

    def now(self) -> int:
        """Return the time for ``started``: nanoseconds since 1970 by the system's clock."""
        return self._now_ns()

    def lookup(self, path: str, stat: Stat) -> bytes | None:
        """Return what is remembered of the file at ``path``, if ``stat`` says it is still that."""
        return self.lookup_many([path], [stat])[0]

    def lookup_many(self, paths: Sequence[str], stats: Sequence[Stat]) -> list[bytes | None]:
        """Return what is remembered of each file, in order; None where nothing is that counts."""
        keys = [_key(path) for path in paths]
        with self._lock:
            known = self._known(keys)
        return [
            _value(key, state, stat) if (state := known.get(key)) is not None else None
            for key, stat in zip(keys, stats, strict=True)
        ]

    def remember(self, path: str, stat: Stat, value: bytes, *, started: int) -> bool:
        """Remember the ``value`` that reading a file gave, unless it may have changed unseen.

        Args:
            path: where it lies; made absolute.
            stat: its stat after reading, equal to that before reading.
            value: what to hand out as long as the file is the same.
            started: ``now()`` from before reading began.

        Returns:
            Whether it was remembered. Not, if mtime or ctime are too near: a write after reading
            could then have left the same stamps.
        """
        return self.remember_many([(path, stat, value)], started=started) == 1

    def remember_many(self, files: Iterable[tuple[str, Stat, bytes]], *, started: int) -> int:
        """Do what ``remember`` does for many files read since ``started``; return how many."""
        states: dict[bytes, bytes] = {}
        for path, stat, value in files:
            if self.at_rest(stat, started):
                key = _key(path)
                states[key] = _encode(key, stat, value)
        with self._lock:
            before = len(self._recent)
            self._recent.update(states)
            full = len(self._recent) // _BUFFERED > before // _BUFFERED
        if full and not self.flush():
            self._trim()
        return len(states)

    def forget(self, paths: Sequence[str]) -> None:
        """Drop what is remembered of these files."""
        keys = [_key(path) for path in paths]

        def work(txn: Transaction) -> None:
            for key in keys:
                txn.delete(key)

        with self._lock:
            for key in keys:
                self._recent.pop(key, None)
            if self._env is not None and not self._env.write(work):
                # Busy: an entry that counts for nothing hides the one that can't be removed.
                self._recent.update((key, b"") for key in keys)

    def at_rest(self, stat: Stat, started: int) -> bool:
        """Say whether the file's stamps are older than ``started`` by more than their grain."""
        fine = stat.st_ctime_ns % _SECOND_NS != 0 and self._fine_times(stat.st_dev)
        grain = FINE_GRAIN_NS if fine else COARSE_GRAIN_NS
        return max(stat.st_mtime_ns, stat.st_ctime_ns) < started - grain

    def flush(self) -> bool:
        """Write down what was remembered; False if it stays in memory for now."""
        with self._lock:
            if self._env is None:
                return False
            if not self._recent:
                return True
            pairs = sorted(self._recent.items())
            if not self._env.write(lambda txn: _put(txn, pairs)):
                return False
            self._recent.clear()
            return True

    def _trim(self) -> None:
        with self._lock:
            if len(self._recent) >= _MOST_IN_MEMORY:
                self._recent.clear()

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        if self._env is None:
            return self._recent
        try:
            with self._env.read() as txn:
                known = dict(txn.get_many(sorted(keys)))
        except CacheUnusableError:
            self._env.close()
            self._env = None
            return self._recent
        known.update(self._recent)
        return known


def _put(txn: Transaction, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    txn.put_many(pairs)


def _key(path: str) -> bytes:
    raw = os.fsencode(path if path[:1] == "/" else os.path.abspath(path))
    if len(raw) < MAX_KEY_BYTES:
        return TABLE + raw
    return TABLE + b"#" + sha256(raw)


def _encode(key: bytes, stat: Stat, value: bytes) -> bytes:
    return _head(stat, checksum64(key + value)) + value


def _head(stat: Stat, checksum: bytes) -> bytes:
    return _STATE.pack(
        stat.st_size,
        stat.st_mtime_ns,
        stat.st_ctime_ns,
        stat.st_ino & _MASK,
        stat.st_dev & _MASK,
        checksum,
    )


def _value(key: bytes, state: bytes, stat: Stat) -> bytes | None:
    """Return a state's value if it is whole and the file's stat is the one that it tells.

    The check is ours since LMDB has none: a flipped bit here would be committed as a file's MD5.
    """
    value = state[_STATE.size :]
    if len(state) < _STATE.size or _head(stat, checksum64(key + value)) != state[: _STATE.size]:
        return None
    return value
