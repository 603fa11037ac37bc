"""Leases: held, extended, ended, revoked; and the holes that a model of the protocol found."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ahstore.errors import CorruptError, LeaseLostError, OutcomeUnknownError, StorageError
from ahstore.ids import Address, CommitId
from ahstore.storage.cells import Cell, CellConflictError, Cells
from ahstore.storage.contract import Capabilities, Storage
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.lease_record import (
    SILENCE_SECONDS,
    LeaseRecord,
    LeaseStatus,
    beat,
    heartbeat_key,
    is_dead,
    lease_cell,
)
from ahstore.storage.leases import (
    Lease,
    find_lease,
    list_leases,
    remove_record,
    remove_remains,
    revoke,
)
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.process import ProcessIdentity

CELL = Cell("ref", ("one", "main"))
OTHER = Cell("ref", ("one", "other"))
PIN = CommitId(Address(b"c" * 32))


class BucketStorage(MemoryStorage):
    """Like a bucket: it has no folders that could be gone, and its clock can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(keeps_folders=False)
        self.seconds = 1e9

    def _check_cell(self, key: str, folder: str, name: str) -> None:
        pass

    def now(self) -> float:
        return self.seconds


@pytest.fixture(params=["bucket", "memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> FaultyStorage:
    inner: dict[str, Storage] = {
        "bucket": BucketStorage(),
        "memory": MemoryStorage(),
        "local": LocalStorage(tmp_path / "store", create=True),
    }
    return FaultyStorage(inner[request.param])


@pytest.fixture
def cells(storage: FaultyStorage) -> Cells:
    return Cells(storage, pause=lambda _seconds: None)


@pytest.fixture
def gc(storage: FaultyStorage) -> Cells:
    """Another process's view, which no fault strikes."""
    return Cells(storage.inner)


def only(cells: Cells) -> LeaseRecord:
    (record,) = list_leases(cells)
    return record


def test_a_lease_is_seen_by_others(cells: Cells, gc: Cells) -> None:
    lease = Lease.take(cells, [CELL, CELL], pins=[PIN], purpose="commit")
    lease.check()
    record = only(gc)
    assert record == lease.record
    assert (record.cells, record.pins, record.purpose) == ((CELL,), (PIN,), "commit")
    assert record.status is LeaseStatus.ACTIVE
    assert record.holder == ProcessIdentity.current()
    assert not is_dead(gc.storage, record)


def test_extended_and_ended(cells: Cells, gc: Cells) -> None:
    lease = Lease.take(cells, [CELL])
    lease.extend([CELL])
    assert only(gc).number == 0  # nothing new to say
    lease.extend([OTHER], pins=[PIN])
    lease.check()
    assert (only(gc).cells, only(gc).pins, only(gc).number) == ((CELL, OTHER), (PIN,), 1)
    lease.end()
    lease.end()
    assert list(list_leases(gc)) == []
    assert list(gc.storage.list("")) == []
    for use in (lease.check, lambda: lease.extend([Cell("ref", ("x", "y"))])):
        with pytest.raises(LeaseLostError):
            use()


def test_revoked(cells: Cells, gc: Cells) -> None:
    lease = Lease.take(cells, [CELL])
    revoked = revoke(gc, lease.id)
    assert revoked
    assert (revoked.status, revoked.cells) == (LeaseStatus.REVOKED, (CELL,))
    with pytest.raises(LeaseLostError):
        lease.check()
    with pytest.raises(LeaseLostError):
        lease.extend([OTHER])
    lease.end()
    # Whoever finds it revoked has to fence its cells too: its record stays until that is done.
    assert only(gc) == revoked == revoke(gc, lease.id)


def test_gone_counts_as_revoked(cells: Cells, gc: Cells) -> None:
    lease = Lease.take(cells, [CELL])
    revoked = revoke(gc, lease.id)
    assert revoked
    remove_record(gc, lease.id, revoked.number)
    with pytest.raises(LeaseLostError):
        lease.check()
    assert revoke(gc, lease.id) is None
    lease.end()
    assert list(list_leases(gc)) == []


def test_an_extension_that_wins_back_a_removed_number(
    storage: FaultyStorage, cells: Cells, gc: Cells
) -> None:
    # Paused in extend while gc revoked, fenced and tidied up: the number is free again, and the
    # holder would publish to what gc deletes from.
    lease = Lease.take(cells, [CELL])

    def tidy(_key: str) -> None:
        revoked = revoke(gc, lease.id)
        assert revoked
        remove_record(gc, lease.id, revoked.number)

    storage.pause("create", tidy)
    with pytest.raises(LeaseLostError):
        lease.extend([OTHER])
    with pytest.raises(LeaseLostError):
        lease.check()
    assert find_lease(gc, lease.id) is None


def test_a_check_between_the_steps_of_a_removal(cells: Cells, gc: Cells) -> None:
    lease = Lease.take(cells, [CELL])
    lease.extend([OTHER])
    revoked = revoke(gc, lease.id)
    assert revoked
    folder = lease_cell(lease.id).folder
    for key in sorted(gc.storage.list(folder), reverse=True):
        with pytest.raises(LeaseLostError):
            lease.check()
        gc.storage.delete(key)
    with pytest.raises(LeaseLostError):
        lease.check()


def test_what_a_removal_cut_short_leaves_can_be_removed(
    storage: FaultyStorage, cells: Cells, gc: Cells
) -> None:
    kept = Lease.take(cells, [CELL])
    lease = Lease.take(cells, [CELL])
    lease.extend([OTHER])
    storage.fail("delete", skip=1, times=10)
    lease.end()
    assert [record.id for record in list_leases(gc)] == [kept.id]
    assert len(list(gc.list("lease"))) == 2
    assert remove_remains(gc) == 1
    assert [cell.key for cell in gc.list("lease")] == [(kept.id,)]
    kept.check()


def test_a_revocation_that_loses_to_an_extension(
    storage: FaultyStorage, cells: Cells, gc: Cells
) -> None:
    # gc would fence only the cells it saw before.
    lease = Lease.take(gc, [CELL])
    storage.pause("create", lambda _key: lease.extend([OTHER]))
    revoked = revoke(cells, lease.id)
    assert revoked
    assert (revoked.status, revoked.cells, revoked.number) == (
        LeaseStatus.REVOKED,
        (CELL, OTHER),
        2,
    )


def test_a_revocation_that_loses_to_the_end(
    storage: FaultyStorage, cells: Cells, gc: Cells
) -> None:
    lease = Lease.take(gc, [CELL])
    storage.pause("create", lambda _key: lease.end())
    # A bucket has no folder to be gone: there the revocation creates the number anew.
    assert revoke(cells, lease.id) is None
    assert list(gc.storage.list("")) == []


def test_end_and_revocation_at_once(tmp_path: Path) -> None:
    root = tmp_path / "store"
    LocalStorage(root, create=True)
    for _ in range(30):
        holder, gc = Cells(LocalStorage(root)), Cells(LocalStorage(root))
        lease = Lease.take(holder, [CELL])
        outcome: list[LeaseRecord | None] = []

        def work(gc: Cells = gc, lease: Lease = lease, outcome: list = outcome) -> None:
            outcome.append(revoke(gc, lease.id))

        thread = threading.Thread(target=work)
        thread.start()
        lease.end()
        thread.join()
        # Revoked or not: it is over, and what is left of the record is nobody's lease.
        assert list(list_leases(gc)) == []
        if outcome[0] is not None and outcome[0].status is LeaseStatus.REVOKED:
            remove_record(gc, lease.id, outcome[0].number)
        remove_remains(gc)
        assert list(gc.storage.list("cells/lease/")) == []


def test_a_lost_reply_to_taking_never_uses_the_id_again(
    storage: FaultyStorage, cells: Cells, gc: Cells
) -> None:
    # A first sending that lands late would raise from the dead what gc has fenced and removed.
    storage.lose_reply("create")
    ids: list[str] = []
    storage.pause("create", ids.append, times=10)
    lease = Lease.take(cells, [CELL])
    lease.check()
    active = [record for record in list_leases(gc) if record.status is LeaseStatus.ACTIVE]
    assert active == [lease.record]
    assert ids[0].split("/")[2] != lease.id


def test_taking_fails_when_nothing_answers(storage: FaultyStorage, cells: Cells) -> None:
    storage.lose_request("create", times=100)
    with pytest.raises(OutcomeUnknownError):
        Lease.take(cells, [CELL])


@pytest.mark.parametrize("op", ["create", "delete"])
def test_a_lease_that_can_not_be_ended_is_no_failure(
    storage: FaultyStorage, cells: Cells, op: str
) -> None:
    # The commit is done; to report a failure now would make the user do it again.
    lease = Lease.take(cells, [CELL])
    storage.fail(op, times=100)
    lease.end()


def test_the_block_ends_the_lease_unless_its_outcome_is_unknown(cells: Cells, gc: Cells) -> None:
    with Lease.take(cells, [CELL]):
        assert only(gc)
    with pytest.raises(StorageError), Lease.take(cells, [CELL]):
        raise StorageError("plain failure")
    assert list(list_leases(gc)) == []
    with pytest.raises(OutcomeUnknownError), Lease.take(cells, [CELL]):
        raise OutcomeUnknownError("it may land yet: gc must fence the cell")
    assert only(gc).status is LeaseStatus.ACTIVE


def test_the_holder_was_killed(tmp_path: Path) -> None:
    gc = Cells(LocalStorage(tmp_path / "store", create=True))
    child = os.fork()
    if child == 0:
        Lease.take(Cells(LocalStorage(tmp_path / "store")), [CELL])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    record = only(gc)
    assert record.holder.pid == child
    assert is_dead(gc.storage, record)  # at once, so that gc need not wait on a laptop
    revoked = revoke(gc, record.id)
    assert revoked
    fence = gc.fence(CELL)
    with pytest.raises(CellConflictError):
        gc.swap(CELL, fence.number - 1, {"late": True})
    remove_record(gc, record.id, revoked.number)
    assert list(list_leases(gc)) == []


def test_elsewhere_silence_decides() -> None:
    storage = BucketStorage()
    cells = Cells(storage)
    elsewhere = replace(ProcessIdentity.current(), host="another")
    lease = Lease.take(cells, [CELL], holder=elsewhere)
    storage.seconds += SILENCE_SECONDS
    assert not is_dead(storage, only(cells))
    lease.beat(force=True)
    storage.seconds += SILENCE_SECONDS
    assert not is_dead(storage, only(cells))
    storage.seconds += 1
    assert is_dead(storage, only(cells))
    beat(storage, lease.id)
    lease.check()  # a heartbeat never touches the record
    assert not is_dead(storage, only(cells))


def test_heartbeats_are_sparing(storage: FaultyStorage, cells: Cells) -> None:
    lease = Lease.take(cells, [CELL])
    for _ in range(100):
        lease.beat()
    assert not storage.exists(heartbeat_key(lease.id))
    storage.fail("replace")
    lease.beat(force=True)  # a heartbeat that fails is no failure of the work
    lease.beat(force=True)
    assert storage.exists(heartbeat_key(lease.id))
    lease.end()
    assert not storage.exists(heartbeat_key(lease.id))


@pytest.mark.parametrize("left", [b"", b"\0" * 200, b"AHS1CELL"])
def test_a_record_torn_by_a_power_loss(tmp_path: Path, left: bytes) -> None:
    # Leases are not synced. One torn record must neither stop gc for ever nor count as ended.
    cells = Cells(LocalStorage(tmp_path, create=True))
    lease = Lease.take(cells, [CELL])
    path = tmp_path / next(cells.storage.list(lease_cell(lease.id).folder))
    path.chmod(0o644)
    path.write_bytes(left)
    record = only(cells)
    assert (record.status, record.id) == (LeaseStatus.DAMAGED, lease.id)
    assert not is_dead(cells.storage, record)
    os.utime(path, (1e9, 1e9))
    assert is_dead(cells.storage, only(cells))
    with pytest.raises(CorruptError):
        lease.check()  # should the holder live after all, he publishes nothing
    remove_record(cells, record.id, record.number)
    assert list(list_leases(cells)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": "odd"},
        {"status": None},
        {"status": "damaged"},
        {"cells": [["ref"]]},
        {"cells": [["ref", ""]]},
        {"cells": [["ref", 1]]},
        {"cells": "ref"},
        {"pins": [b"short"]},
        {"pins": None},
        {"holder": {}},
        {"purpose": 1},
    ],
)
def test_what_is_no_record_of_a_lease(change: dict) -> None:
    cells = Cells(MemoryStorage())
    lease = Lease.take(cells, [CELL])
    version = cells.read(lease_cell(lease.id))
    with pytest.raises(CorruptError):
        LeaseRecord.from_version(lease.id, replace(version, value={**version.value, **change}))
