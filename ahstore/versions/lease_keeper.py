"""One lease for all that a process publishes one after the other, and what it has confirmed.

Implements the writer's part of docs/format/gc.md, "A lease over several operations", which was
model-checked (tests/models/kept_lease_model.py). A lease is kept when an operation is over, for the
next one; it is ended when it has been idle for some seconds, when the store is closed, at exit, and
as soon as a plan of gc is seen that was not open when it began: so gc never waits for it long.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Sequence

from ahstore.errors import LeaseLostError
from ahstore.ids import LeaseId, PackId
from ahstore.storage.cells import Cell, Cells, CellState, CellVersion
from ahstore.storage.lease_record import HEARTBEAT_SECONDS
from ahstore.storage.leases import Lease
from ahstore.versions.background import BACKGROUND
from ahstore.versions.gc_plan import GC_CELL

IDLE_SECONDS = 3.0
"""An idle lease is ended after so long; gc waits for it no longer than that."""

MAX_CELLS = 64
"""A lease that names as many is followed by a new one: extensions write all names again."""


class Confirmed:
    """What one lease has shown of packs while the gc cell stood at one version.

    Attributes:
        condemned: packs that gc may be deleting; never reused.
        present: whether other packs are in the store. They stay, as long as the lease holds.
    """

    __slots__ = ("condemned", "gc_number", "present")

    def __init__(self, gc: CellVersion) -> None:
        self.gc_number = gc.number
        self.condemned = _condemned(gc)
        self.present: dict[PackId, bool] = {}


class _Kept:
    """A lease that operations share; ``users`` counts them. Its lock orders what they do with it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lock = threading.RLock()
        self.users = 0
        self.began: int | None = None  # the gc cell's version when it was read first
        self.confirmed: Confirmed | None = None
        self.used = _now()
        self.retired = False
        self.unresolved = False


class Held:
    """What an operation holds from ``LeaseKeeper.hold`` until ``release``. For one thread."""

    def __init__(self, keeper: LeaseKeeper, kept: _Kept, confirmed: Confirmed) -> None:
        self.confirmed = confirmed
        self._keeper = keeper
        self._kept: _Kept | None = kept
        self._long_at = time.monotonic() + HEARTBEAT_SECONDS
        self._watched = False

    @property
    def id(self) -> LeaseId:
        """The lease that is held, alone or with other operations of this process."""
        return self._get().lease.record.id

    def check(self) -> None:
        """Make sure that the lease holds, right before a commit point.

        Raises:
            LeaseLostError: it was revoked, or is released.
        """
        kept = self._get()
        try:
            with kept.lock:
                kept.lease.check()
        except LeaseLostError:
            self._keeper._retire(kept)
            raise

    def beat(self) -> None:
        """Show that the holder is alive; cheap to call often."""
        if time.monotonic() < self._long_at:
            return
        if not self._watched:
            self._watched = True
            BACKGROUND.watch(self._keeper)  # from now on it beats, whatever this thread waits for
        kept = self._kept
        if kept is not None and kept.retired:
            # Other operations have a new lease, and it is that one that is beaten for.
            with kept.lock:
                kept.lease.beat()

    def leave_unresolved(self) -> None:
        """Say that a create of this operation may still land: the lease is never ended then."""
        kept = self._get()
        kept.unresolved = True
        self._keeper._retire(kept)

    def release(self) -> None:
        """Be done with the operation; the lease may go on to the next one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._keeper._release(kept)

    def _get(self) -> _Kept:
        if self._kept is None:
            raise LeaseLostError("this operation is over, and its lease with it")
        return self._kept


class LeaseKeeper:
    """The leases of one opened store. Threads may share it; a forked child begins anew."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._begin()
        _keepers.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._kept: _Kept | None = None

    def hold(self, names: Sequence[Cell]) -> Held:
        """Return a hold on a lease that names these cells, with the gc cell read under it.

        Raises:
            StorageError, OutcomeUnknownError: no lease could be taken, or the gc cell not be read.
        """
        if self._pid != os.getpid():
            self._begin()  # what it had is the parent's, who uses it and ends it
        while True:
            kept = self._reserve(names)
            try:
                confirmed = self._begin_operation(kept, names)
            except LeaseLostError:
                confirmed = None
            except BaseException:
                self._release(kept)
                raise
            if confirmed is not None:
                return Held(self, kept, confirmed)
            self._retire(kept)
            self._release(kept)

    def _reserve(self, names: Sequence[Cell]) -> _Kept:
        with self._lock:
            if self._kept is None:
                self._kept = _Kept(Lease.take(self._cells, names))
            self._kept.users += 1
            return self._kept

    def _begin_operation(self, kept: _Kept, names: Sequence[Cell]) -> Confirmed | None:
        """Have the lease name the cells, then read the gc cell; None: another lease is needed."""
        with kept.lock:
            if kept.retired:
                return None
            if _now() - kept.used > IDLE_SECONDS:
                kept.lease.check()  # this process was asleep, and perhaps held for dead
            missing = set(names).difference(kept.lease.record.cells)
            if missing and len(kept.lease.record.cells) + len(missing) > MAX_CELLS:
                return None
            kept.lease.extend(names)
        gc = self._cells.read(GC_CELL)
        with kept.lock:
            if kept.began is None:
                kept.began = gc.number
            if gc.number != kept.began and _phase(gc) == "open":
                return None
            if kept.confirmed is None or kept.confirmed.gc_number != gc.number:
                kept.confirmed = Confirmed(gc)
            return kept.confirmed

    def _retire(self, kept: _Kept) -> None:
        """Give the lease to no further operation; the last that uses it ends it."""
        with self._lock:
            kept.retired = True
            if self._kept is kept:
                self._kept = None

    def _release(self, kept: _Kept) -> None:
        with self._lock:
            kept.users -= 1
            kept.used = _now()
            over = kept.retired and not kept.users
        if over:
            _end(kept)
        else:
            BACKGROUND.watch(self)

    def do_due(self, now: float) -> float | None:
        """See ``Chores``: end the lease when it was idle for long, beat when work takes long."""
        with self._lock:
            kept = self._kept
            if kept is None:
                return None
            idle_until = kept.used + IDLE_SECONDS
            if kept.users:
                wake = now + IDLE_SECONDS
            elif _now() < idle_until:
                return now + (idle_until - _now())
            else:
                self._kept, wake = None, None
                kept.retired = True
        if wake is None:
            _end(kept)
        else:
            kept.lease.beat()
        return wake

    def rest(self) -> None:
        """End the lease if no operation uses it: it is not in gc's way then."""
        if self._pid != os.getpid():
            return
        with self._lock:
            kept = self._kept
            if kept is None:
                return
            self._kept = None
            kept.retired = True
            if kept.users:
                return
        _end(kept)


def _end(kept: _Kept) -> None:
    if not kept.unresolved:
        with kept.lock:
            kept.lease.end()


def _now() -> float:
    """Return seconds that go on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _phase(gc: CellVersion) -> object:
    return gc.value.get("phase") if gc.state is CellState.LIVE else None


def _condemned(gc: CellVersion) -> frozenset[PackId]:
    """Return the packs that gc may be deleting: those of an open plan or of a final list."""
    packs = gc.value.get("packs")
    if _phase(gc) not in ("open", "final") or not isinstance(packs, list):
        return frozenset()
    return frozenset(PackId(str(p)) for p in packs)


_keepers: weakref.WeakSet[LeaseKeeper] = weakref.WeakSet()


@atexit.register
def _rest_all() -> None:
    for keeper in list(_keepers):
        keeper.rest()
