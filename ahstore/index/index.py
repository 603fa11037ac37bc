"""Where a blob lies: address and kind to place, over all packs of a store.

Four sources, asked in this order: what this machine knows (``known.py``), the store's segments, the
packs that the cells just read tell of, and a listing of all packs. A place is a hint: packs go and
come. docs/format/cache.md and docs/format/segments.md say what is kept where.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ahstore.errors import AhError, CorruptError, InvalidInputError, NotFoundError
from ahstore.ids import Address, PackId
from ahstore.index.crowd import Crowd
from ahstore.index.known import KnownPlaces
from ahstore.index.lmdb_env import Environment, open_environment
from ahstore.index.recent_packs import RecentPack, RecentPacks
from ahstore.index.segment_search import UNREADABLE
from ahstore.index.segments import Segments
from ahstore.index.table import PackIndex
from ahstore.packs import format as layout
from ahstore.packs.place import Family, Kind, Place, pack_key
from ahstore.packs.reader import PackReader, list_packs
from ahstore.packs.writer import FinishedPack
from ahstore.storage.cells import Cells
from ahstore.storage.contract import Storage

ABSORBED_AT_ONCE = 10_000
"""A segment of no more records is taken into the local table when a near store is opened."""
ABSORBED_RECORDS = 1_000_000
"""The same when it was asked often enough: for one key in so many records that it has:"""
ASKED_SHARE = 16
ABSORBED_FAR_RECORDS = 200_000
"""For a store that is far away, when its packs have to be listed: 16 MB."""
FIRST_PROBES = 16
"""Of how many keys segments are asked at first; then of twice as many, and so on."""
FIRST_RECENT = 6
"""So many packs that cells tell of are looked into first, then eight times as many."""
LOADED_AFTER = 4
"""After so many places in one pack told by segments, the pack's own index is worth loading."""
_BATCH_BYTES = 32 * 2**20
_HEX = re.compile(r"[0-9a-f]{0,64}\Z")
_KIND_BYTE = {kind: bytes([kind]) for kind in Kind}

AnyAddress = TypeVar("AnyAddress", bound=Address)


