"""What files on disk hashed to, so that a file that has not changed is not read again.

A remembered value counts only while size, mtime, ctime, inode and device are what they were, and a
file is remembered only if it was at rest before it was read (docs/format/cache.md, "File states").
Files that are named are remembered one by one, those of a folder together (``folderstates``).
What the value means is left to those who give it.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from ahstore.codec.digests import checksum64, sha256
from ahstore.index.folderstates import FolderState, decode, encode
from ahstore.index.lmdb_env import CacheUnusableError, Environment, Transaction, open_environment
from ahstore.index.mounts import has_fine_times
from ahstore.index.stamps import STAMP_BYTES, UNTRUSTED, Stamp, newest_ns, unpack, unpack_all

TABLE = b"f"
FOLDERS = b"d"
MAX_KEY_BYTES = 500
MAX_NAME_BYTES = 255
FINE_GRAIN_NS = 50_000_000
"""Kernel ticks are 1 to 10 ms and come late on a busy machine: far more than that."""
COARSE_GRAIN_NS = 2_000_000_000
"""The coarsest stamps in use, those of FAT; any unknown file system may have them."""
_SECOND_NS = 1_000_000_000
_BUFFERED_BYTES = 32 * 2**20
_MOST_BYTES_IN_MEMORY = 128 * 2**20
_FLUSHED_FROM = 64
"""So few new states are left to a later flush: to sync them costs more than to read again."""
_ENTRY_OVERHEAD = 150
_STATE = struct.Struct(">QqqQQ8s")
_MASK = 2**64 - 1

Read = TypeVar("Read")


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
        self._recent_bytes = 0
        self._files_recent = False
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

    def lookup_many(
        self, paths: Sequence[str], stats: Sequence[Stat], *, with_folders: bool = True
    ) -> list[bytes | None]:
        """Return what is remembered of each file, in order; None where nothing is that counts.

        ``with_folders``: also of those that are remembered with the others of their folder.
        """
        keys = [_key(TABLE, path) for path in paths]
        known = self._known(keys)
        found = [
            _value(key, state, stat) if (state := known.get(key)) is not None else None
            for key, stat in zip(keys, stats, strict=True)
        ]
        if with_folders:
            self._look_in_folders(paths, stats, found)
        return found

    def _look_in_folders(
        self, paths: Sequence[str], stats: Sequence[Stat], found: list[bytes | None]
    ) -> None:
        """Fill in files that are not remembered by themselves but with their folder."""
        missing: dict[str, list[int]] = {}
        for at, value in enumerate(found):
            if value is None:
                missing.setdefault(os.path.dirname(os.path.abspath(paths[at])), []).append(at)
        for folder, state in zip(missing, self.folders([*missing]), strict=True):
            if state is None:
                continue
            for at in missing[folder]:
                place = state.find(os.path.basename(paths[at]))
                if place >= 0 and _same(unpack(state.stamps, place), stats[at]):
                    found[at] = state.value(place)

    def may_know_below(self, folder: str) -> bool:
        """Say whether files in ``folder`` may be remembered one by one: mostly none is."""
        prefix = os.fsencode(os.path.join(os.path.abspath(folder), ""))
        if len(prefix) > MAX_KEY_BYTES - MAX_NAME_BYTES:
            return True

        def work(txn: Transaction) -> bool:
            return next(iter(txn.scan(TABLE + prefix)), None) is not None

        with self._lock:
            return self._files_recent or bool(self._read(work))

    def folders(self, paths: Sequence[str]) -> list[FolderState | None]:
        """Return what is remembered of the files of each folder; their stamps tell what counts."""
        keys = [_key(FOLDERS, path) for path in paths]
        known = self._known(keys)
        return [
            decode(key, entry) if (entry := known.get(key)) is not None else None for key in keys
        ]

    def trusted(self, stamps: bytes, started: int) -> bytes:
        """Return packed stamps with those of files that were not at rest made ``UNTRUSTED``."""
        if newest_ns(stamps) < started - COARSE_GRAIN_NS:
            return stamps
        return b"".join(
            stamps[at * STAMP_BYTES : (at + 1) * STAMP_BYTES]
            if self._old_enough(mtime, ctime, device, started)
            else UNTRUSTED
            for at, (_, mtime, ctime, _, device, _) in enumerate(unpack_all(stamps))
        )

    def remember_folders(self, states: Iterable[tuple[str, FolderState]]) -> None:
        """Remember folders, each in place of what was remembered of it.

        Stamps have come through :meth:`trusted`, or from what was remembered before.
        """
        entries = {}
        for path, state in states:
            key = _key(FOLDERS, path)
            entries[key] = encode(key, state)
        self._take(entries)

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
                key = _key(TABLE, path)
                states[key] = _encode(key, stat, value)
        self._take(states)
        self._files_recent = self._files_recent or bool(states)
        return len(states)

    def _take(self, states: Mapping[bytes, bytes]) -> None:
        size = sum(map(len, states)) + sum(map(len, states.values()))
        with self._lock:
            self._recent.update(states)
            self._recent_bytes += size + len(states) * _ENTRY_OVERHEAD
            full = self._recent_bytes >= _BUFFERED_BYTES
        if full and not self.flush():
            self._trim()

    def forget(self, paths: Sequence[str]) -> None:
        """Drop what is remembered of these files, and of those beside them."""
        folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
        keys = [_key(TABLE, path) for path in paths] + [_key(FOLDERS, path) for path in folders]

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
        return self._old_enough(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, started)

    def _old_enough(self, mtime_ns: int, ctime_ns: int, device: int, started: int) -> bool:
        fine = ctime_ns % _SECOND_NS != 0 and self._fine_times(device)
        return max(mtime_ns, ctime_ns) < started - (FINE_GRAIN_NS if fine else COARSE_GRAIN_NS)

    def flush_many(self) -> None:
        """Write down what was remembered if it is much, else leave that for later."""
        if len(self._recent) >= _FLUSHED_FROM:
            self.flush()

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
            self._clear()
            return True

    def _clear(self) -> None:
        self._recent.clear()
        self._recent_bytes = 0
        self._files_recent = False

    def _trim(self) -> None:
        with self._lock:
            if self._recent_bytes >= _MOST_BYTES_IN_MEMORY:
                self._clear()

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the entries of those of the keys that have one."""

        def work(txn: Transaction) -> dict[bytes, bytes]:
            return dict(txn.get_many(sorted(keys)))

        with self._lock:
            known = self._read(work) or {}
            recent = self._recent
            known.update((key, recent[key]) for key in keys if key in recent)
            return known

    def _read(self, work: Callable[[Transaction], Read]) -> Read | None:
        if self._env is None:
            return None
        try:
            with self._env.read() as txn:
                return work(txn)
        except CacheUnusableError:
            self._env.close()
            self._env = None
            return None


def _put(txn: Transaction, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    txn.put_many(pairs)


def _key(table: bytes, path: str) -> bytes:
    raw = os.fsencode(path if path[:1] == "/" else os.path.abspath(path))
    if len(raw) < MAX_KEY_BYTES:
        return table + raw
    return table + b"#" + sha256(raw)


def _same(stamp: Stamp, stat: Stat) -> bool:
    """Say whether a packed stamp is that of ``stat``; its mode is told by ctime."""
    return stamp[:5] == (
        stat.st_size,
        stat.st_mtime_ns,
        stat.st_ctime_ns,
        stat.st_ino & _MASK,
        stat.st_dev & _MASK,
    )


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
