"""One lease for many operations: kept, extended, given up to gc, shared by threads, never leaked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.errors import LeaseLostError, OutcomeUnknownError
from ahstore.ids import ChunkId
from ahstore.packs.place import Kind
from ahstore.storage.cells import Cell
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.lease_record import LeaseRecord, LeaseStatus
from ahstore.storage.leases import list_leases, revoke
from ahstore.storage.recording import RecordingStorage
from ahstore.versions import crew, lease_keeper
from ahstore.versions.lease_keeper import GC_CELL, MAX_CELLS
from ahstore.versions.repository import Repository

CELL = Cell("test", ("one",))
OTHER = Cell("test", ("two",))


def over(repo: Repository, storage: RecordingStorage | FaultyStorage) -> Repository:
    settings = {"id": repo.creation_id, "chunking": repo.cutting.to_value()}
    return Repository(storage, settings, None)


def leases(repo: Repository) -> list[LeaseRecord]:
    return [r for r in list_leases(repo.cells) if r.status is LeaseStatus.ACTIVE]


def publish(repo: Repository, cell: Cell = CELL, data: bytes = b"data") -> None:
    with repo.session([cell]) as session:
        session.put_chunk(data)
        session.swap(cell, repo.cells.read(cell).number, {"n": 1})


def plan(repo: Repository, phase: str, packs: list[str]) -> None:
    """Do what a gc does to the gc cell."""
    repo.cells.swap(GC_CELL, repo.cells.read(GC_CELL).number, {"phase": phase, "packs": packs})


def test_the_next_operation_goes_on_under_the_same_lease(repo: Repository) -> None:
    publish(repo)
    (first,) = leases(repo)
    publish(repo)
    publish(repo, OTHER)
    (second,) = leases(repo)
    assert second.id == first.id
    assert (first.cells, second.cells) == ((CELL,), (CELL, OTHER))


def test_a_pack_confirmed_under_the_lease_is_not_looked_for_again(repo: Repository) -> None:
    recording = RecordingStorage(repo.storage)
    mine = over(repo, recording)
    publish(repo)  # by another process
    repo.close()
    for _ in range(3):
        publish(mine)
    assert recording.count("exists", under="packs/") == 1
    mine.close()


def test_an_open_plan_ends_the_lease_and_is_heeded(repo: Repository) -> None:
    """gc waits for a lease that was there before its plan: a busy writer would hold it up for ever.

    And what the old lease had confirmed may be deleted as soon as it is gone.
    """
    publish(repo)
    (first,) = leases(repo)
    pack = repo.place(Kind.CHUNK, chunk_of(b"data")).pack
    plan(repo, "open", [pack])
    publish(repo)
    (second,) = leases(repo)
    assert second.id != first.id
    assert len(list(repo.storage.list("packs/"))) == 2
    publish(repo)
    assert [r.id for r in leases(repo)] == [second.id], "that plan was open when it began"


def test_confirmations_end_with_the_version_of_the_gc_cell(repo: Repository) -> None:
    recording = RecordingStorage(repo.storage)
    mine = over(repo, recording)
    publish(mine)
    before = leases(repo)
    plan(repo, "done", [])
    publish(mine)
    assert leases(repo) == before
    assert recording.count("exists", under="packs/") == 1
    mine.close()


def chunk_of(data: bytes) -> ChunkId:
    from ahstore.codec.digests import sha256

    return ChunkId(sha256(data))


def test_a_lease_that_was_taken_away_while_idle_costs_nothing(repo: Repository) -> None:
    publish(repo)
    publish(repo, OTHER)
    for record in leases(repo):
        revoke(repo.cells, record.id)
    third = Cell("test", ("three",))
    publish(repo, third)  # it had to be extended, which found it lost
    assert [r.cells for r in leases(repo)] == [(third,)]


def test_one_that_is_lost_before_the_commit_point_stops_it_and_is_not_used_again(
    repo: Repository,
) -> None:
    publish(repo)
    for record in leases(repo):
        revoke(repo.cells, record.id)
    with pytest.raises(LeaseLostError):
        publish(repo)
    assert repo.cells.read(CELL).number == 0
    publish(repo)
    assert repo.cells.read(CELL).number == 1


def test_after_a_sleep_the_lease_is_looked_at_before_it_is_used(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that was closed would fail its first commit: gc elsewhere took it for dead."""
    publish(repo)
    for record in leases(repo):
        revoke(repo.cells, record.id)
    asleep = lease_keeper._now() + 3600
    monkeypatch.setattr(lease_keeper, "_now", lambda: asleep)
    publish(repo)
    assert repo.cells.read(CELL).number == 1


