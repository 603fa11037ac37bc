"""Commits with all that they need, from a source into a sink that lacks some of it.

The one walk behind sync, clone, export and import. It trusts nothing it reads, and asks of
everything that is not reached from a complete commit whether it is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ahstore.errors import NotFoundError
from ahstore.ids import ChunkId, CommitId, PageId
from ahstore.objects.commit import Commit, encode
from ahstore.packs.place import Kind
from ahstore.transfer.copying import Copier
from ahstore.transfer.history import Complete, missing, parents_first
from ahstore.transfer.sinks import Sink
from ahstore.transfer.trees import Lists, Pages, new_pages
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

MAX_BASES = 4


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a transfer moved.

    Attributes:
        commits: looked at because the other side has them not, or not surely.
        sent: blobs of any kind that were written there.
        sent_bytes: size of the packs they were written in.
        kept: blobs that were needed and there already.
    """

    commits: int = 0
    sent: int = 0
    sent_bytes: int = 0
    kept: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.commits + other.commits,
            self.sent + other.sent,
            self.sent_bytes + other.sent_bytes,
            self.kept + other.kept,
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What ``move`` did, and the commits that are complete now beside those that were."""

    traffic: Traffic
    commits: frozenset[CommitId]


def move(
    source: Repository,
    sink: Sink,
    tips: Iterable[CommitId],
    complete: Complete,
    *,
    near: Repository | None = None,
    monitor: Monitor = SILENT,
) -> Moved:
    """Put into ``sink`` what the commits ``tips`` need, and make it durable.

    Args:
        source: has them, but perhaps not what ``complete`` reaches.
        sink: takes them.
        tips: the commits, whose whole history moves.
        complete: commits that the sink's side has with all they need.
        near: the sink's side, where it can be read.
        monitor: told of bytes.

    Raises:
        CorruptError: something is damaged or malformed.
        NotFoundError: something is missing.
    """
    return _Mover(source, sink, near, monitor).run(tips, complete)


class _Mover:
    def __init__(
        self, source: Repository, sink: Sink, near: Repository | None, monitor: Monitor
    ) -> None:
        self._source = source
        self._near = near
        self._sink = sink
        self._pages = Pages(source, near)
        self._lists = Lists(source, near, self._take_list)
        self._copier = Copier(source, sink, monitor)
        self._done: set[PageId] = set()
        self._sent = self._kept = 0

    def run(self, tips: Iterable[CommitId], complete: Complete) -> Moved:
        before = self._sink.packer.bytes
        parents: dict[CommitId, tuple[CommitId, ...]] = {}
        trees: dict[CommitId, PageId] = {}
        try:
            for commit, body in missing(tips, complete, self._source.read_commit):
                self._put(Kind.COMMIT, commit, encode(body))
                parents[commit], trees[commit] = body.parents, body.tree
                self._sink.beat()
            for commit in parents_first(parents):
                self._tree(trees[commit], self._bases(parents[commit], trees))
            self._copier.flush()
            self._sink.packer.flush()
        finally:
            self._copier.close()
        traffic = Traffic(
            len(parents),
            self._sent + self._copier.chunks,
            self._sink.packer.bytes - before,
            self._kept + self._copier.kept,
        )
        return Moved(traffic, frozenset(parents))

    def _bases(self, parents: tuple[CommitId, ...], trees: dict[CommitId, PageId]) -> list[PageId]:
        """Return trees that are complete at the sink when what was put before is."""
        found = []
        for parent in parents[:MAX_BASES]:
            tree = trees.get(parent)
            found.append(self._read_commit(parent).tree if tree is None else tree)
        return found

    def _read_commit(self, commit: CommitId) -> Commit:
        if self._near is not None:
            try:
                return self._near.read_commit(commit)
            except NotFoundError:
                pass
        return self._source.read_commit(commit)

    def _tree(self, root: PageId, bases: list[PageId]) -> None:
        if root in self._done:
            return
        for new in new_pages(self._pages, root, bases):
            if new.page.level == 0:
                for ref in self._lists.chunks(new):
                    self._copier.want(ref)
            self._put(Kind.PAGE, new.id, self._pages.read_page(new.id))
            self._sink.beat()
        self._done.add(root)

    def _take_list(self, chunk: ChunkId, data: bytes) -> None:
        self._put(Kind.CHUNK, chunk, data)

    def _put(self, kind: Kind, address: PageId | ChunkId | CommitId, data: bytes) -> None:
        if self._sink.has(kind, address):
            self._kept += 1
        else:
            self._sink.put(kind, address, data)
            self._sent += 1
