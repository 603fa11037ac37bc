"""A storage that is far away, with what was read of it kept on this machine.

Kept are ranges of packs, blocks of index segments, and newest versions of cells: things that are
written once. What is listed is asked for each time, so that nothing new is ever missed. What comes
from the cache is checked by it; whoever parses it checks it as if it came from the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ahstore.index.meta_cache import MetaCache, key_name
from ahstore.index.range_cache import RangeCache
from ahstore.storage.contract import Range, Storage
from ahstore.storage.paths import LEASE_FOLDER, version_name
from ahstore.storage.wrapper import WrappedStorage

_UNKEPT_CELLS = (LEASE_FOLDER, "cells/gc/")
_MOST_NEWEST = 4096


class CachedStorage(WrappedStorage):
    """Passes everything on to ``inner`` but for what is kept."""

    def __init__(self, inner: Storage, meta: MetaCache, ranges: RangeCache | None) -> None:
        super().__init__(inner)
        self._meta = meta
        self._ranges = ranges
        self._newest: dict[str, None] = {}

    def close(self) -> None:
        """See ``Storage.close``."""
        self._meta.close()
        super().close()

    # Cells. Only the newest version of one may come from the cache: gc may hollow an older one.

    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """See ``Storage.newest_version``."""
        number = super().newest_version(folder, at_least=at_least)
        if number >= 0 and not folder.startswith(_UNKEPT_CELLS):
            self._note(folder + version_name(number))
        return number

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """See ``Storage.list``."""
        last = after.rpartition("/")[0]
        for key in super().list(prefix, after=after, limit=limit):
            if key.startswith("cells/") and not key.startswith(_UNKEPT_CELLS):
                folder = key.rpartition("/")[0]
                if folder != last:  # the newest version sorts first
                    last = folder
                    self._note(key)
            yield key

    def _note(self, key: str) -> None:
        if len(self._newest) >= _MOST_NEWEST:
            self._newest.clear()
        self._newest[key] = None

    def read(self, key: str) -> bytes:
        """See ``Storage.read``."""
        if key not in self._newest:
            return super().read(key)
        self._newest.pop(key, None)
        name = key_name(key)
        data = self._meta.find(name)
        if data is None:
            data = super().read(key)
            self._meta.keep(name, data)
        return data

    # Ranges.

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See ``Storage.read_range``."""
        wanted = Range(key, offset, length)
        data = self._find(wanted)
        if data is None:
            data = super().read_range(key, offset, length)
            self._keep(wanted, data)
        return bytes(data)

    def read_ranges(self, ranges: Iterable[Range]) -> Iterator[bytes | memoryview]:
        """See ``Storage.read_ranges``. What is not kept is still read ahead."""
        drawn: deque[tuple[Range, bool]] = deque()

        def missing() -> Iterator[Range]:
            for wanted in ranges:
                kept = self._is_kept(wanted)
                drawn.append((wanted, kept))
                if not kept:
                    yield wanted

        answers = super().read_ranges(missing())
        while True:
            yield from self._kept_so_far(drawn)
            data = next(answers, None)
            yield from self._kept_so_far(drawn)
            if data is None:
                return
            wanted, _ = drawn.popleft()
            self._keep(wanted, data)
            yield data

    def _kept_so_far(self, drawn: deque[tuple[Range, bool]]) -> Iterator[bytes | memoryview]:
        while drawn and drawn[0][1]:
            wanted, _ = drawn.popleft()
            kept = self._find(wanted)
            yield self.read_range(*wanted) if kept is None else kept

    def _is_kept(self, wanted: Range) -> bool:
        if wanted.key.startswith("index/"):
            return self._meta.find(key_name(*wanted)) is not None
        return self._ranges is not None and self._ranges.covers(*wanted)

    def _find(self, wanted: Range) -> bytes | memoryview | None:
        if wanted.key.startswith("index/"):
            return self._meta.find(key_name(*wanted))
        return self._ranges.find(*wanted) if self._ranges is not None else None

    def _keep(self, wanted: Range, data: bytes | memoryview) -> None:
        if wanted.key.startswith("index/"):
            self._meta.keep(key_name(*wanted), bytes(data))
        elif self._ranges is not None:
            self._ranges.keep(wanted.key, wanted.offset, data)
