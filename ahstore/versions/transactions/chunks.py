"""A transaction's chunks on their way into packs, and read again before those are published.

The last ones stay in memory: a program that looks at what it has just written need not have a pack
made for each look.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from ahstore.errors import StorageError
from ahstore.ids import Address, ChunkId
from ahstore.versions.adding.reading import Content
from ahstore.versions.adding.sinks import StoringSink
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

KEPT_BYTES = 8 * 2**20


class OwnChunks:
    """Where a transaction's chunks go, and who reads them."""

    def __init__(self, repo: Repository, session: WriteSession) -> None:
        self._repo = repo
        self._session = session
        self._sink = StoringSink(repo, session)
        self._kept: OrderedDict[ChunkId, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._lost: BaseException | None = None

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """Store a chunk and return its id."""
        try:
            chunk = self._session.put_chunk(data)
        except BaseException as error:
            self._lost = error
            raise
        self._keep(chunk, data)
        return chunk

    def put_chunks(self, ids: Sequence[ChunkId], chunks: Sequence[bytes | memoryview]) -> None:
        """Store many small chunks."""
        try:
            self._session.put_chunks(ids, chunks)
        except BaseException as error:
            self._lost = error
            raise
        for chunk, data in zip(ids, chunks, strict=True):
            self._keep(chunk, data)

    def holds(self, contents: Sequence[Content]) -> bool:
        """Say whether all chunks of all remembered contents are there for certain."""
        return self._sink.holds(contents)

    def check_whole(self) -> None:
        """Refuse to go on when a chunk could not be stored: others of its pack are lost as well.

        Raises:
            StorageError: it tells what went wrong.
        """
        if self._lost is not None:
            raise StorageError(
                f"nothing was committed, for an earlier write failed: {self._lost}"
            ) from self._lost

    def read_chunk(self, chunk: ChunkId) -> bytes:
        """Return a chunk's bytes."""
        kept = self._kept.get(chunk)
        if kept is not None:
            return kept
        self._session.settle()
        return self._repo.read_chunk(chunk)

    def read_chunks(self, chunks: Sequence[ChunkId]) -> Iterator[tuple[Address, bytes]]:
        """Yield each distinct chunk once with its bytes."""
        kept = {chunk: self._kept[chunk] for chunk in chunks if chunk in self._kept}
        yield from kept.items()
        rest = [chunk for chunk in chunks if chunk not in kept]
        if rest:
            self._session.settle()
            yield from self._repo.read_chunks(rest)

    def _keep(self, chunk: ChunkId, data: bytes | memoryview) -> None:
        if chunk in self._kept:
            return
        self._kept[chunk] = bytes(data)
        self._kept_bytes += len(self._kept[chunk])
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])
