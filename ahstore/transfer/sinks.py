"""Where blobs go: into packs of a store, under a writer's session, or into those of a bundle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from ahstore.ids import Address, ChunkId
from ahstore.packs.place import Kind
from ahstore.packs.stored import StoredBlob
from ahstore.packs.writer import FinishedPack
from ahstore.storage.contract import Storage
from ahstore.transfer.packing import Key, Packer
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

LOOK_AROUND_BYTES = 2**20


class Sink(ABC):
    """Takes verified blobs and says which it has. For one thread."""

    def __init__(self, packer: Packer) -> None:
        self.packer = packer
        self.beats: list[Callable[[], None]] = []
        """Called often, to show that the work goes on."""

    @abstractmethod
    def has(self, kind: Kind, address: Address) -> bool:
        """Say whether the blob is there, or on its way."""

    @abstractmethod
    def lengths(self, chunks: Sequence[ChunkId]) -> Mapping[ChunkId, int]:
        """Return the raw lengths of those of the chunks that are there, or on their way."""

    def expect(self, size: int) -> None:  # noqa: B027  (most need not know)
        """Take note that about ``size`` bytes are to come."""

    def beat(self) -> None:
        """Show that the work goes on."""
        for beat in self.beats:
            beat()

    def put(self, kind: Kind, address: Address, data: bytes) -> None:
        """Take a blob by its bytes."""
        self.packer.put(kind, address, data)

    def put_stored(self, blob: StoredBlob) -> None:
        """Take a blob as a pack has it."""
        self.packer.put_stored(blob)


class StoreSink(Sink):
    """Packs of a store. A blob counts as there if its pack is confirmed and not condemned."""

    def __init__(self, repo: Repository, session: WriteSession) -> None:
        super().__init__(Packer(repo.storage, self._learn))
        self._repo = repo
        self._session = session
        self._coming = 0
        self.beats.append(session.beat)

    def has(self, kind: Kind, address: Address) -> bool:
        """See ``Sink.has``."""
        return self.packer.find_length(kind, address) is not None or self._session.has(
            kind, address
        )

    def lengths(self, chunks: Sequence[ChunkId]) -> Mapping[ChunkId, int]:
        """See ``Sink.lengths``."""
        found: dict[ChunkId, int] = {}
        rest = []
        for chunk in chunks:
            length = self.packer.find_length(Kind.CHUNK, chunk)
            if length is None:
                rest.append(chunk)
            else:
                found[chunk] = length
        for chunk, place in self._repo.index.find_many(Kind.CHUNK, rest).items():
            if self._session.has(Kind.CHUNK, chunk):
                found[chunk] = place.raw
        return found

    def expect(self, size: int) -> None:
        """Before much is sent, learn once of packs that others, or a killed run, have written."""
        before = self._coming
        self._coming += size
        if before < LOOK_AROUND_BYTES <= self._coming:
            self._repo.index.refresh()

    def _learn(self, pack: FinishedPack) -> None:
        self._repo.index.add(pack)


class BundleSink(Sink):
    """Packs of a bundle, one after the other. Remembers the key of each blob it has taken."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(Packer(storage, lambda _: None, in_flight=0))
        self._known: dict[Key, int] = {}

    def has(self, kind: Kind, address: Address) -> bool:
        """See ``Sink.has``."""
        return (kind, address) in self._known

    def lengths(self, chunks: Sequence[ChunkId]) -> Mapping[ChunkId, int]:
        """See ``Sink.lengths``."""
        known = self._known
        return {chunk: known[Kind.CHUNK, chunk] for chunk in chunks if (Kind.CHUNK, chunk) in known}

    def put(self, kind: Kind, address: Address, data: bytes) -> None:
        """See ``Sink.put``."""
        self._known[kind, address] = len(data)
        super().put(kind, address, data)

    def put_stored(self, blob: StoredBlob) -> None:
        """See ``Sink.put_stored``."""
        self._known[blob.kind, blob.address] = blob.raw
        super().put_stored(blob)


class CheckSink(Sink):
    """Takes everything and keeps nothing: for a look at what would be written to a store."""

    def __init__(self, repo: Repository) -> None:
        super().__init__(Packer(repo.storage, lambda _: None))
        self._repo = repo

    def has(self, kind: Kind, address: Address) -> bool:
        """See ``Sink.has``."""
        return self._repo.index.find(kind, address) is not None

    def lengths(self, chunks: Sequence[ChunkId]) -> Mapping[ChunkId, int]:
        """See ``Sink.lengths``."""
        places = self._repo.index.find_many(Kind.CHUNK, chunks)
        return {chunk: place.raw for chunk, place in places.items()}

    def put(self, kind: Kind, address: Address, data: bytes) -> None:
        """See ``Sink.put``."""

    def put_stored(self, blob: StoredBlob) -> None:
        """See ``Sink.put_stored``."""
