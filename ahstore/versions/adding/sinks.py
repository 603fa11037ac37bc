"""Where the chunks of files that are read go: into a session's packs, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ahstore.codec.digests import sha256
from ahstore.ids import Address, ChunkId
from ahstore.objects.file import unpack_refs
from ahstore.packs.place import Kind
from ahstore.versions.adding.reading import Content
from ahstore.versions.history.closure import chunks_of
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


class ChunkSink(Protocol):
    """Where the chunks of new content go."""

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """Take a chunk, return its id."""

    def put_chunks(self, ids: Sequence[ChunkId], chunks: Sequence[bytes | memoryview]) -> None:
        """Take many small chunks whose ids are known."""

    def holds(self, contents: Sequence[Content]) -> bool:
        """Say whether all chunks of all remembered contents are there for certain."""


class StoringSink:
    """Stores chunks in a session's packs."""

    def __init__(self, repo: Repository, session: WriteSession) -> None:
        self._repo = repo
        self._session = session
        self.put_chunk = session.put_chunk
        self.put_chunks = session.put_chunks

    def holds(self, contents: Sequence[Content]) -> bool:
        """See :class:`ChunkSink`: lists are looked up before they are read."""
        ids = [Address(ref.id) for content in contents for ref in unpack_refs(content.refs)]
        if not self._session.has_all(Kind.CHUNK, ids):
            return False
        return all(
            self._session.has_all(Kind.CHUNK, list(chunks_of(self._repo, c.level, c.refs)))
            for c in contents
            if c.level
        )


class HashingSink:
    """Names chunks and keeps nothing: for looking at what a commit would change."""

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """See :class:`ChunkSink`."""
        return ChunkId(sha256(data))

    def put_chunks(self, ids: Sequence[ChunkId], chunks: Sequence[bytes | memoryview]) -> None:
        """See :class:`ChunkSink`."""

    def holds(self, contents: Sequence[Content]) -> bool:  # noqa: ARG002
        """See :class:`ChunkSink`: nothing will refer to the chunks."""
        return True
