"""The places known on this machine: in LMDB as far as that works, else in memory.

Writing to the cache happens when it is free; until then places are kept in memory. Whatever is
wrong with the cache, the answer is to go on without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ahstore.ids import PackId
from ahstore.index.lmdb_env import CacheUnusableError, Environment
from ahstore.index.lmdb_table import LmdbTable
from ahstore.index.table import MemoryTable, PackIndex
from ahstore.packs.place import Family, Place

Result = TypeVar("Result")

MAX_UNSAVED_PACKS = 64
MAX_UNSAVED_BYTES = 256 * 1024


class KnownPlaces:
    """Places by key (address and kind, 33 bytes). Threads may share it.

    Attributes:
        complete: the store's packs were listed into it, by this or an earlier process.
        needs_segments: but for some of those that segments cover: these have to be asked too.
    """

    def __init__(self, env: Environment | None) -> None:
        self._env = env
        self._disk = LmdbTable(env) if env is not None else None
        # In memory: all without LMDB, else what could not be written there yet.
        self._memory = MemoryTable()
        self._gone: set[PackId] = set()
        self._unsaved_packs = self._unsaved_bytes = 0
        self._lock = threading.RLock()
        self.complete = self._ask(LmdbTable.is_complete, default=False)
        self.needs_segments = self._ask(LmdbTable.needs_segments, default=False)

    @property
    def has_cache(self) -> bool:
        """Whether an LMDB environment is in use."""
        return self._env is not None

    def close(self) -> None:
        """Write down what is not yet, and let go of the cache."""
        with self._lock:
            self._save()
            if self._env is not None:
                self._env.close()
            self._env = self._disk = None

    def find(self, key: bytes) -> Place | None:
        """Return where the blob lies."""
        with self._lock:
            place = self._memory.find(key)
            if place is None:
                place = self._ask(lambda disk: disk.find(key), default=None)
            return place if place is None or place.pack not in self._gone else None

    def find_many(self, keys: Iterable[bytes]) -> dict[bytes, Place]:
        """Return where those of the blobs lie that are known."""
        wanted = list(keys)
        with self._lock:
            found = self._memory.find_many(wanted)
            if self._disk is not None and len(found) < len(wanted):
                rest = wanted if not found else [key for key in wanted if key not in found]
                nothing: dict[bytes, Place] = {}
                found.update(self._ask(lambda disk: disk.find_many(rest), default=nothing))
            gone = self._gone
            if not gone:
                return found
            return {key: place for key, place in found.items() if place.pack not in gone}

    def keys_from(self, prefix: bytes) -> set[bytes]:
        """Return the known keys whose address starts with ``prefix``."""
        with self._lock:
            keys = set(self._memory.keys_from(prefix))
            nothing: list[bytes] = []
            keys.update(self._ask(lambda disk: disk.keys_from(prefix), default=nothing))
            return keys

    def packs(self) -> dict[PackId, Family]:
        """Return the packs whose places are known."""
        with self._lock:
            known = self._memory.packs()
            nothing: dict[PackId, Family] = {}
            known |= self._ask(LmdbTable.packs, default=nothing)
            return {pack: family for pack, family in known.items() if pack not in self._gone}

    def add(self, packs: Sequence[PackIndex], *, later: bool = False) -> None:
        """Learn the places in these packs; ``later``: write them down with others, or at the end.

        Each time LMDB writes it syncs, and others wait. What a process that dies had not written
        is found in the store again.
        """
        with self._lock:
            self._gone.difference_update(pack.id for pack in packs)
            self._memory.add(packs)
            if later:
                self._unsaved_packs += len(packs)
                self._unsaved_bytes += sum(len(pack.index) for pack in packs)
            if (
                not later
                or self._unsaved_packs >= MAX_UNSAVED_PACKS
                or self._unsaved_bytes >= MAX_UNSAVED_BYTES
            ):
                self._save()

    def drop(self, packs: Sequence[PackId]) -> None:
        """Forget all places in these packs."""
        if not packs:
            return
        with self._lock:
            self._memory.drop(packs)
            if self._disk is not None and not self._disk.drop(packs):
                self._gone.update(packs)

    def set_complete(self, *, needs_segments: bool) -> None:
        """Remember that the store's packs were listed into it; see the attributes."""
        with self._lock:
            self.complete, self.needs_segments = True, needs_segments
            self._save()
            if self._disk is not None and not self._memory.packs():
                self._disk.set_complete(needs_segments=needs_segments)

    def condemn(self) -> None:
        """Go on without the cache, which does not know what it should; it is set aside."""
        with self._lock:
            if self._env is not None:
                self._env.condemn()
            self._do_without()

    def _save(self) -> None:
        if self._disk is None:
            return
        if self._gone and self._disk.drop(self._gone):
            self._gone.clear()
        self._unsaved_packs = self._unsaved_bytes = 0
        waiting = self._memory.get_packs()
        if waiting and self._disk.add(waiting):
            self._memory.drop([pack.id for pack in waiting])

    def _ask(self, question: Callable[[LmdbTable], Result], *, default: Result) -> Result:
        if self._disk is None:
            return default
        try:
            return question(self._disk)
        except CacheUnusableError:
            self._do_without()
            return default

    def _do_without(self) -> None:
        if self._env is not None:
            self._env.close()
        self._env = self._disk = None
        self.complete = False