class Index:
    """Places of blobs. Threads may share it.

    ``find…`` answer from what is known here; for a store on this machine the first question loads
    it, so that a deleted cache changes nothing but time. ``look_up`` asks the store's segments, and
    ``get…`` do not give up before every pack was asked.
    """

    def __init__(
        self,
        reader: PackReader,
        storage: Storage,
        env: Environment | None,
        *,
        cells: Cells | None = None,
        recent: RecentPacks | None = None,
    ) -> None:
        self._reader = reader
        self._storage = storage
        self._far = storage.capabilities.far
        self._known = KnownPlaces(env)
        cells = cells if cells is not None else Cells(storage)
        self._segments = Segments(storage, cells)
        self.crowd = Crowd(storage, cells, reader, self._segments, recent or RecentPacks())
        self._unread: list[RecentPack] = []
        self._asked = 0
        self._absent: set[PackId] = set()
        self._hits: Counter[PackId] = Counter()
        self._damaged: dict[PackId, AhError] = {}
        self._lock = threading.RLock()

    @staticmethod
    def open(
        directory: str | None,
        reader: PackReader,
        storage: Storage,
        *,
        cells: Cells | None = None,
        recent: RecentPacks | None = None,
    ) -> Index:
        """Open an index.

        Args:
            directory: where it is kept; None, or a folder that won't do: in memory.
            reader: of the store's packs.
            storage: of the store.
            cells: of the store, if the caller has them.
            recent: takes in what the caller reads of cells.
        """
        env = open_environment(directory) if directory else None
        return Index(reader, storage, env, cells=cells, recent=recent)

    def close(self) -> None:
        """Write down what is not yet, and let go of the cache."""
        self._known.close()

    # What is known here.

    def find(self, kind: Kind, address: Address) -> Place | None:
        """Return where the blob lies, as far as is known here."""
        self._load()
        key = address + _KIND_BYTE[kind]
        place = self._known.find(key)
        if place is None and not self._far:
            place = self._find_keys([key]).get(key)
        return place

    def find_many(self, kind: Kind, addresses: Iterable[AnyAddress]) -> dict[AnyAddress, Place]:
        """Return where those of the blobs lie of which it is known here."""
        self._load()
        return self._answer(kind, addresses, self._find_keys)

    def _find_keys(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        found = self._ask_known(keys)
        if not self._far and len(found) < len(keys):
            found.update(self._ask_segments([key for key in keys if key not in found]))
        return found

    def _ask_known(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        found = self._known.find_many(keys)
        if len(found) < len(keys) and not (self._far or self._known.complete):
            self._load()  # the cache turned out to be unusable
            found = self._known.find_many(keys)
        return found

    @staticmethod
    def _answer(
        kind: Kind,
        addresses: Iterable[AnyAddress],
        ask: Callable[[Sequence[bytes]], dict[bytes, Place]],
    ) -> dict[AnyAddress, Place]:
        suffix = _KIND_BYTE[kind]
        keys = {address + suffix: address for address in addresses}
        return {keys[key]: place for key, place in ask(list(keys)).items()}

    def _load(self) -> None:
        """Load a store that is near, unless this cache or this process has seen it before."""
        if self._far or (
            self._known.complete and (self._segments.known or not self._known.needs_segments)
        ):
            return
        with self._lock:
            if not self._known.complete:
                self.refresh()
            elif not self._segments.known:
                self._segments.refresh()

    # What the store says of itself.

    def look_up(self, kind: Kind, addresses: Iterable[AnyAddress]) -> dict[AnyAddress, Place]:
        """Return where those of the blobs lie that are found without listing the store's packs."""
        self._load()
        return self._answer(kind, addresses, self._look_up_keys)

    def _look_up_keys(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        found = self._ask_known(keys)
        for source in (self._ask_store, self._ask_recent):
            if len(found) == len(keys):
                break
            found.update(source([key for key in keys if key not in found]))
        return found

    def _ask_store(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        if self._far and not self._segments.known:
            self._segments.refresh()
        return self._ask_segments(keys)

    def _ask_segments(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        """Ask the segments that are not in the local table anyway."""
        if not (self._far or self._known.needs_segments):
            return {}
        if not self._far and self._has_asked(len(keys)):
            return self._find_keys(keys)
        found: dict[bytes, Place] = {}
        rest = list(keys)
        probes = FIRST_PROBES
        while rest:
            # Neighbours in a file are neighbours in a pack, not in a segment. So of many only
            # some are asked for; the indexes of the packs they are in tell most of the others.
            step = -(-len(rest) // probes)
            probes *= 2
            asked = rest[::step]
            told = self._segments.find_many([key[-1:] + key[:-1] for key in asked])
            for key in asked:
                known = told.get(key[-1:] + key[:-1], ())
                places = [place for place in known if place.pack not in self._absent]
                if places:
                    found[key] = places[0]
            loaded = self._load_hit_packs([found[key] for key in asked if key in found])
            done = set(asked)
            rest = [key for key in rest if key not in done]
            if loaded:
                found.update(self._known.find_many(rest))
                rest = [key for key in rest if key not in found]
        return found

    def _has_asked(self, count: int) -> bool:
        """Take the segments in when asking them, block by block, has cost about as much; True then."""
        with self._lock:
            self._asked += count
            if self._asked * ASKED_SHARE < sum(s.info.records for s in self._segments.in_use):
                return False
            self._asked = 0
            if not self._absorb(ABSORBED_RECORDS):
                return False
            known = self.packs()
            covered = self._segments.covered()
            self._known.set_complete(needs_segments=any(pack not in known for pack in covered))
            return True

    def _load_hit_packs(self, places: Sequence[Place]) -> bool:
        """Load the index of a pack that segments have often led to; True if there was one."""
        with self._lock:
            hits = {place.pack: place.family for place in places}
            self._hits.update(place.pack for place in places)
            often = [pack for pack in hits if self._hits[pack] >= LOADED_AFTER]
            for pack in often:
                self._hits[pack] -= LOADED_AFTER
            known = self._known.packs() if often else {}
            return self._load_packs([(hits[p], p) for p in often if p not in known]) > 0

    def _ask_recent(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        """Ask the packs that cells told of and that were not looked into yet, the newest first."""
        found: dict[bytes, Place] = {}
        with self._lock:
            self._unread += self.crowd.take_unread()
            wave = FIRST_RECENT
            while self._unread and len(found) < len(keys):
                some, self._unread = self._unread[-wave:], self._unread[:-wave]
                wave *= 8
                known = self._known.packs()
                sizes = {r.pack: r.size for r in some if r.pack not in known}
                if self._load_packs([(r.family, r.pack) for r in some if r.pack in sizes], sizes):
                    found = self._known.find_many(keys)
        return found

    def get(self, kind: Kind, address: AnyAddress) -> Place:
        """Return where the blob lies.

        Raises:
            NotFoundError: no pack of the store holds it.
            CorruptError: none that can be read does, but not all can be read.
            StorageError: the storage failed.
        """
        return self.get_many(kind, [address])[address]

    def get_many(self, kind: Kind, addresses: Iterable[AnyAddress]) -> dict[AnyAddress, Place]:
        """Return where the blobs lie; raises as ``get``, naming the first that is not found."""
        self._load()
        found = self._answer(kind, addresses, self._get_keys)
        for address in addresses:
            if address not in found:
                raise self._lost(kind, address)
        return found

    def _get_keys(self, keys: Sequence[bytes]) -> dict[bytes, Place]:
        found = self._look_up_keys(keys)
        for learn in (self._segments_changed, self._listed, self._search):
            missing = [key for key in keys if key not in found]
            if not missing:
                break
            if learn(missing):
                found.update(self._look_up_keys(missing))
        return found

    def _segments_changed(self, _missing: Sequence[bytes]) -> bool:
        return self._far and self._segments.refresh()

    def _listed(self, _missing: Sequence[bytes]) -> bool:
        self.refresh()
        return True

    def _search(self, keys: Sequence[bytes]) -> bool:
        """Look into the known packs' own indexes, before anything is said to be lost.

        LMDB has no checksums: what it does not know may be there all the same. True if it is.
        """
        if not self._known.has_cache:
            return False
        # What segments cover they were asked for, and these have checksums.
        covered = self._segments.covered() if self._far else {}
        known = [(family, pack) for pack, family in self.packs().items() if pack not in covered]
        for (family, pack), index in self._reader.read_raw_indexes(known):
            if isinstance(index, bytes) and any(
                layout.find_record(index, k) is not None for k in keys
            ):
                self._known.condemn()
                self._known.add([PackIndex(pack, family, index)])
                return True
        return False

    def _lost(self, kind: Kind, address: Address) -> AhError:
        name = f"{kind.name.lower()} {address.hex()}"
        if self._damaged:
            return CorruptError(
                f"{name} is in no pack that can be read; {len(self._damaged)} packs can't be:"
                f" {next(iter(self._damaged.values()))}",
                address=address.hex(),
                kind=kind.name,
                packs=sorted(self._damaged),
            )
        return NotFoundError(f"there is no {name} in the store", address=address.hex())

    def find_prefix(self, kind: Kind, hex_prefix: str) -> list[Address]:
        """Return the known addresses of this kind whose hex form starts so, sorted.

        Raises:
            InvalidInputError: it is not lower-case hex of at most 64 digits.
        """
        if not _HEX.match(hex_prefix):
            raise InvalidInputError(f"not the start of an id: {hex_prefix!r}", value=hex_prefix)
        self._load()
        whole = bytes.fromhex(hex_prefix[: len(hex_prefix) & ~1])
        found = {Address(k[:-1]) for k in self._known.keys_from(whole) if k[-1] == kind}
        if self._far or self._known.needs_segments:
            if not self._segments.known:
                self._segments.refresh()
            found.update(Address(k[1:]) for k in self._segments.keys_from(_KIND_BYTE[kind] + whole))
        fitting = [address for address in found if address.hex().startswith(hex_prefix)]
        return sorted(self.look_up(kind, fitting))

    # Packs.

    def add(self, *packs: FinishedPack) -> None:
        """Learn the places in packs of this store that were just published."""
        with self._lock:
            self._absent.difference_update(pack.id for pack in packs)
        self.crowd.keep_indexes(packs)
        new = [PackIndex(pack.id, pack.family, pack.index) for pack in packs]
        self._known.add(new, later=True)

    def forget(self, pack: PackId) -> None:
        """Drop all places in a pack: it is gone, or going."""
        with self._lock:
            self._absent.add(pack)
        self._known.drop([pack])

    def packs(self) -> dict[PackId, Family]:
        """Return the packs whose places are known here."""
        return self._known.packs()

    def packs_present(self, packs: Iterable[tuple[Family, PackId]]) -> set[PackId]:
        """Return which of these packs are in the store at this moment."""
        return {pack for family, pack in packs if self._storage.exists(pack_key(family, pack))}

    def damaged_packs(self) -> dict[PackId, AhError]:
        """Return the packs whose index the last ``refresh`` could not read, with the reasons."""
        return dict(self._damaged)

    def damaged_segments(self) -> dict[PackId | None, AhError]:
        """Return the segments that can't be used, with the reasons; None is the index cell."""
        return dict(self._segments.unreadable)

    def refresh(self) -> int:
        """List the store's packs, load those that neither this machine nor a segment knows.

        Returns:
            How many packs were loaded. A pack that can't be read is left out, see
            ``damaged_packs``: the rest of the store stays readable.
        """
        with self._lock:
            self._segments.refresh()
            loaded = self._absorb(ABSORBED_FAR_RECORDS if self._far else ABSORBED_AT_ONCE)
            known = self.packs()  # before the listing: a pack published since is not gone
            covered = self._segments.covered()
            present = {pack: family for family, pack in list_packs(self._storage)}
            self._known.drop([pack for pack in known if pack not in present])
            self._absent = {pack for pack in covered if pack not in present}
            self._damaged = {}
            loaded += self._load_packs(
                [(f, p) for p, f in present.items() if p not in known and p not in covered]
            )
            self.crowd.listed(
                {p: f for p, f in present.items() if p not in self._damaged}, set(covered)
            )
            self._unread = []
            self._known.set_complete(needs_segments=any(p not in known for p in covered))
            return loaded

    def rebuild(self) -> int:
        """Forget what this machine knows and load the store anew; returns how many packs were loaded."""
        with self._lock:
            self._known.drop(list(self.packs()))
            return self.refresh()

    def _absorb(self, limit: int) -> int:
        """Take segments of at most so many records into the table; return how many packs."""
        known = self.packs()
        absorbed = 0
        for segment in self._segments.in_use:
            if segment.info.records > limit:
                continue
            try:
                missing = {pack: family for family, pack in segment.packs() if pack not in known}
                if missing:
                    self._add(segment.indexes(missing))
                    absorbed += len(missing)
            except UNREADABLE as error:
                self._segments.drop(segment, error)
        return absorbed

    def _load_packs(
        self, packs: Iterable[tuple[Family, PackId]], sizes: dict[PackId, int] | None = None
    ) -> int:
        """Load packs from their own indexes; those that can't be read go to ``_damaged``."""

        def read() -> Iterator[PackIndex]:
            for (family, pack), index in self._reader.read_raw_indexes(packs, sizes=sizes):
                if isinstance(index, bytes):
                    yield PackIndex(pack, family, index)
                elif not isinstance(index, NotFoundError):  # that one is gone since it was listed
                    self._damaged[pack] = index

        return self._add(read())

    def _add(self, packs: Iterable[PackIndex]) -> int:
        added, batch, batch_bytes = 0, [], 0
        for pack in packs:
            added += 1
            batch.append(pack)
            batch_bytes += len(pack.index)
            if batch_bytes >= _BATCH_BYTES:
                self._known.add(batch)
                batch, batch_bytes = [], 0
        self._known.add(batch)
        return added

    def consolidate(self, *, everything: bool = False) -> bool:
        """Cover packs by a segment if there is a crowd of them; for who has just committed.

        Args:
            everything: list the store and leave no pack uncovered.

        Returns:
            Whether the store's index was changed.

        Raises:
            StorageError, OutcomeUnknownError: the storage failed; the index is the old or the new.
        """
        if everything:
            self.refresh()
        return self.crowd.consolidate(everything=everything)
