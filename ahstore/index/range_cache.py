"""Ranges of packs that were read from far away, each a small file in the user's cache.

Implements docs/format/cache.md, "Ranges". Processes share the folder without a lock: a file appears
whole by a rename, is checked at every reading, and may vanish at any moment. Whatever goes wrong
here is a range that is not cached. Bounded: the least recently used files go first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import threading
import time
from bisect import bisect_right
from typing import NamedTuple

from ahstore.codec.digests import CHECKSUM_BYTES, checksum64
from ahstore.storage.buffers import LARGE_BYTES, large_buffer

MAX_RANGE_BYTES = 16 * 2**20
_PACK = re.compile(r"packs/(?:data|meta)/([0-9a-f]{2})/([0-9a-f]{32})\Z")
_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{1,12})-([0-9a-f]{1,8})\Z")
_USED_AFTER_SECONDS = 60.0
_LEFTOVER_SECONDS = 3600.0
_KEPT_SHARE = 0.8
_BLOCK_BYTES = 4096
_CHECKS = 64
"""Who has written a 64th of the limit looks whether all together are over it."""


class _Kept(NamedTuple):
    """A range that is kept: sorted by its start."""

    offset: int
    end: int
    name: str


class _Shelf:
    """What one subfolder held when it was looked at last: ranges by pack."""

    def __init__(self) -> None:
        self.stamp = -1
        self.packs: dict[str, list[_Kept]] = {}


class RangeCache:
    """Ranges of files that never change. Threads may share it.

    Args:
        folder: where; it is made when there is something to keep.
        limit_bytes: of all files together; what processes write at once may exceed it for a moment.
    """

    def __init__(self, folder: str, *, limit_bytes: int) -> None:
        self.folder = folder
        self._limit = limit_bytes
        self._shelves: dict[str, _Shelf] = {}
        self._written = 0
        self._lock = threading.Lock()

    def find(self, key: str, offset: int, length: int) -> bytes | memoryview | None:
        """Return a range of the pack with this key, if ranges that are kept cover it.

        A large one may be a view of memory of its own.
        """
        match = _PACK.match(key)
        if match is None or not length:
            return None
        shelf, pack = match.groups()
        end = offset + length
        parts = []
        for kept in self._covering(shelf, pack, offset, end):
            data = self._read(f"{self.folder}/{shelf}/{kept.name}", kept.end - kept.offset)
            if data is None:
                with self._lock:
                    self._shelves.pop(shelf, None)
                return None
            whole = kept.offset == offset and kept.end <= end
            parts.append(data if whole else data[offset - kept.offset : end - kept.offset])
            offset = min(kept.end, end)
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts) if parts else None

    def covers(self, key: str, offset: int, length: int) -> bool:
        """Say whether ``find`` would find it, as far as names tell."""
        match = _PACK.match(key)
        return bool(
            match and length and self._covering(match[1], match[2], offset, offset + length)
        )

    def _covering(self, shelf: str, pack: str, offset: int, end: int) -> list[_Kept]:
        """Return kept ranges that cover this one, in order; none if there is a gap."""
        ranges = self._look(shelf).get(pack, [])
        found: list[_Kept] = []
        while offset < end:
            before = ranges[: bisect_right(ranges, offset, key=lambda kept: kept.offset)]
            best = max(before, key=lambda kept: kept.end, default=None)
            if best is None or best.end <= offset:
                return []
            found.append(best)
            offset = best.end
        return found

    def _look(self, shelf: str) -> dict[str, list[_Kept]]:
        """Return the ranges in a subfolder by pack, read anew when it has changed."""
        path = f"{self.folder}/{shelf}"
        try:
            stamp = os.stat(path).st_mtime_ns
        except OSError:
            return {}
        with self._lock:
            known = self._shelves.setdefault(shelf, _Shelf())
            if known.stamp == stamp:
                return known.packs
        packs: dict[str, list[_Kept]] = {}
        with contextlib.suppress(OSError):
            for name in os.listdir(path):
                match = _NAME.match(name)
                if match:
                    start = int(match[2], 16)
                    packs.setdefault(match[1], []).append(
                        _Kept(start, start + int(match[3], 16), name)
                    )
        for ranges in packs.values():
            ranges.sort()
        with self._lock:
            # The stamp is from before the listing, and too young a one may hide a change.
            known.stamp = stamp if time.time_ns() - stamp > 50_000_000 else -1
            known.packs = packs
        return packs

    @staticmethod
    def _read(path: str, length: int) -> memoryview | None:
        """Return a kept range if its file is whole; one that is not is removed."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            stat = os.fstat(fd)
            size = length + CHECKSUM_BYTES
            data = memoryview(b"")
            if stat.st_size == size:
                data = large_buffer(size) if size >= LARGE_BYTES else memoryview(bytearray(size))
                data = data[: os.readv(fd, [data])].toreadonly()
            if _is_whole(path, data, length):
                if time.time() - stat.st_mtime > _USED_AFTER_SECONDS:
                    os.utime(fd)
                return data[:length]
        except OSError:
            return None
        finally:
            os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(path)
        return None

    def keep(self, key: str, offset: int, data: bytes | memoryview) -> None:
        """Keep a range that was just read."""
        match = _PACK.match(key)
        if match is None or not 0 < len(data) <= min(MAX_RANGE_BYTES, self._limit // 4):
            return
        shelf, pack = match.groups()
        folder = f"{self.folder}/{shelf}"
        path = f"{folder}/{pack}-{offset:x}-{len(data):x}"
        part = f"{folder}/.{secrets.token_hex(8)}"
        try:
            try:
                fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                os.makedirs(folder, mode=0o700, exist_ok=True)
                fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                _write(fd, memoryview(data)[_write_around(fd, data) :])
                _write(fd, _checksum(path, data))
            finally:
                os.close(fd)
            os.rename(part, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(part)
            return
        with self._lock:
            self._written += len(data)
            due = self._written >= self._limit // _CHECKS
            if due:
                self._written = 0
        if due:
            self.evict()

    def evict(self) -> None:
        """Remove the longest unused files if all are over the limit, unless another is at it."""
        try:
            fd = os.open(f"{self.folder}/evict.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._evict()
        except OSError:
            return
        finally:
            os.close(fd)

    def _evict(self) -> None:
        files: list[tuple[float, int, str]] = []
        long_ago = time.time() - _LEFTOVER_SECONDS
        for shelf in os.scandir(self.folder):
            if not shelf.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                for entry in os.scandir(shelf.path):
                    stat = entry.stat(follow_symlinks=False)
                    if _NAME.match(entry.name):
                        files.append((stat.st_mtime, stat.st_size, entry.path))
                    elif stat.st_mtime < long_ago:  # of a process that died while it wrote
                        os.unlink(entry.path)
        total = sum(size for _, size, _ in files)
        if total <= self._limit:
            return
        for _, size, path in sorted(files):
            if total <= self._limit * _KEPT_SHARE:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size


def _checksum(path: str, data: bytes | memoryview) -> bytes:
    # With the name, so that a file under another's name is told.
    return checksum64(os.path.basename(path).encode() + checksum64(data))


def _is_whole(path: str, data: memoryview, length: int) -> bool:
    return len(data) == length + CHECKSUM_BYTES and (
        _checksum(path, data[:length]) == data[length:]
    )


def _write_around(fd: int, data: bytes | memoryview) -> int:
    """Write what can be of a large range without the page cache; return how many bytes.

    It is written beside the file that the user wants: pages of memory would be taken for both, and
    the user's own data dropped for what may never be read again.
    """
    size = len(data) - len(data) % _BLOCK_BYTES
    if size < LARGE_BYTES or not hasattr(os, "O_DIRECT"):
        return 0
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    written = 0
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        while written < size and not written % _BLOCK_BYTES:
            written += os.write(fd, memoryview(data)[written:size])
    except OSError as error:
        if error.errno != errno.EINVAL:  # not aligned as this disk wants it, or never
            raise
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return written


def _write(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
