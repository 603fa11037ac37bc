"""What the record of a lease says, and whether its holder is dead.

Implements docs/format/cells.md, "Leases": the value of a cell ``lease/<id>``. Reading it decides
nothing; ``leases.py`` takes, ends and revokes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError, StorageError
from ahstore.ids import Address, CommitId, LeaseId, check_address
from ahstore.storage.cells import Cell, CellVersion
from ahstore.storage.contract import MissingError, Storage
from ahstore.storage.paths import escape
from ahstore.storage.process import ProcessIdentity

KIND = "lease"

HEARTBEAT_SECONDS = 15.0
"""How often the holder of a lease shows that it lives, when it works for long."""

SILENCE_SECONDS = 180.0
"""After so much silence the holder on another machine is held for dead."""


class LeaseStatus(enum.Enum):
    """The status of a lease; the value is how it is stored."""

    ACTIVE = "active"
    ENDED = "ended"
    REVOKED = "revoked"
    DAMAGED = "damaged"
    """Never stored: the record can't be read, for a power loss took its unsynced bytes. Once
    ``is_dead`` says so it may be removed without a fence: the holder went with the power, and if
    he did not, his own ``check`` fails."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The newest version of a lease.

    Attributes:
        id: the lease's own.
        number: the version's number in the lease's cell.
        status: whether it holds.
        cells: the cells that its holder may publish to.
        pins: commits that its holder reads; gc keeps them.
        holder: the process that took it.
        purpose: for people.
        time: when this version was written, by the storage's clock.
        nonce: of this version.
    """

    id: LeaseId
    number: int
    status: LeaseStatus
    cells: tuple[Cell, ...]
    pins: tuple[CommitId, ...]
    holder: ProcessIdentity
    purpose: str
    time: float
    nonce: bytes

    def to_value(self) -> dict[str, Value]:
        """Return the value of the lease's cell."""
        return {
            "cells": [[cell.kind, *cell.key] for cell in self.cells],
            "holder": self.holder.to_value(),
            "pins": list(self.pins),
            "purpose": self.purpose,
            "status": self.status.value,
        }

    @classmethod
    def from_version(cls, lease: LeaseId, version: CellVersion) -> LeaseRecord:
        """Return what a version of the lease's cell says.

        Raises:
            CorruptError: it is not a lease's.
        """
        value = version.value
        purpose = value.get("purpose")
        if type(purpose) is not str:
            raise CorruptError(f"lease {lease}: not the record of a lease")
        try:
            status = LeaseStatus(value.get("status"))
            pins = tuple(CommitId(_address(pin)) for pin in _items(value.get("pins")))
        except (ValueError, InvalidInputError) as error:
            raise CorruptError(f"lease {lease}: {error}") from error
        if status is LeaseStatus.DAMAGED:
            raise CorruptError(f"lease {lease}: a status that is never stored")
        return cls(
            id=lease,
            number=version.number,
            status=status,
            cells=tuple(_cell(item) for item in _items(value.get("cells"))),
            pins=pins,
            holder=ProcessIdentity.from_value(value.get("holder")),
            purpose=purpose,
            time=version.time,
            nonce=version.nonce,
        )


def damaged_record(lease: LeaseId, number: int, written: float) -> LeaseRecord:
    """Return what stands for a record that can't be read; its holder is not known."""
    return LeaseRecord(
        id=lease,
        number=number,
        status=LeaseStatus.DAMAGED,
        cells=(),
        pins=(),
        holder=ProcessIdentity(host="", boot="", namespace="", pid=0, start=0),
        purpose="",
        time=written,
        nonce=b"",
    )


def _address(value: Value) -> Address:
    return check_address(value)


def _items(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise CorruptError("not the record of a lease")
    return value


def _cell(value: Value) -> Cell:
    parts = [part for part in _items(value) if type(part) is str and part]
    if len(parts) < 2 or len(parts) != len(_items(value)):
        raise CorruptError("the record of a lease names no cell where it should")
    return Cell(parts[0], tuple(parts[1:]))


def lease_cell(lease: LeaseId) -> Cell:
    """Return the cell of a lease."""
    return Cell(KIND, (lease,))


def heartbeat_key(lease: LeaseId) -> str:
    """Return the key of the hint whose time says when the holder last showed itself."""
    return f"hints/heartbeat/{escape(lease)}"


def is_dead(
    storage: Storage, record: LeaseRecord, *, silence_seconds: float = SILENCE_SECONDS
) -> bool:
    """Tell whether the lease's holder is dead, or has to be held for dead.

    On the holder's machine its process is looked up; elsewhere silence decides, by the storage's
    clock. To be wrong costs the holder his work, never anyone's data: a revoked lease's cells are
    fenced before anything is deleted.
    """
    if record.holder.is_here():
        return not record.holder.is_alive()
    try:
        heard = max(record.time, storage.stat(heartbeat_key(record.id)).mtime)
    except MissingError:
        heard = record.time
    return storage.now() - heard > silence_seconds


def beat(storage: Storage, lease: LeaseId) -> bool:
    """Show that the lease's holder is alive; False if the storage did not take it."""
    try:
        storage.replace(heartbeat_key(lease), b"")
    except StorageError:
        return False
    return True
