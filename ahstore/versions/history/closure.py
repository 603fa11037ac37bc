"""Whether all that a commit needs is there: ancestors, tree pages, chunk lists and chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ahstore.errors import NotFoundError
from ahstore.ids import Address, ChunkId, CommitId, PageId
from ahstore.objects.chunklist import walk
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, REFS, Row
from ahstore.objects.page import decode_page
from ahstore.packs.place import Kind
from ahstore.versions.history.log import log
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


def check_complete(repo: Repository, commit: CommitId, session: WriteSession) -> None:
    """Refuse a commit of which anything is missing or about to be deleted by gc.

    Raises:
        NotFoundError: names the first thing that is not there.
    """
    seen: set[PageId] = set()
    for commit_id, body in log(repo, commit):
        _require(session, Kind.COMMIT, [commit_id])
        fresh = list(repo.tree(body.tree).page_ids(enter=lambda page, _: page not in seen))
        seen.update(page for page, _ in fresh)
        _require(session, Kind.PAGE, [page for page, _ in fresh])
        for page, level in fresh:
            if level == 0:
                rows = decode_page(repo.read_page(page)).rows
                _require(session, Kind.CHUNK, [c for row in rows for c in row_chunks(repo, row)])


def check_rows_kept(repo: Repository, rows: Sequence[Row], session: WriteSession) -> None:
    """Refuse rows of a commit that may be no one's any more if one of their chunks is not there.

    Raises:
        NotFoundError: names the first chunk that is missing or about to be deleted by gc.
    """
    for row in rows:
        _require(session, Kind.CHUNK, list(row_chunks(repo, row)))


def row_chunks(repo: Repository, row: Row) -> Iterator[ChunkId]:
    """Yield every chunk a file needs: its chunk lists, then its data."""
    yield from chunks_of(repo, row[FLAGS] >> LEVEL_SHIFT, row[REFS])


def chunks_of(repo: Repository, level: int, refs: bytes) -> Iterator[ChunkId]:
    """Yield the chunks below these refs: lists and data."""
    lists: list[ChunkId] = []

    def read(chunk: ChunkId) -> bytes:
        lists.append(chunk)
        return repo.read_chunk(chunk)

    for ref, _ in walk(level, refs, read):
        yield ref.id
    yield from lists


def _require(session: WriteSession, kind: Kind, addresses: list[Address]) -> None:
    if addresses and not session.has_all(kind, addresses):
        lost = next((a for a in addresses if not session.has(kind, a)), addresses[0])
        raise NotFoundError(
            f"the store no longer holds all of this commit: {kind.name.lower()} {lost.hex()} is missing",
            address=lost.hex(),
        )
