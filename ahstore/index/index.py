"""Where a blob lies: address and kind to place, over all packs of a store.

What is known comes from the packs themselves and is kept in LMDB, or in memory where there is no
cache folder. A place is a hint: packs go and come, ``refresh`` follows.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import TypeVar

from ahstore.errors import AhError, CorruptError, InvalidInputError, NotFoundError, UnsupportedError
from ahstore.ids import Address, PackId
from ahstore.index.lmdb_env import CacheUnusableError, Environment, open_environment
from ahstore.index.lmdb_table import LmdbTable
from ahstore.index.table import MemoryTable, PackIndex
from ahstore.packs import format as layout
from ahstore.packs.place import Family, Kind, Place, pack_key
from ahstore.packs.reader import PackReader, list_packs
from ahstore.packs.writer import FinishedPack
from ahstore.storage.contract import MissingError, Storage

_BATCH_BYTES = 32 * 2**20
_HEX = re.compile(r"[0-9a-f]{0,64}\Z")
_KIND_BYTE = {kind: bytes([kind]) for kind in Kind}

AnyAddress = TypeVar("AnyAddress", bound=Address)


class Index:
    """Places of blobs. Threads may share it.

    The first question asked of an index that never saw the store's packs loads them, so that a
    deleted cache changes nothing but time.
    """

    def __init__(self, reader: PackReader, storage: Storage, env: Environment | None) -> None:
        self._reader = reader
        self._storage = storage
        self._env = env
        self._disk = LmdbTable(env) if env is not None else None
        # In memory: all without LMDB, else what could not be written there yet.
        self._memory = MemoryTable()
        self._gone: set[PackId] = set()
        self._damaged: dict[PackId, AhError] = {}
        self._complete = False
        self._lock = threading.RLock()

    @staticmethod
    def open(directory: str | None, reader: PackReader, storage: Storage) -> Index:
        """Open the index kept in ``directory``; None, or a folder that won't do: in memory."""
        return Index(reader, storage, open_environment(directory) if directory else None)

    def close(self) -> None:
        """Write down what is not yet, and let go of the cache."""
        with self._lock:
            self._save()
            if self._env is not None:
                self._env.close()
            self._env = self._disk = None

    # Looking up.

    def find(self, kind: Kind, address: Address) -> Place | None:
        """Return where the blob lies, as far as is known here."""
        key = address + _KIND_BYTE[kind]
        with self._lock:
            self._load()
            place = self._memory.find(key)
            if place is None and self._disk is not None:
                try:
                    place = self._disk.find(key)
                except CacheUnusableError:
                    self._do_without()
                    return self.find(kind, address)
            return place if place is None or place.pack not in self._gone else None

    def find_many(self, kind: Kind, addresses: Iterable[AnyAddress]) -> dict[AnyAddress, Place]:
        """Return where those of the blobs lie of which it is known here."""
        suffix = _KIND_BYTE[kind]
        keys = {address + suffix: address for address in addresses}
        with self._lock:
            self._load()
            found = self._memory.find_many(keys)
            if self._disk is not None and len(found) < len(keys):
                rest = keys if not found else [key for key in keys if key not in found]
                try:
                    found.update(self._disk.find_many(rest))
                except CacheUnusableError:
                    self._do_without()
                    return self.find_many(kind, keys.values())
            gone = self._gone
            return {keys[key]: place for key, place in found.items() if place.pack not in gone}

    def get(self, kind: Kind, address: Address) -> Place:
        """Return where the blob lies, looking at the store's packs if it is not known here.

        Raises:
            NotFoundError: no pack of the store holds it.
            CorruptError: none that can be read does, but not all can be read.
        """
        place = self.find(kind, address)
        if place is None:
            self.refresh()
            place = self.find(kind, address) or self._search(address + _KIND_BYTE[kind])
        if place is not None:
            return place
        name = f"{kind.name.lower()} {address.hex()}"
        if self._damaged:
            raise CorruptError(
                f"{name} is in no pack that can be read; {len(self._damaged)} packs can't be:"
                f" {next(iter(self._damaged.values()))}",
                address=address.hex(),
                kind=kind.name,
                packs=sorted(self._damaged),
            )
        raise NotFoundError(f"there is no {name} in the store", address=address.hex())

    def _search(self, key: bytes) -> Place | None:
        """Look into every pack's own index, before anything is said to be lost.

        LMDB has no checksums: what it does not know may be there all the same.
        """
        if self._env is None:
            return None
        for pack, family in self.packs().items():
            index = self._read_index(family, pack)
            at = layout.find_record(index, key) if index is not None else None
            if index is not None and at is not None:
                with self._lock:
                    if self._env is not None:
                        self._env.condemn()
                    self._do_without()
                return layout.record_place(index[at : at + layout.RECORD_BYTES], pack, family)
        return None

    def find_prefix(self, kind: Kind, hex_prefix: str) -> list[Address]:
        """Return the known addresses of this kind whose hex form starts so, sorted.

        Raises:
            InvalidInputError: it is not lower-case hex of at most 64 digits.
        """
        if not _HEX.match(hex_prefix):
            raise InvalidInputError(f"not the start of an id: {hex_prefix!r}", value=hex_prefix)
        whole = bytes.fromhex(hex_prefix[: len(hex_prefix) & ~1])
        with self._lock:
            self._load()
            keys = set(self._memory.keys_from(whole))
            if self._disk is not None:
                try:
                    keys.update(self._disk.keys_from(whole))
                except CacheUnusableError:
                    self._do_without()
                    return self.find_prefix(kind, hex_prefix)
        candidates = sorted(Address(key[:-1]) for key in keys if key[-1] == kind)
        return [a for a in candidates if a.hex().startswith(hex_prefix) and self.find(kind, a)]

    # Packs.

    def add(self, *packs: FinishedPack) -> None:
        """Learn the places in packs of this store that were just published."""
        with self._lock:
            self._add([PackIndex(pack.id, pack.family, pack.index) for pack in packs])

    def forget(self, pack: PackId) -> None:
        """Drop all places in a pack: it is gone, or going."""
        with self._lock:
            self._drop([pack])

    def packs(self) -> dict[PackId, Family]:
        """Return the packs whose places are known here."""
        with self._lock:
            known = self._memory.packs()
            if self._disk is not None:
                try:
                    known |= self._disk.packs()
                except CacheUnusableError:
                    self._do_without()
                    return self.packs()
            return {pack: family for pack, family in known.items() if pack not in self._gone}

    def packs_present(self, packs: Iterable[tuple[Family, PackId]]) -> set[PackId]:
        """Return which of these packs are in the store at this moment."""
        return {pack for family, pack in packs if self._storage.exists(pack_key(family, pack))}

    def damaged_packs(self) -> dict[PackId, AhError]:
        """Return the packs whose index the last ``refresh`` could not read, with the reasons."""
        return dict(self._damaged)

    def refresh(self) -> int:
        """List the store's packs, load those not known, forget those gone.

        Returns:
            How many packs were loaded. A pack that can't be read is left out, see
            ``damaged_packs``: the rest of the store stays readable.
        """
        with self._lock:
            known = self.packs()  # before the listing: a pack published since is not gone
            present = {pack: family for family, pack in list_packs(self._storage)}
            self._drop([pack for pack in known if pack not in present])
            self._damaged = {}
            loaded = self._load_packs({p: f for p, f in present.items() if p not in known})
            self._complete = True
            if self._disk is not None and not self._memory.packs():
                self._disk.set_complete()
            return loaded

    def rebuild(self) -> int:
        """Forget everything and load the store's packs anew; returns how many were loaded."""
        with self._lock:
            self._drop(list(self.packs()))
            return self.refresh()

    def _load_packs(self, packs: dict[PackId, Family]) -> int:
        loaded, batch, batch_bytes = 0, [], 0
        for pack, family in packs.items():
            index = self._read_index(family, pack)
            if index is None:
                continue
            loaded += 1
            batch.append(PackIndex(pack, family, index))
            batch_bytes += len(index)
            if batch_bytes >= _BATCH_BYTES:
                self._add(batch)
                batch, batch_bytes = [], 0
        self._add(batch)
        return loaded

    def _read_index(self, family: Family, pack: PackId) -> bytes | None:
        try:
            return self._reader.read_raw_index(family, pack)
        except MissingError:
            return None  # gone since it was listed
        except (CorruptError, UnsupportedError) as error:
            self._damaged[pack] = error
            return None

    def _load(self) -> None:
        """Load the store's packs, unless this cache or this process has seen them before."""
        if self._complete:
            return
        if self._disk is not None:
            try:
                self._complete = self._disk.is_complete()
            except CacheUnusableError:
                self._do_without()
        if not self._complete:
            self.refresh()

    # Writing to the cache happens when it is free; until then places are kept in memory.

    def _add(self, packs: list[PackIndex]) -> None:
        self._gone.difference_update(pack.id for pack in packs)
        self._memory.add(packs)
        self._save()

    def _save(self) -> None:
        if self._disk is None:
            return
        if self._gone and self._disk.drop(self._gone):
            self._gone.clear()
        waiting = self._memory.get_packs()
        if waiting and self._disk.add(waiting):
            self._memory.drop([pack.id for pack in waiting])

    def _drop(self, packs: list[PackId]) -> None:
        if not packs:
            return
        self._memory.drop(packs)
        if self._disk is not None and not self._disk.drop(packs):
            self._gone.update(packs)

    def _do_without(self) -> None:
        """Go on in memory: the cache can't be read."""
        if self._env is not None:
            self._env.close()
        self._env = self._disk = None
        self._complete = False
