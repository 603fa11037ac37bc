"""A writer's session: lease, reused packs confirmed, own packs written, then one compare-and-swap.

The steps are those of the writer in docs/format/write-order.md, in that order: (1) lease naming
the cells, (2) gc's condemned list, (3) reused packs confirmed, (4) own packs durable, (5) head
read, (6) lease checked, (7) next version of the cell created, (8) lease released. What lease it is,
and how long it is kept, is the business of ``lease_keeper``.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ahstore.codec.canonical import Value
from ahstore.codec.digests import sha256
from ahstore.errors import ConflictError, OutcomeUnknownError
from ahstore.ids import Address, ChunkId, CommitId, PageId, RecordId
from ahstore.index.recent_packs import FIELD as PACKS
from ahstore.index.recent_packs import RecentPack, encode_recent
from ahstore.objects.commit import Commit, encode
from ahstore.objects.page import is_leaf
from ahstore.packs.place import Family, Kind, Place
from ahstore.packs.writer import FinishedPack, PackWriter
from ahstore.storage.cell_version import cell_folder
from ahstore.storage.cells import Cell, CellConflictError, Cells, CellState, CellVersion
from ahstore.storage.lease_record import LeaseStatus
from ahstore.storage.leases import list_leases
from ahstore.versions.finishing import Finishing
from ahstore.versions.gc_plan import GC_CELL
from ahstore.versions.locators import PLACES, encode_places

if TYPE_CHECKING:
    from ahstore.versions.repository import Repository

__all__ = ["GC_CELL", "WriteSession", "retried"]

PACK_TARGET_BYTES = 256 * 2**20
SMALL_BYTES = 512 * 1024
"""Chunks of a session that has no more of them go into its meta pack: one file to write, not two."""

MAX_ATTEMPTS = 200
MAX_BACKOFF_SECONDS = 0.5
LOCATED_PAGES = 16
RECENT_BLOBS = 64
LOOK_AROUND_BYTES = 2**20

Result = TypeVar("Result")


class WriteSession:
    """Collects new blobs in packs and publishes them by moving one of the session's cells.

    Blobs that the store has already are not written again. Nothing is reachable, and nothing of a
    failed session is visible, before a cell was swapped. For one thread; not reusable.
    """

    def __init__(self, repo: Repository, cells: Sequence[Cell]) -> None:
        self._repo = repo
        self._held = repo.leases.hold(cells)
        self._present = self._held.confirmed.present
        self._condemned = self._held.confirmed.condemned
        self._own: dict[tuple[Kind, Address], Place | None] = {}
        # Chunks that wait in memory, until they are many or the meta pack is written.
        self._small: dict[Address, bytes] | None = {}
        self._small_bytes = 0
        self._writers: dict[Family, PackWriter] = {}
        self._finishing = Finishing()
        self._finished: list[FinishedPack] = []
        self._new_bytes = 0
        self._put_last: deque[tuple[Kind, Address, bytes]] = deque(maxlen=RECENT_BLOBS)
        # Few, and every way through the tree leads over them.
        self._put_inner: deque[tuple[Kind, Address, bytes]] = deque(maxlen=RECENT_BLOBS)

    def close(self) -> None:
        """Give up what was not published and release the lease."""
        try:
            self._finished += self._finishing.abandon()
            for writer in self._writers.values():
                writer.abort()
            self._writers.clear()
            # Only now, for others may wait for the cell's lock; until then `_own` knows.
            if self._finished:
                self._repo.index.add(*self._finished)
        finally:
            self._held.release()

    def held_by_others(self) -> set[Cell]:
        """Return the cells that other processes may be about to publish to, by their leases.

        Only who has ended his lease, or is known to be dead, is not: silence, by which gc judges,
        is not enough where another's work would be taken for rubbish.
        """
        return {
            cell
            for record in list_leases(self._repo.cells)
            if record.id != self._held.id and record.status is not LeaseStatus.ENDED
            if not record.holder.is_here() or record.holder.is_alive()
            for cell in record.cells
        }

    def beat(self) -> None:
        """Show that the writer lives, for work that puts nothing for long; cheap to call often."""
        self._held.beat()

    # Blobs.

    def put_chunk(self, data: bytes | memoryview) -> ChunkId:
        """Store a chunk and return its id; one that the store has is not written again."""
        self._held.beat()
        address = sha256(data)
        stored = self.has(Kind.CHUNK, address)
        if not stored and self._look_around(len(data)):
            stored = self.has(Kind.CHUNK, address)
        if not stored:
            self._add_chunk(address, data)
        return ChunkId(address)

    def put_chunks(self, ids: Sequence[ChunkId], chunks: Sequence[bytes | memoryview]) -> None:
        """Store many small chunks by their ids, asking the index for all at once."""
        self._held.beat()
        self._look_around(sum(map(len, chunks)))
        own = self._own
        new = {i: data for i, data in zip(ids, chunks, strict=True) if (Kind.CHUNK, i) not in own}
        for chunk, place in self._repo.index.find_many(Kind.CHUNK, new).items():
            if self._confirm(place):
                del new[chunk]
        for chunk, data in new.items():
            self._add_chunk(chunk, data)

    def _add_chunk(self, address: Address, data: bytes | memoryview) -> None:
        small = self._small
        if small is None:
            self._add("data", Kind.CHUNK, address, data)
            return
        self._small_bytes += len(data)
        if self._small_bytes <= SMALL_BYTES:
            small[address] = bytes(data)
            self._own[Kind.CHUNK, address] = None
            return
        # Not small any more: all of it, and what comes, goes where data goes.
        self._small = None
        for earlier, kept in small.items():
            self._add("data", Kind.CHUNK, earlier, kept)
        self._add("data", Kind.CHUNK, address, data)

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
        inner = kind is Kind.PAGE and not is_leaf(data)
        (self._put_inner if inner else self._put_last).append((kind, address, data))
        return address

    def _add(self, family: Family, kind: Kind, address: Address, data: bytes | memoryview) -> None:
        writer = self._writers.get(family)
        if writer is None:
            writer = self._writers[family] = PackWriter(
                self._repo.storage, family, self._repo.pack_ids.draw()
            )
        writer.add(kind, address, data)
        self._own[kind, address] = None
        if writer.size >= PACK_TARGET_BYTES:
            del self._writers[family]
            self._finishing.start(writer)

    def _confirm(self, place: Place) -> bool:
        known = self._present.get(place.pack)
        if known is None:
            known = place.pack not in self._condemned and self._repo.pack_exists(
                place.pack, place.family
            )
            self._present[place.pack] = known
        return known

    # Publishing.

    def start_flush(self) -> None:
        """Begin to make the data put so far durable, beside what the caller does next.

        What is too little for a pack of its own stays in memory until ``flush``.
        """
        if self._small:
            small, self._small = self._small, {}
            self._small_bytes = 0
            for address, data in small.items():
                self._add("meta", Kind.CHUNK, address, data)
        writer = self._writers.pop("data", None)
        if writer is not None:
            self._finishing.start(writer)

    def flush(self) -> None:
        """Make everything put so far durable; data before what refers to it.

        Raises:
            StorageError: a pack could not be published.
        """
        self.start_flush()
        for finished in self._finishing.wait(self._held.beat):
            self._learn(finished)
        writer = self._writers.pop("meta", None)
        last = writer.finish() if writer else None
        if last is not None:
            self._learn(last)
        # Now they are in the store, and what is done next is likely to begin with them.
        for put in (self._put_last, self._put_inner):
            while put:
                self._repo.recent_blobs.put(*put.popleft())

    def settle(self) -> None:
        """Make everything put so far durable, and let this process find it."""
        self.flush()
        if self._finished:
            self._repo.index.add(*self._finished)
            self._finished.clear()

    def _learn(self, finished: FinishedPack) -> None:
        self._present[finished.id] = True
        if finished.family == "meta":
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
        located = self._with_locators(cell, value)
        self._held.check()
        try:
            return self._repo.cells.swap(cell, expected, located)
        except OutcomeUnknownError:
            # It may still land: the lease then has to stay (protocol, 8).
            self._held.leave_unresolved()
            raise

    def _with_locators(self, cell: Cell, value: dict[str, Value]) -> dict[str, Value]:
        """Add to a value where what it needs was just written."""
        # A ref may build on other refs of its asset.
        prefix = cell_folder(cell.kind, cell.key[:1]) if cell.kind == "ref" else cell.folder
        own = [RecentPack(pack.family, pack.id, pack.size) for pack in self._finished]
        packs = self._repo.packs_told(prefix, own)
        located = dict(value)
        if packs:
            located[PACKS] = encode_recent(packs)
        if own and PLACES not in located:
            located[PLACES] = encode_places(self.newest_places())
        return located

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
    def kill(
        cells: Cells,
        cell: Cell,
        *,
        why: dict[str, Value] | None = None,
        still: Callable[[], bool] | None = None,
    ) -> CellVersion:
        """Append a tombstone; no lease is needed for what only takes away."""

        def attempt() -> CellVersion:
            current = cells.read(cell)
            if current.state is not CellState.LIVE or not (still is None or still()):
                return current
            return cells.kill(cell, current.number, why)

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