def test_an_idle_lease_is_ended_soon(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_keeper, "IDLE_SECONDS", 0.05)
    publish(repo)
    wait_until(lambda: not leases(repo))
    publish(repo)
    assert len(leases(repo)) == 1


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_threads_share_it_and_the_last_one_ends_it(repo: Repository) -> None:
    """The first to finish must not end it: a create of the other's could land unfenced."""
    with repo.session([CELL]) as session:
        repo.leases.rest()  # as when the store is closed, or has been idle
        with repo.session([OTHER]) as other:
            assert len(leases(repo)) == 2, "who comes later takes a lease of his own"
            other.swap(OTHER, -1, {})
        session.swap(CELL, -1, {})
    assert [r.cells for r in leases(repo)] == [(OTHER,)]


def test_two_at_once(repo: Repository) -> None:
    failures: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for n in range(30):
                publish(repo, Cell("test", (f"{who}-{n % 7}",)), data=b"%d" % n)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(leases(repo)) == 1
    repo.leases.rest()
    assert leases(repo) == []


def test_a_lease_names_no_more_than_so_many_cells(repo: Repository) -> None:
    """Each extension writes all names again."""
    for n in range(MAX_CELLS + 1):
        publish(repo, Cell("test", (str(n),)))
    (record,) = leases(repo)
    assert record.cells == (Cell("test", (str(MAX_CELLS),)),)


def test_an_unresolved_create_keeps_its_lease_for_ever(repo: Repository) -> None:
    """It may land when gc has looked: only the lease makes gc fence the cell."""
    faults = FaultyStorage(repo.storage)
    mine = over(repo, faults)
    publish(mine)
    (first,) = leases(repo)
    mine.cells._pause = lambda _seconds: None
    faults.lose_request("create", under="cells/test/", times=100)
    with pytest.raises(OutcomeUnknownError):
        publish(mine)
    faults.clear()
    publish(mine)
    assert len(leases(repo)) == 2
    mine.close()
    assert [r.id for r in leases(repo)] == [first.id]


def test_a_forked_child_leaves_its_parents_lease_alone(tmp_path: Path) -> None:
    repo = Repository.open((tmp_path / "store").as_uri(), create=True)
    publish(repo)
    (mine,) = leases(repo)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            repo.leases.rest()
            with repo.session([OTHER]) as session:
                session.swap(OTHER, -1, {})
            repo.leases.rest()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert [r.id for r in leases(repo)] == [mine.id]
    assert repo.cells.read(OTHER).number == 0
    repo.close()


def test_a_process_may_still_be_forked_for_small_files(repo: Repository) -> None:
    """The thread that ends idle leases would else keep each later commit to one core."""
    publish(repo)
    alone = crew.processes()
    assert "ahstore-later" not in [thread.name for thread in threading.enumerate()]
    assert alone == crew.processes()
    publish(repo)
    assert "ahstore-later" in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("ending", ["repo.close()", "", "raise SystemExit(0)"])
def test_a_process_that_ends_leaves_no_lease(tmp_path: Path, ending: str) -> None:
    """gc would wait for nobody, or have to find out first that the holder is dead."""
    repo = Repository.open((tmp_path / "store").as_uri(), create=True)
    program = f"""
import sys
from ahstore.storage.cells import Cell
from ahstore.versions.repository import Repository
repo = Repository.open(sys.argv[1])
with repo.session([Cell("test", ("one",))]) as session:
    session.swap(Cell("test", ("one",)), -1, {{}})
{ending}
"""
    subprocess.run([sys.executable, "-c", program, repo.url], check=True, timeout=60)
    assert repo.cells.read(CELL).number == 0
    assert list(repo.storage.list("cells/lease/")) == []
    repo.close()
