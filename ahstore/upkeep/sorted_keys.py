"""Sets of keys that may outgrow memory: sorted runs on disk, merged into one sorted file.

A key is a blob's address and kind, 33 bytes, perhaps with fields behind it; all of one set are of
one width. A set is first collected, then finished, and from then on only read: in order, in
batches, or asked for single keys by bisection.
"""

from __future__ import annotations

import heapq
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

MEMORY_KEYS = 262_144
"""So many keys are held in memory before a run goes to disk: some 40 MB."""

_READ_KEYS = 2048


class SortedKeys:
    """Distinct records of ``width`` bytes in ascending order; never changed."""

    def __init__(self, width: int, data: bytes, file: IO[bytes] | None = None) -> None:
        self.width = width
        self._file = file
        self._data: bytes | mmap.mmap = data
        if file is not None:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._length = len(self._data) // width

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        data, width = self._data, self.width
        for start in range(0, len(data), width * _READ_KEYS):
            block = data[start : start + width * _READ_KEYS]
            for at in range(0, len(block), width):
                yield block[at : at + width]

    def __contains__(self, key: bytes) -> bool:
        """Tell whether a record starts with ``key``."""
        at = self._bisect(key)
        return at < self._length and self._at(at).startswith(key)

    def batches(self, size: int) -> Iterator[list[bytes]]:
        """Yield the records in lists of up to ``size``."""
        data, width = self._data, self.width
        for start in range(0, len(data), width * size):
            block = data[start : start + width * size]
            yield [block[at : at + width] for at in range(0, len(block), width)]

    def close(self) -> None:
        """Release the memory or the file."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()
        self._data, self._length = b"", 0
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> SortedKeys:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _at(self, number: int) -> bytes:
        return self._data[number * self.width : (number + 1) * self.width]

    def _bisect(self, key: bytes) -> int:
        low, high = 0, self._length
        while low < high:
            middle = (low + high) // 2
            if self._at(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low


class KeySorter:
    """Collects records in any order, each perhaps many times.

    Args:
        width: bytes of a record.
        scratch: the folder for what does not fit in memory; None: the system's.
        memory_keys: how many are held in memory.
    """

    def __init__(
        self, width: int, scratch: str | None = None, *, memory_keys: int = MEMORY_KEYS
    ) -> None:
        self._width = width
        self._scratch = scratch
        self._limit = memory_keys
        self._keys: set[bytes] = set()
        self._runs: list[IO[bytes]] = []
        self._others: list[SortedKeys] = []

    def add(self, key: bytes) -> None:
        """Take a record."""
        self._keys.add(key)
        if len(self._keys) >= self._limit:
            self._spill()

    def update(self, keys: Iterable[bytes]) -> None:
        """Take records, not more at once than fit in memory."""
        self._keys.update(keys)
        if len(self._keys) >= self._limit:
            self._spill()

    def include(self, others: SortedKeys) -> None:
        """Take all records of a finished set, which has to stay open until this one is finished."""
        self._others.append(others)

    def finish(self) -> SortedKeys:
        """Return the set; the sorter is empty then."""
        if not self._runs and not self._others:
            keys, self._keys = sorted(self._keys), set()
            return SortedKeys(self._width, b"".join(keys))
        self._spill()
        merged = self._new_file()
        runs, self._runs = self._runs, []
        last = b""
        block: list[bytes] = []
        for key in heapq.merge(*map(self._read, runs), *self._others):
            if key != last:
                last = key
                block.append(key)
                if len(block) >= _READ_KEYS:
                    merged.write(b"".join(block))
                    block.clear()
        merged.write(b"".join(block))
        merged.flush()
        for run in runs:
            run.close()
        if not merged.tell():
            merged.close()
            return SortedKeys(self._width, b"")
        return SortedKeys(self._width, b"", merged)

    def _spill(self) -> None:
        if not self._keys:
            return
        run = self._new_file()
        run.write(b"".join(sorted(self._keys)))
        self._keys.clear()
        self._runs.append(run)

    def _new_file(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._scratch)

    def _read(self, run: IO[bytes]) -> Iterator[bytes]:
        run.seek(0)
        width = self._width
        while block := run.read(width * _READ_KEYS):
            for at in range(0, len(block), width):
                yield block[at : at + width]
