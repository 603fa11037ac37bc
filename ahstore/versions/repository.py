"""A store, opened: storage, cells, packs and index together, with no global state.

``store.json`` is written once when the store is made (docs/format/storage.md). Everything that can
be rebuilt (index, states of files) lies in a cache folder outside the store, or in memory.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ahstore.chunks.cutter import CuttingParameters
from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, NotFoundError, UnsupportedError
from ahstore.ids import Address, ChunkId, CommitId, PackId, PageId, RecordId, new_entity_id
from ahstore.index.cache_dir import cache_key
from ahstore.index.filestates import FileStates
from ahstore.index.index import Index
from ahstore.objects.commit import Commit, decode
from ahstore.objects.file import check_rows
from ahstore.objects.tree import PageCache, Tree
from ahstore.packs.place import Kind, Place, pack_key
from ahstore.packs.reader import PackReader
from ahstore.storage.cells import Cell, Cells, CellVersion
from ahstore.storage.contract import AlreadyThereError, MissingError, Storage
from ahstore.storage.open import open_storage
from ahstore.versions.lease_keeper import LeaseKeeper
from ahstore.versions.session import WriteSession

STORE_KEY = "store.json"
FORMAT = 1
REMEMBERED_HINTS = 65_536


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
    ) -> None:
        self.storage = storage
        self.storage_options = storage_options
        """How the storage was opened, for processes that open it again; may hold credentials."""
        self.cells = Cells(storage)
        self.creation_id: str = settings["id"]
        self.cutting = CuttingParameters.from_value(settings["chunking"])
        self.packs = PackReader(storage)
        self._cache_root = cache_root
        self._pages = PageCache()
        self._hints: dict[tuple[Kind, Address], Place] = {}
        self._index: Index | None = None
        self._states: FileStates | None = None
        self.leases = LeaseKeeper(self.cells)
        self._opening = threading.Lock()

    @staticmethod
    def open(
        url: str,
        *,
        create: bool = False,
        cache_root: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        cutting: CuttingParameters | None = None,
    ) -> Repository:
        """Open the store at ``url``; ``create`` makes it when nothing is there yet.

        ``storage_options`` are for stores in S3 and the like; they may hold credentials.
        ``cutting`` is how a store that is made cuts files; one that is there stays as it is.

        Raises:
            NotFoundError: there is no store, and ``create`` was not asked for.
            UnsupportedError: the store's format is newer than this version knows.
        """
        storage = open_storage(
            url, create=create, storage_options=storage_options, scratch=cache_root
        )
        try:
            settings = _read_settings(storage) if not create else _make_settings(storage, cutting)
            return Repository(storage, settings, cache_root, storage_options=storage_options)
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
                self._index = Index.open(self._cache_folder(), self.packs, self.storage)
            return self._index

    @property
    def states(self) -> FileStates:
        """What files on disk hashed to."""
        with self._opening:
            if self._states is None:
                self._states = FileStates.open(self._cache_folder())
            return self._states

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

    def learn(self, places: Iterable[tuple[Address, Place]]) -> None:
        """Remember where blobs lie, as a branch's cell told; a wrong hint only costs a look-up."""
        if len(self._hints) > REMEMBERED_HINTS:
            self._hints.clear()
        for address, place in places:
            self._hints[place.kind, address] = place

    def read_page(self, page: PageId) -> bytes:
        """Return a tree page's bytes, verified."""
        return self._read(Kind.PAGE, page)

    def read_record(self, record: RecordId) -> bytes:
        """Return a record's bytes, verified."""
        return self._read(Kind.RECORD, record)

    def read_chunk(self, chunk: ChunkId) -> bytes:
        """Return a chunk's bytes, verified."""
        return self._read(Kind.CHUNK, chunk)

    def read_commit(self, commit: CommitId) -> Commit:
        """Return a commit.

        Raises:
            NotFoundError: the store has no such commit.
        """
        return decode(self._read(Kind.COMMIT, commit))

    def read_chunks(self, chunks: Sequence[ChunkId]) -> Iterator[tuple[Address, bytes]]:
        """Yield each distinct chunk once with its bytes, neighbours read together, in any order."""
        places = self.index.find_many(Kind.CHUNK, chunks)
        wanted = [(c, places.get(c) or self._find(Kind.CHUNK, c)) for c in dict.fromkeys(chunks)]
        try:
            yield from self.packs.read_many(wanted)
        except MissingError:
            # A pack the cached index knew is gone: repacked. The store's packs say where to.
            self.index.refresh()
            yield from self.packs.read_many(
                [(c, self._find(Kind.CHUNK, c)) for c in dict.fromkeys(chunks)]
            )

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
        return Tree(self, root, cache=self._pages)

    def files(self, commit: CommitId) -> Tree:
        """Return the tree of a commit's files, whose rows are checked as they are read.

        Raises:
            NotFoundError: the store has no such commit.
        """
        return self.files_at(self.read_commit(commit).tree)

    def files_at(self, root: PageId) -> Tree:
        """Return a tree of files by its root, whose rows are checked as they are read."""
        return Tree(self, root, cache=self._pages, check=check_rows)

    def _find(self, kind: Kind, address: Address) -> Place:
        return self._hints.get((kind, address)) or self.index.get(kind, address)

    def _read(self, kind: Kind, address: Address) -> bytes:
        hint = self._hints.get((kind, address))
        if hint is not None:
            try:
                return self.packs.read(address, hint, trusted=True)
            except (MissingError, CorruptError):
                del self._hints[kind, address]
        place = self.index.get(kind, address)
        try:
            return self.packs.read(address, place, trusted=True)
        except MissingError:
            self.index.refresh()
            return self.packs.read(address, self.index.get(kind, address), trusted=True)

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

    def kill(self, cell: Cell) -> CellVersion:
        """Delete a cell by a tombstone; one that is not live is left as it is."""
        return WriteSession.kill(self.cells, cell)


def _read_settings(storage: Storage) -> dict[str, Any]:
    try:
        settings = json.loads(storage.read(STORE_KEY))
        found = settings["format"]
        if not isinstance(settings["id"], str) or not isinstance(found, int):
            raise TypeError
    except MissingError:
        raise NotFoundError(f"there is no store at {storage.url}", url=storage.url) from None
    except (ValueError, KeyError, TypeError):
        raise CorruptError(f"{STORE_KEY} of {storage.url} can't be read", url=storage.url) from None
    if found != FORMAT:
        raise UnsupportedError(
            f"the store {storage.url} has format {found}; this version of ahstore knows format {FORMAT}",
            url=storage.url,
        )
    return dict(settings)


def _make_settings(storage: Storage, cutting: CuttingParameters | None) -> dict[str, Any]:
    try:
        return _read_settings(storage)
    except NotFoundError:
        pass
    settings = {
        "format": FORMAT,
        "id": str(new_entity_id()),
        "hash": "sha256",
        "chunking": (cutting or CuttingParameters()).to_value(),
    }
    with suppress(AlreadyThereError):
        storage.create(STORE_KEY, json.dumps(settings, indent=2).encode() + b"\n")
    return _read_settings(storage)
