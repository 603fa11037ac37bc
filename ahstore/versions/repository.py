"""A store, opened: storage, cells, packs and index together, with no global state.

Everything that can be rebuilt (index, states of files) lies in a cache folder outside the store, or in memory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from ahstore.chunks.cutter import CuttingParameters
from ahstore.codec.canonical import Value
from ahstore.errors import AhError, CorruptError
from ahstore.ids import Address, ChunkId, CommitId, PackId, PageId, RecordId
from ahstore.index.cache_dir import cache_key, default_cache_size
from ahstore.index.cached_storage import CachedStorage
from ahstore.index.filestates import FileStates
from ahstore.index.index import Index
from ahstore.index.meta_cache import MetaCache, blob_name
from ahstore.index.range_cache import RangeCache
from ahstore.index.recent_packs import RecentPack, RecentPacks
from ahstore.objects.commit import Commit, decode
from ahstore.objects.file import check_rows
from ahstore.objects.tree import PageCache, PageSource, Tree
from ahstore.packs.place import Kind, Place, pack_key
from ahstore.packs.reader import PackReader
from ahstore.storage.cells import Cell, Cells, CellVersion
from ahstore.storage.contract import MissingError, Storage
from ahstore.storage.open import open_storage
from ahstore.versions.hints import Hints
from ahstore.versions.lease_keeper import LeaseKeeper
from ahstore.versions.locators import PLACES
from ahstore.versions.pack_ids import PackIds
from ahstore.versions.past import Past
from ahstore.versions.readahead import ReadAhead
from ahstore.versions.recent_blobs import RecentBlobs
from ahstore.versions.session import WriteSession
from ahstore.versions.settings import STORE_KEY, make_settings, read_settings

MOST_GONE_PACKS = 1000
"""So many packs may go while one thing is read; a storage that lists what it has not is given up."""
MOST_META_BYTES = 2 * 2**30
"""Of the cache of a store far away an eighth, but no more than this, is for small things in LMDB."""

AnyAddress = TypeVar("AnyAddress", bound=Address)


class Repository:
    """Everything above is built on this: objects by address, cells by name, and sessions to write.

    Safe to use from several threads for reading; a :class:`WriteSession` belongs to one thread.
    """

    def __init__(
        self,
        storage: Storage,
        settings: dict[str, Any],
        cache_root: str | None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        cache_size: int | None = None,
    ) -> None:
        self._cache_root = cache_root
        self.cache_size = cache_size
        """As it was given: for processes that open the store again."""
        self.creation_id: str = settings["id"]
        # What comes from elsewhere is checked against its address, not only for accidents.
        self._trusted = not storage.capabilities.far
        self._uncached = storage
        self._meta: MetaCache | None = None
        self.storage = self._cached(storage, cache_size)
        self.storage_options = storage_options
        """How the storage was opened, for processes that open it again; may hold credentials."""
        self._recent = RecentPacks()
        self._past = Past(lambda folder, number: self.cells.read_at(folder, number))
        self.cells = Cells(self.storage, on_read=self._learn)
        self.cutting = CuttingParameters.from_value(settings["chunking"])
        self.packs = PackReader(self.storage)
        # Their blobs are kept by address, and their indexes in the index.
        self._meta_packs = PackReader(storage)
        self._pages = PageCache()
        self._hints = Hints()
        self._index: Index | None = None
        self._states: FileStates | None = None
        self.leases = LeaseKeeper(self.cells)
        self.pack_ids = PackIds()
        self.recent_blobs = RecentBlobs()
        self._opening = threading.Lock()

    @staticmethod
    def open(
        url: str,
        *,
        create: bool = False,
        cache_root: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        cutting: CuttingParameters | None = None,
        cache_size: int | None = None,
    ) -> Repository:
        """Open the store at ``url``; ``create`` makes it when nothing is there yet.

        ``storage_options`` are for stores in S3 and the like; they may hold credentials.
        ``cutting`` is how a store that is made cuts files; one that is there stays as it is.
        ``cache_size`` bounds what is kept of a store far away, in bytes; None: 10 GiB, or a tenth of
        the cache's disk if that is less; 0: nothing is kept.

        Raises:
            NotFoundError: there is no store, and ``create`` was not asked for.
            UnsupportedError: the store's format is newer than this version knows.
        """
        storage = open_storage(
            url, create=create, storage_options=storage_options, scratch=cache_root
        )
        try:
            settings = read_settings(storage) if not create else make_settings(storage, cutting)
            return Repository(
                storage,
                settings,
                cache_root,
                storage_options=storage_options,
                cache_size=cache_size,
            )
        except BaseException:
            storage.close()
            raise

    @property
    def url(self) -> str:
        """The canonical URL of the store."""
        return self.storage.url

    @property
    def cache_root(self) -> str | None:
        """The folder of the caches, None if they are in memory."""
        return self._cache_root

    def without_cache(self) -> Repository:
        """Return the store as it lies there, for who checks it: what is kept of it here hides damage.

        It shares this one's storage, so it need not be closed. A store that is not far away is
        returned as it is: nothing is kept of its bytes.
        """
        if self.storage is self._uncached:
            return self
        settings = {"id": self.creation_id, "chunking": self.cutting.to_value()}
        return Repository(
            self._uncached, settings, None, storage_options=self.storage_options, cache_size=0
        )

    def close(self) -> None:
        """Release the caches and the storage; further use is an error."""
        self.leases.rest()
        if self._index is not None:
            self._index.close()
        if self._states is not None:
            self._states.close()
        self.storage.close()

    # What can be rebuilt is opened when first needed: many commands never do.

    @property
    def index(self) -> Index:
        """Where blobs lie."""
        with self._opening:
            if self._index is None:
                self._index = Index.open(
                    self._cache_folder(),
                    self._meta_packs,
                    self.storage,
                    cells=self.cells,
                    recent=self._recent,
                )
            return self._index

    @property
    def states(self) -> FileStates:
        """What files on disk hashed to."""
        with self._opening:
            if self._states is None:
                self._states = FileStates.open(self._cache_folder())
            return self._states

    def _cached(self, storage: Storage, size: int | None) -> Storage:
        """Return the storage with what was read of it kept here, if it is far away."""
        if not storage.capabilities.far or self._cache_root is None or size == 0:
            return storage
        self.storage = storage
        folder = self._cache_folder()
        if folder is None:
            return storage
        limit = default_cache_size(self._cache_root) if size is None else size
        small = min(limit // 8, MOST_META_BYTES)
        self._meta = MetaCache.open(folder, limit_bytes=small)
        ranges = RangeCache(os.path.join(folder, "ranges"), limit_bytes=limit - small)
        return CachedStorage(storage, self._meta, ranges)

    def _cache_folder(self) -> str | None:
        if self._cache_root is None:
            return None
        device, inode = 0, 0
        if self.storage.capabilities.local_path is not None:
            stat = os.stat(os.path.join(self.storage.capabilities.local_path, STORE_KEY))
            device, inode = stat.st_dev, stat.st_ino
        key = cache_key(self.creation_id, self.url, device, inode)
        return os.path.join(self._cache_root, key)

    # Reading by address.

    def _learn(self, folder: str, version: CellVersion) -> None:
        """Take in the locators of a cell that was read: its newest blobs are then found at once."""
        if self._recent.learn(folder, version) and PLACES in version.value:
            self._hints.learn(version.value[PLACES])
            if not self._trusted:
                self._past.learn(folder, version)

    def read_page(self, page: PageId) -> bytes:
        """Return a tree page's bytes, verified."""
        return self._read_recent(Kind.PAGE, page)

    def read_record(self, record: RecordId) -> bytes:
        """Return a record's bytes, verified."""
        return self._read_recent(Kind.RECORD, record)

    def read_chunk(self, chunk: ChunkId) -> bytes:
        """Return a chunk's bytes, verified."""
        return self._read(Kind.CHUNK, chunk)

    def read_commit(self, commit: CommitId) -> Commit:
        """Return a commit.

        Raises:
            NotFoundError: the store has no such commit.
        """
        return decode(self._read_recent(Kind.COMMIT, commit))

    def read_chunks(self, chunks: Sequence[ChunkId]) -> Iterator[tuple[Address, bytes]]:
        """Yield each distinct chunk once with its bytes, neighbours read together, in any order."""
        for address, data in self.read_chunk_views(chunks):
            yield address, bytes(data)

    def read_chunk_views(
        self, chunks: Sequence[ChunkId]
    ) -> Iterator[tuple[Address, bytes | memoryview]]:
        """Yield what ``read_chunks`` does without copying: a view keeps what was read with it."""
        return self._read_all(Kind.CHUNK, list(dict.fromkeys(chunks)))

    def read_pages(self, pages: Sequence[PageId]) -> Iterator[tuple[Address, bytes]]:
        """Yield each distinct page once with its bytes, neighbours read together, in any order."""
        for address, data in self._read_all(Kind.PAGE, list(dict.fromkeys(pages))):
            yield address, bytes(data)

    def _read_all(
        self, kind: Kind, addresses: Sequence[AnyAddress]
    ) -> Iterator[tuple[Address, bytes | memoryview]]:
        read: set[Address] = set()
        if self._meta is not None:
            kept = self._meta.find_many(blob_name(kind, address) for address in addresses)
            for name, data in kept.items():
                read.add(Address(name[1:]))
                yield Address(name[1:]), data
        tries = 0
        while rest := [address for address in addresses if address not in read]:
            places = self._get_places(kind, rest)
            packs = self.packs if kind is Kind.CHUNK else self._meta_packs
            try:
                for address, view in packs.read_views(places.items(), trusted=self._trusted):
                    read.add(address)
                    self._keep(places[address], address, view)  # type: ignore[index]
                    yield address, view
            except MissingError as error:
                # A pack that some hint knew is gone: repacked. The store says where to.
                tries += 1
                self._forget_pack(error, places, tries)

    def _keep(self, place: Place, address: Address, data: bytes | memoryview) -> None:
        """Keep what was read from far away, unless ranges of data packs are kept anyway."""
        if self._meta is not None and place.family == "meta":
            self._meta.keep(blob_name(place.kind, address), bytes(data))

    def _get_places(self, kind: Kind, addresses: Sequence[AnyAddress]) -> dict[AnyAddress, Place]:
        hints = {a: hint for a in addresses if (hint := self._hints.find(kind, a)) is not None}
        rest = [a for a in addresses if a not in hints] if hints else addresses
        return hints | self.index.get_many(kind, rest) if rest else hints

    def _forget_pack(
        self, error: MissingError, places: Mapping[AnyAddress, Place], tries: int
    ) -> None:
        gone = {p.pack for p in places.values() if pack_key(p.family, p.pack) == error.key}
        if not gone or tries > MOST_GONE_PACKS:
            raise error
        for pack in gone:
            self.index.forget(pack)
        self._hints.forget_packs(gone)

    def place(self, kind: Kind, address: Address) -> Place:
        """Return where a blob lies now.

        Raises:
            NotFoundError: no pack of the store holds it.
        """
        return self._find(kind, address)

    @property
    def page_cache(self) -> PageCache:
        """Decoded pages, shared by all who read trees of this store."""
        return self._pages

    def tree(self, root: PageId) -> Tree:
        """Return the tree with this root, read as it is used."""
        return Tree(self, root, cache=self._pages, ahead=self._ahead())

    def files(self, commit: CommitId) -> Tree:
        """Return the tree of a commit's files, whose rows are checked as they are read.

        Raises:
            NotFoundError: the store has no such commit.
        """
        return self.files_at(self.read_commit(commit).tree)

    def files_at(self, root: PageId) -> Tree:
        """Return a tree of files by its root, whose rows are checked as they are read."""
        return Tree(self, root, cache=self._pages, check=check_rows, ahead=self._ahead())

    def _ahead(self) -> Callable[[str, str], PageSource] | None:
        if self._trusted:  # on this machine a page at a time is no slower, and all share the cache
            return None
        return lambda prefix, start: ReadAhead(self, prefix, start=start)

    def _read_recent(self, kind: Kind, address: Address) -> bytes:
        data = self.recent_blobs.find(kind, address)
        if data is None:
            data = self._read(kind, address)
            self.recent_blobs.put(kind, address, data)
        return data

    def _find(self, kind: Kind, address: Address) -> Place:
        return self._hints.find(kind, address) or self.index.get(kind, address)

    def _read(self, kind: Kind, address: Address) -> bytes:
        if self._meta is not None:
            kept = self._meta.find(blob_name(kind, address))
            if kept is not None:
                return kept
        told = self._past.find(CommitId(address)) if kind is Kind.COMMIT else None
        if told is not None:
            if self._meta is not None:
                self._meta.keep(blob_name(kind, address), told)
            return told
        hint = self._hints.find(kind, address)
        if hint is not None:
            try:
                return self._read_hinted(address, hint)
            except (MissingError, CorruptError):
                self._hints.forget(kind, address)
        tries = 0
        while True:
            place = self.index.get(kind, address)
            try:
                return self._read_at(address, place)
            except MissingError as error:
                tries += 1
                self._forget_pack(error, {address: place}, tries)

    def _read_at(self, address: Address, place: Place) -> bytes:
        packs = self.packs if place.kind is Kind.CHUNK else self._meta_packs
        data = packs.read(address, place, trusted=self._trusted)
        self._keep(place, address, data)
        return data

    def _read_hinted(self, address: Address, hint: Place) -> bytes:
        """Read a blob by its hint; from afar with those told with it, which are asked for next."""
        if self._trusted or hint.kind is Kind.CHUNK:
            return self._read_at(address, hint)
        near = self._hints.told_near(address, hint)
        found = dict(self._meta_packs.read_many(near.items(), trusted=self._trusted))
        for other, data in found.items():
            self._keep(near[other], other, data)
            self.recent_blobs.put(near[other].kind, other, data)
        return found[address]

    def pack_exists(self, pack: PackId, family: str) -> bool:
        """Say whether a pack is in the store at this moment."""
        return self.storage.exists(pack_key("meta" if family == "meta" else "data", pack))

    # Writing.

    @contextmanager
    def session(self, cells: Sequence[Cell]) -> Iterator[WriteSession]:
        """Hold a lease that names ``cells`` while writing to them.

        It may be one that earlier sessions of this process held, and is kept for later ones.
        """
        session = WriteSession(self, cells)
        try:
            yield session
        finally:
            session.close()
        # What was published stays so, whatever becomes of the index, which others can do as well.
        with suppress(AhError):
            self.consolidate()

    def packs_told(self, prefix: str, own: Sequence[RecentPack]) -> list[RecentPack]:
        """Return what a cell's next version is to tell of packs; see ``Crowd.told_under``."""
        if not own and not self._recent.told_under(prefix):
            return []
        return self.index.crowd.told_under(prefix, own)

    def consolidate(self) -> bool:
        """Cover packs by an index segment if this process has seen too many without; see ``Index``."""
        return self._index is not None and self._index.consolidate()

    def update(
        self,
        cell: Cell,
        change: Callable[[CellVersion, WriteSession], dict[str, Value] | None],
        *,
        also: Sequence[Cell] = (),
    ) -> CellVersion:
        """Change a cell by ``change(current, session)``, again on the new value when a race is lost.

        Returns:
            The new version, or the current one when ``change`` returned None.
        """
        with self.session([cell, *also]) as session:
            return session.update(cell, change)

    def kill(
        self,
        cell: Cell,
        *,
        why: dict[str, Value] | None = None,
        still: Callable[[], bool] | None = None,
    ) -> CellVersion:
        """Delete a cell by a tombstone; one that is not live is left as it is.

        Args:
            cell: which.
            why: stands in the tombstone.
            still: asked after the cell was read, at each attempt; False: it is left as it is.
        """
        return WriteSession.kill(self.cells, cell, why=why, still=still)
