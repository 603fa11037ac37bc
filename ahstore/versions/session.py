"""A writer's session: lease, reused packs confirmed, own packs written, then one compare-and-swap.

The steps are those of the writer in docs/format/write-order.md, in that order: (1) lease naming
the cells, (2) gc's condemned list, (3) reused packs confirmed, (4) own packs durable, (5) head
read, (6) lease checked, (7) next version of the cell created, (8) lease ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ahstore.codec.canonical import Value
from ahstore.codec.digests import sha256
from ahstore.errors import ConflictError, OutcomeUnknownError
from ahstore.ids import Address, ChunkId, CommitId, PackId, PageId, RecordId
from ahstore.objects.commit import Commit, encode
from ahstore.packs.place import Family, Kind, Place
from ahstore.packs.writer import FinishedPack, PackWriter
from ahstore.storage.cells import Cell, CellConflictError, Cells, CellState, CellVersion
from ahstore.storage.leases import Lease

if TYPE_CHECKING:
    from ahstore.versions.repository import Repository

GC_CELL = Cell("gc", ("main",))
PACK_TARGET_BYTES = 256 * 2**20
MAX_ATTEMPTS = 200
MAX_BACKOFF_SECONDS = 0.5
LOCATED_PAGES = 16
LOOK_AROUND_BYTES = 2**20

Result = TypeVar("Result")


class WriteSession:
    """Collects new blobs in packs and publishes them by moving one of the session's cells.

    Blobs that the store has already are not written again. Nothing is reachable, and nothing of a
    failed session is visible, before a cell was swapped. For one thread; not reusable.
    """

    def __init__(self, repo: Repository, cells: Sequence[Cell]) -> None:
        self._repo = repo
        self._lease = Lease.take(repo.cells, cells)
        self._unresolved = False
        try:
            self._condemned = _condemned_packs(repo.cells)
        except BaseException:
            self._lease.end()
            raise
        self._present: dict[PackId, bool] = {}
        self._own: dict[tuple[Kind, Address], Place | None] = {}
        self._writers: dict[Family, PackWriter] = {}
        self._finished: list[FinishedPack] = []
        self._new_bytes = 0

    def close(self) -> None:
        """Give up what was not published and end the lease."""
        for writer in self._writers.values():
            writer.abort()
        self._writers.clear()
        # Only now, for others may wait for the cell's lock; until then `_own` knows.
        if self._finished:
            self._repo.index.add(*self._finished)
        # A create whose fate is unknown may still land: the lease then has to stay (protocol, 8).
        if not self._unresolved:
            self._lease.end()

    def beat(self) -> None:
        """Show that the writer lives, for work that puts nothing for long; cheap to call often."""
        self._lease.beat()

    # Blobs.

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """Store a chunk and return its id; one that the store has is not written again."""
        self._lease.beat()
        address = sha256(data)
        stored = self.has(Kind.CHUNK, address)
        if not stored and self._look_around(len(data)):
            stored = self.has(Kind.CHUNK, address)
        if not stored:
            self._add("data", Kind.CHUNK, address, data)
        return ChunkId(address)

    def put_chunks(self, ids: Sequence[ChunkId], chunks: Sequence[bytes | memoryview]) -> None:
        """Store many small chunks by their ids, asking the index for all at once."""
        self._lease.beat()
        self._look_around(sum(map(len, chunks)))
        own = self._own
        new = {i: data for i, data in zip(ids, chunks, strict=True) if (Kind.CHUNK, i) not in own}
        for chunk, place in self._repo.index.find_many(Kind.CHUNK, new).items():
            if self._confirm(place):
                del new[chunk]
        for chunk, data in new.items():
            self._add("data", Kind.CHUNK, chunk, data)

    def _look_around(self, size: int) -> bool:
        """Once, before much is written, learn of the packs that others have written."""
        self._new_bytes += size
        crossed = self._new_bytes >= LOOK_AROUND_BYTES > self._new_bytes - size
        if crossed:
            self._repo.index.refresh()
        return crossed

    def put_page(self, data: bytes) -> PageId:
        """Store a tree page and return its id."""
        return PageId(self._put_meta(Kind.PAGE, data))

    def put_record(self, data: bytes) -> RecordId:
        """Store a record and return its id."""
        return RecordId(self._put_meta(Kind.RECORD, data))

    def put_commit(self, commit: Commit) -> CommitId:
        """Store a commit and return its id."""
        return CommitId(self._put_meta(Kind.COMMIT, encode(commit)))

    def has(self, kind: Kind, address: Address) -> bool:
        """Say whether a blob is in this session or in a pack confirmed present and not condemned."""
        if (kind, address) in self._own:
            return True
        place = self._repo.index.find(kind, address)
        return place is not None and self._confirm(place)

    def has_all(self, kind: Kind, addresses: Sequence[Address]) -> bool:
        """Like :meth:`has`, for many at once."""
        rest = [a for a in addresses if (kind, a) not in self._own]
        places = self._repo.index.find_many(kind, rest)
        return len(places) == len(set(rest)) and all(map(self._confirm, places.values()))

    def _put_meta(self, kind: Kind, data: bytes) -> Address:
        address = sha256(data)
        if not self.has(kind, address):
            self._add("meta", kind, address, data)
        return address

    def _add(self, family: Family, kind: Kind, address: Address, data: bytes | memoryview) -> None:
        writer = self._writers.get(family)
        if writer is None:
            writer = self._writers[family] = PackWriter(self._repo.storage, family)
        writer.add(kind, address, data)
        self._own[kind, address] = None
        if writer.size >= PACK_TARGET_BYTES:
            self._finish(family)

    def _confirm(self, place: Place) -> bool:
        known = self._present.get(place.pack)
        if known is None:
            known = place.pack not in self._condemned and self._repo.pack_exists(
                place.pack, place.family
            )
            self._present[place.pack] = known
        return known

    # Publishing.

    def flush(self) -> None:
        """Make everything put so far durable; data before what refers to it."""
        for family in ("data", "meta"):
            self._finish("data" if family == "data" else "meta")

    def _finish(self, family: Family) -> None:
        writer = self._writers.pop(family, None)
        finished = writer.finish() if writer else None
        if finished is None:
            return
        self._present[finished.id] = True
        if family == "meta":
            for address, place in finished.entries:
                self._own[place.kind, address] = place
        self._finished.append(finished)

    def newest_places(self) -> list[tuple[Address, Place]]:
        """Return where the newest flushed commit and pages lie: locators for a branch's cell."""
        found: list[tuple[Address, Place]] = []
        for (kind, address), place in reversed(self._own.items()):
            if len(found) > LOCATED_PAGES or kind not in (Kind.PAGE, Kind.COMMIT):
                break
            if place is not None:
                found.append((address, place))
        return found

    def swap(self, cell: Cell, expected: int, value: dict[str, Value]) -> CellVersion:
        """Publish: create the cell's next version after everything put so far is durable.

        Raises:
            CellConflictError: the number was taken; read again, build again, try again.
            LeaseLostError: this writer was held for dead and must start again.
            OutcomeUnknownError: no answer came and reading back gave none.
        """
        self.flush()
        self._lease.check()
        try:
            return self._repo.cells.swap(cell, expected, value)
        except OutcomeUnknownError:
            self._unresolved = True
            raise

    def update(
        self, cell: Cell, change: Callable[[CellVersion, WriteSession], dict[str, Value] | None]
    ) -> CellVersion:
        """Read, change and swap a cell until it succeeds; see :meth:`Repository.update`."""

        def attempt() -> CellVersion:
            current = self._repo.cells.read(cell)
            value = change(current, self)
            return current if value is None else self.swap(cell, current.number, value)

        return retried(self._repo, cell, attempt)

    @staticmethod
    def kill(cells: Cells, cell: Cell) -> CellVersion:
        """Append a tombstone; no lease is needed for what only takes away."""

        def attempt() -> CellVersion:
            current = cells.read(cell)
            if current.state is not CellState.LIVE:
                return current
            return cells.kill(cell, current.number)

        return _until_won(attempt, cell)


def retried(repo: Repository, cell: Cell, attempt: Callable[[], Result]) -> Result:
    """Run ``attempt`` under the cell's courtesy lock until it loses no race.

    Raises:
        ConflictError: every one of many attempts lost.
    """
    with repo.storage.lock(cell.folder):
        return _until_won(attempt, cell)


def _until_won(attempt: Callable[[], Result], cell: Cell) -> Result:
    for count in range(MAX_ATTEMPTS):
        try:
            return attempt()
        except CellConflictError:
            # Full jitter, so that those who collided do not collide again.
            time.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, 0.001 * 2 ** min(count, 16))))  # noqa: S311
    raise ConflictError(
        f"{MAX_ATTEMPTS} attempts to change {'/'.join(cell.key)} lost to other writers; try again",
        cell=cell.folder,
    )


def _condemned_packs(cells: Cells) -> frozenset[PackId]:
    """Return the packs that gc may be deleting: those of an open plan or of a final list."""
    gc = cells.read(GC_CELL)
    if gc.state is not CellState.LIVE or gc.value.get("phase") not in ("open", "final"):
        return frozenset()
    packs = gc.value.get("packs")
    return frozenset(PackId(str(p)) for p in packs) if isinstance(packs, list) else frozenset()
