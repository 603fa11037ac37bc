"""Leases: what a writer holds while he publishes, so that gc waits for him or fences him off.

Implements the writer's part and the revocation of docs/format/cells.md, "Leases". A lease is a
cell of its own with a random id. Its end and its revocation are versions that race for one
number; whoever loses the number has lost. Heartbeats go to a hint, never to the record.

The record of a lease is the one thing among the cells that is ever removed, oldest version first.
So who was paused may "win" a number that had been taken and removed; but then its predecessor is
gone too. That is why the predecessor is looked at after each win, and why the newest version is
asked for each time, and not remembered. The holder ends his lease by removing its record.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ahstore.errors import (
    ConflictError,
    CorruptError,
    InvalidInputError,
    LeaseLostError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
)
from ahstore.ids import CommitId, LeaseId, new_entity_id, parse_entity_id
from ahstore.storage.cells import Cell, CellConflictError, Cells, CellState
from ahstore.storage.contract import MissingError, Storage
from ahstore.storage.lease_record import (
    HEARTBEAT_SECONDS,
    KIND,
    LeaseRecord,
    LeaseStatus,
    beat,
    damaged_record,
    heartbeat_key,
    lease_cell,
)
from ahstore.storage.paths import version_name
from ahstore.storage.process import ProcessIdentity

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_REVOKE_TRIES = 1_000
_TAKE_TRIES = 5


class Lease:
    """A lease that this process holds. One thread at a time may use it.

    As a context manager it ends with the block, but not after ``OutcomeUnknownError``: a create
    that may still land has to stay covered, so that gc fences its cell.
    """

    def __init__(self, cells: Cells, record: LeaseRecord) -> None:
        self._cells = cells
        self._record = record
        self._beaten = time.monotonic()
        self._has_beaten = False
        self._over = False

    @classmethod
    def take(
        cls,
        cells: Cells,
        names: Sequence[Cell],
        *,
        pins: Sequence[CommitId] = (),
        purpose: str = "",
        holder: ProcessIdentity | None = None,
    ) -> Lease:
        """Take a lease that names every cell to be published to, new ones too.

        Args:
            cells: of the store.
            names: the cells.
            pins: commits that are to stay readable.
            purpose: for people who look at the leases of a store.
            holder: the process that holds it; this one by default.

        Raises:
            StorageError: it failed.
            OutcomeUnknownError: the storage does not answer; what was perhaps written binds nobody.
        """
        record = LeaseRecord(
            id=LeaseId(new_entity_id()),
            number=0,
            status=LeaseStatus.ACTIVE,
            cells=tuple(dict.fromkeys(names)),
            pins=tuple(dict.fromkeys(pins)),
            holder=holder or ProcessIdentity.current(),
            purpose=purpose,
            time=0.0,
            nonce=b"",
        )
        for _ in range(_TAKE_TRIES - 1):
            taken = _take_at_once(cells, record)
            if taken is not None:
                return cls(cells, taken)
            record = replace(record, id=LeaseId(new_entity_id()))
        return cls(cells, _append(cells, record, expected=-1, settle=False))

    @property
    def id(self) -> LeaseId:
        """The lease's id."""
        return self._record.id

    @property
    def record(self) -> LeaseRecord:
        """The version that this process wrote last."""
        return self._record

    def check(self) -> None:
        """Make sure that the lease holds, right before a commit point.

        Raises:
            LeaseLostError: it was revoked, is gone, or has ended.
        """
        if self._over or not self._is_newest():
            raise self._lost()

    def _is_newest(self) -> bool:
        record, storage = self._record, self._cells.storage
        folder = lease_cell(record.id).folder
        # No hint is given: a version that is known may have been removed.
        if storage.newest_version(folder) != record.number:
            return False
        if record.number == 0 and storage.capabilities.local_path is None:
            # Only its taker ever makes version 0, and a bucket keeps a file whole or not at all.
            return True
        try:
            return (
                self._cells.read_version(lease_cell(record.id), record.number).nonce == record.nonce
            )
        except MissingError:
            return False

    def extend(self, names: Sequence[Cell], *, pins: Sequence[CommitId] = ()) -> None:
        """Name further cells and pins before touching them.

        Raises:
            LeaseLostError: it was revoked, is gone, or has ended.
        """
        if self._over:
            raise self._lost()
        old = self._record
        wider = replace(
            old,
            cells=tuple(dict.fromkeys((*old.cells, *names))),
            pins=tuple(dict.fromkeys((*old.pins, *pins))),
        )
        if (wider.cells, wider.pins) == (old.cells, old.pins):
            return
        try:
            new = _append(self._cells, wider, expected=old.number)
        except CellConflictError:
            raise self._lost() from None
        if not _is_there(self._cells, self.id, old.number):
            # The record had been revoked and removed: this number was not free, it was free again.
            raise self._lost()
        self._record = new

    def beat(self, *, force: bool = False) -> None:
        """Show that the holder is alive, if some time has passed since; cheap to call often."""
        now = time.monotonic()
        if force or now - self._beaten >= HEARTBEAT_SECONDS:
            self._beaten = now
            self._has_beaten = True
            beat(self._cells.storage, self.id)

    def end(self) -> None:
        """End the lease by removing its record; harmless if it is lost or over already.

        Never to be called while a create is unresolved. A record that was revoked stays: whoever
        finds it has to fence its cells. A revocation that comes while the record is being removed
        finds its predecessor gone, and so no lease.
        """
        if self._over:
            return
        self._over = True
        # What was published is published: a lease that can't be ended is no failure of that. gc
        # takes it away when this process has ended.
        with contextlib.suppress(StorageError, OutcomeUnknownError):
            folder, storage = lease_cell(self.id).folder, self._cells.storage
            for number in range(self._record.number + 1):
                storage.delete(folder + version_name(number))
            if self._has_beaten:
                storage.delete(heartbeat_key(self.id))

    def _lost(self) -> LeaseLostError:
        self._over = True  # its record is for those who revoked it
        return LeaseLostError(
            "this process was held for dead and its lease was taken away: start again",
            lease=self.id,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, OutcomeUnknownError):
            self.end()


