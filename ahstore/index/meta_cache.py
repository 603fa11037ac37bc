"""Small things read from a store that is far away: tree pages, commits, records, cells, index blocks.

Implements docs/format/cache.md, "Things read". All of them are written once, so what is kept is
never stale; each carries a check of its own. Bounded: the least recently used go first.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable

from ahstore.codec.digests import checksum64, sha256
from ahstore.ids import Address
from ahstore.index.lmdb_env import CacheUnusableError, Environment, Transaction, open_environment
from ahstore.packs.place import Kind

TABLE = b"b"
MAX_NAME_BYTES = 480
MAX_DATA_BYTES = 4 * 2**20
_BYTES = b"m:kept-bytes"
_HEAD = struct.Struct(">I8s")
_COUNT = struct.Struct(">Q")
_ENTRY_BYTES = 64  # what LMDB needs for an entry besides
_FLUSH_BYTES = 2**20
_MOST_WAITING_BYTES = 16 * 2**20
_HOUR = 3600
_KEPT_SHARE = 0.75


def blob_name(kind: Kind, address: Address) -> bytes:
    """Return the name of a blob: of its raw bytes."""
    return bytes([kind]) + address


def key_name(key: str, offset: int = 0, length: int = 0) -> bytes:
    """Return the name of a stored file's content, or of a range of it."""
    name = f"/{key}/{offset}/{length}".encode()
    return name if len(name) <= MAX_NAME_BYTES else b"#" + sha256(name)


class MetaCache:
    """Bytes by name. Threads may share it.

    Args:
        env: where they are kept.
        limit_bytes: of all of them together.
        now: seconds since 1970; decides which are dropped first, nothing else.
    """

    def __init__(
        self, env: Environment | None, *, limit_bytes: int, now: Callable[[], float] = time.time
    ) -> None:
        self._env = env
        self._limit = limit_bytes
        self._now = now
        self._waiting: dict[bytes, bytes] = {}
        self._waiting_bytes = 0
        self._lock = threading.Lock()

    @staticmethod
    def open(directory: str | None, *, limit_bytes: int) -> MetaCache:
        """Open the cache kept in ``directory``; None, or a folder that won't do: nothing is kept."""
        env = open_environment(directory) if directory and limit_bytes > 0 else None
        return MetaCache(env, limit_bytes=limit_bytes)

    def close(self) -> None:
        """Write down what is not yet, and let go of the cache."""
        self.flush()
        with self._lock:
            if self._env is not None:
                self._env.close()
            self._env = None

    def find(self, name: bytes) -> bytes | None:
        """Return what is kept under a name."""
        return self.find_many([name]).get(name)

    def find_many(self, names: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return what is kept under those of the names that are known."""
        with self._lock:
            if self._env is None:
                return {}
            try:
                return self._find_many(self._env, list(names))
            except CacheUnusableError:
                self._env.close()
                self._env = None
                return {}

    def _find_many(self, env: Environment, names: list[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        keys = []
        for name in names:
            waiting = self._waiting.get(TABLE + name)
            if waiting is None:
                keys.append(TABLE + name)
            else:
                found[name] = waiting[_HEAD.size :]
        if not keys:
            return found
        with env.read() as txn:
            for key, value in txn.get_many(sorted(keys)):
                if len(value) < _HEAD.size:
                    continue
                hour, checksum = _HEAD.unpack_from(value)
                data = value[_HEAD.size :]
                if checksum64(key + data) != checksum:
                    continue  # read again, and replaced, as if it had never been there
                found[key[1:]] = data
                if hour + 1 < self._hour():
                    self._wait(key, value)  # it counts as used now
        return found

    def keep(self, name: bytes, data: bytes) -> None:
        """Keep ``data``, which was verified, as long as there is room."""
        if self._env is None or len(data) > min(MAX_DATA_BYTES, self._limit // 4):
            return
        with self._lock:
            key = TABLE + name
            self._wait(key, _HEAD.pack(0, checksum64(key + data)) + data)
            full = self._waiting_bytes >= _FLUSH_BYTES
        if full:
            self.flush()

    def _wait(self, key: bytes, value: bytes) -> None:
        checksum_and_data = value[4:]
        if key not in self._waiting:
            self._waiting_bytes += len(value)
        self._waiting[key] = self._hour().to_bytes(4, "big") + checksum_and_data

    def _hour(self) -> int:
        return max(0, int(self._now()) // _HOUR)

    def flush(self) -> None:
        """Write down what waits; another process that is writing only puts it off."""
        with self._lock:
            if self._env is None or not self._waiting:
                return
            pairs = sorted(self._waiting.items())
            if self._env.write(lambda txn: self._write(txn, pairs)) or (
                self._waiting_bytes > _MOST_WAITING_BYTES
            ):
                self._waiting, self._waiting_bytes = {}, 0

    def _write(self, txn: Transaction, pairs: list[tuple[bytes, bytes]]) -> None:
        total = _read_count(txn)
        before = dict(txn.get_many([key for key, _ in pairs]))
        total -= sum(map(_size, before.items()))
        txn.put_many(pairs)
        total += sum(map(_size, pairs))
        if total > self._limit:
            total = self._evict(txn)
        txn.put(_BYTES, _COUNT.pack(max(0, total)))

    def _evict(self, txn: Transaction) -> int:
        """Remove the longest unused; return the bytes of what stays."""
        entries = [(value[:4], _size((key, value)), key) for key, value in txn.scan(TABLE)]
        entries.sort()
        total = sum(size for _, size, _ in entries)
        for _, size, key in entries:
            if total <= self._limit * _KEPT_SHARE:
                break
            txn.delete(key)
            total -= size
        return total


def _size(entry: tuple[bytes, bytes]) -> int:
    return len(entry[0]) + len(entry[1]) + _ENTRY_BYTES


def _read_count(txn: Transaction) -> int:
    value = txn.get(_BYTES)
    return int(_COUNT.unpack(value)[0]) if value is not None and len(value) == _COUNT.size else 0
