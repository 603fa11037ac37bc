"""Leases as gc sees them: those it waits for, those it revokes and fences, and their pins.

Implements step 4 of docs/format/gc.md. A living writer is waited for; the lease of a dead one is
revoked and every cell it names fenced, whoever revoked it. Readers hold pins and no cells: their
commits are roots, and nobody waits for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ahstore.errors import ConflictError, CorruptError
from ahstore.ids import CommitId, LeaseId
from ahstore.storage.lease_record import LeaseRecord, LeaseStatus, is_dead
from ahstore.storage.leases import find_lease, list_leases, remove_record, remove_remains, revoke
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

FIRST_LOOK_SECONDS = 0.05
SLOWEST_LOOK_SECONDS = 2.0


class WriterBusyError(ConflictError):
    """A living writer did not end its lease in time; the plan stays open, and the next gc goes on.

    ``details`` has the lease, its purpose, and host and process of its holder.
    """

    code = "writer-busy"


class Holders:
    """The leases of one store during one plan of gc."""

    def __init__(
        self,
        repo: Repository,
        *,
        wait: float,
        monitor: Monitor = SILENT,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._repo = repo
        self._cells = repo.cells
        self._wait = wait
        self._monitor = monitor
        self._pause = pause
        # What this gc revoked or found revoked, and has fenced: it alone may remove these.
        self._fenced: list[LeaseRecord] = []
        self._over: list[LeaseRecord] = []

    def settle(self) -> list[CommitId]:
        """Wait for, or revoke and fence, all that hold cells now; return the pinned commits.

        Raises:
            WriterBusyError: a living writer goes on for too long.
        """
        pins: list[CommitId] = []
        waiting: list[LeaseRecord] = []
        for record in list_leases(self._cells):
            pins.extend(self._pins_of(record))
            if not self._is_settled(record):
                waiting.append(record)
        self._wait_for(waiting)
        return pins

    def pins(self) -> list[CommitId]:
        """Return the commits that readers have pinned."""
        return [pin for record in list_leases(self._cells) for pin in self._pins_of(record)]

    def settle_dead(self) -> None:
        """Revoke and fence the leases of dead holders; the living are let be."""
        for record in list_leases(self._cells):
            self._is_settled(record)

    def remove_records(self) -> int:
        """Remove the records of leases that have ended or that this gc fenced; return how many."""
        for record in (*self._fenced, *self._over):
            remove_record(self._cells, record.id, record.number)
        count = len(self._fenced) + len(self._over)
        self._fenced, self._over = [], []
        return count + remove_remains(self._cells)

    def _pins_of(self, record: LeaseRecord) -> tuple[CommitId, ...]:
        return record.pins if record.status is LeaseStatus.ACTIVE else ()

    def _is_settled(self, record: LeaseRecord) -> bool:
        """Deal with a lease if it can be done at once; False: its holder lives."""
        if record.status is LeaseStatus.ENDED:
            self._over.append(record)
            return True
        if record.status is LeaseStatus.REVOKED:
            self._fence(record)
            return True
        if not is_dead(self._repo.storage, record):
            # A reader: nobody waits for him.
            return record.status is LeaseStatus.ACTIVE and not record.cells
        self._put_an_end_to(record)
        return True

    def _put_an_end_to(self, record: LeaseRecord) -> None:
        """Revoke the lease of a dead holder, in whatever version it is, and fence its cells."""
        if record.status is LeaseStatus.DAMAGED:
            # Nobody can say what it names; but its holder can't read it either, and so fails.
            self._over.append(record)
            return
        revoked = revoke(self._cells, record.id)
        if revoked is not None:
            self._is_settled(revoked)

    def _fence(self, record: LeaseRecord) -> None:
        for cell in record.cells:
            self._cells.fence(cell)
        self._fenced.append(record)

    def _wait_for(self, waiting: list[LeaseRecord]) -> None:
        if not waiting:
            return
        self._monitor.start(f"Waiting for {_describe(waiting[0])}")
        deadline = time.monotonic() + self._wait
        seconds = FIRST_LOOK_SECONDS
        while waiting:
            waiting = [record for record in waiting if not self._has_gone(record.id)]
            if not waiting:
                break
            if time.monotonic() >= deadline:
                raise _busy(waiting[0])
            self._monitor.advance()
            self._pause(seconds)
            seconds = min(seconds * 1.5, SLOWEST_LOOK_SECONDS)
        self._monitor.finish()

    def _has_gone(self, lease: LeaseId) -> bool:
        try:
            record = find_lease(self._cells, lease)
        except CorruptError:
            record = next((r for r in list_leases(self._cells) if r.id == lease), None)
        return record is None or self._is_settled(record)


def all_are_here(repo: Repository) -> bool:
    """Tell whether every holder of a lease is a process of this machine."""
    return all(record.holder.is_here() for record in list_leases(repo.cells))


def _describe(record: LeaseRecord) -> str:
    what = record.purpose or "a writer"
    if record.holder == ProcessIdentity.current():
        return f"{what} of this very process"
    if record.holder.is_here():
        return f"{what}, process {record.holder.pid}"
    return f"{what} on another machine"


def _busy(record: LeaseRecord) -> WriterBusyError:
    return WriterBusyError(
        f"gc gave up waiting for {_describe(record)}: run it again later, the rest of the store is "
        "unharmed",
        lease=record.id,
        purpose=record.purpose,
        host=record.holder.host,
        pid=record.holder.pid,
    )