def _append(
    cells: Cells, record: LeaseRecord, *, expected: int, settle: bool = True
) -> LeaseRecord:
    # Not synced: a power loss ends the holder too. See docs/format/cells.md.
    version = cells.swap(
        lease_cell(record.id), expected, record.to_value(), durable=False, settle=settle
    )
    return replace(record, number=version.number, time=version.time, nonce=version.nonce)


def _take_at_once(cells: Cells, record: LeaseRecord) -> LeaseRecord | None:
    """Create version 0; None if no clear answer came, then another id has to be used.

    To send the same again could raise a lease from the dead: the first sending may land after the
    lease was taken, revoked, fenced and removed.
    """
    try:
        return _append(cells, record, expected=-1, settle=False)
    except CellConflictError:
        return None  # a new random id can't be taken: the server says so all the same
    except OutcomeUnknownError:
        given_up = replace(record, status=LeaseStatus.ENDED)
        with contextlib.suppress(StorageError, OutcomeUnknownError, CellConflictError):
            _append(cells, given_up, expected=0)
        return None


def _is_there(cells: Cells, lease: LeaseId, number: int) -> bool:
    return cells.storage.exists(lease_cell(lease).folder + version_name(number))


def find_lease(cells: Cells, lease: LeaseId) -> LeaseRecord | None:
    """Return the newest version of a lease; None if its record is gone, which counts as revoked.

    Raises:
        CorruptError: it is damaged.
    """
    version = cells.read(lease_cell(lease))
    if version.state is not CellState.LIVE:
        return None
    if version.number > 0 and not _is_there(cells, lease, version.number - 1):
        return None  # being removed, or won back by a holder who lost it
    return LeaseRecord.from_version(lease, version)


def list_leases(cells: Cells) -> Iterator[LeaseRecord]:
    """Yield the leases of the store, those too that are revoked, have ended or are damaged."""
    for cell in cells.list(KIND):
        lease = LeaseId(parse_entity_id(cell.key[0]))
        try:
            record = find_lease(cells, lease)
        except CorruptError:
            record = _find_damaged(cells, lease)
        if record is not None:
            yield record


def _find_damaged(cells: Cells, lease: LeaseId) -> LeaseRecord | None:
    folder = lease_cell(lease).folder
    number = cells.storage.newest_version(folder)
    try:
        written = cells.storage.stat(folder + version_name(number)).mtime
    except (NotFoundError, InvalidInputError):
        return None  # it was removed meanwhile
    return damaged_record(lease, number, written)


def revoke(cells: Cells, lease: LeaseId) -> LeaseRecord | None:
    """Revoke a lease and return its last version, whose cells are then to be fenced.

    If its holder extends it first, the newer one is revoked; if he ends it first, or another has
    revoked it, that version is returned. None: the record is gone.

    Raises:
        CorruptError: the record is damaged; see ``LeaseStatus.DAMAGED``.
    """
    for _ in range(_REVOKE_TRIES):
        record = find_lease(cells, lease)
        if record is None or record.status is not LeaseStatus.ACTIVE:
            return record
        try:
            wanted = replace(record, status=LeaseStatus.REVOKED)
            revoked = _append(cells, wanted, expected=record.number)
        except CellConflictError:
            continue
        if _is_there(cells, lease, record.number):
            return revoked
        remove_record(cells, lease, revoked.number)  # won a number that an end had freed again
        return None
    raise ConflictError(f"lease {lease} changes too fast to be revoked", lease=lease)


def remove_record(cells: Cells, lease: LeaseId, newest: int) -> None:
    """Remove the record of a lease that has ended, or that the caller revoked *and* fenced.

    Oldest version first: see the module.
    """
    folder = lease_cell(lease).folder
    storage: Storage = cells.storage
    for number in range(newest + 1):
        storage.delete(folder + version_name(number))
    storage.delete(heartbeat_key(lease))


def remove_remains(cells: Cells) -> int:
    """Remove what is left of records whose removal was cut short, and return their number.

    Anyone may do it: a removal begins when the lease has ended or its cells are fenced.
    """
    removed = 0
    for cell in cells.list(KIND):
        lease = LeaseId(parse_entity_id(cell.key[0]))
        number = cells.storage.newest_version(cell.folder)
        if number > 0 and not _is_there(cells, lease, number - 1):
            remove_record(cells, lease, number)
            removed += 1
    return removed
