"""Transfers that die at any operation: nothing half done is seen, and the next run goes on."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

import pytest

from ahstore.errors import StorageError
from ahstore.hub.hub import Hub
from ahstore.packs.reader import PackReader, list_packs
from ahstore.storage.contract import Storage
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from ahstore.transfer import sinks
from ahstore.transfer.importing import import_bundle
from ahstore.transfer.packing import Packer
from ahstore.transfer.results import TransferResult
from ahstore.transfer.sync import SyncOptions, sync
from ahstore.upkeep.fsck import check
from ahstore.versions.repository import Repository
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side, bundle_of, opened
from tests.transfer.test_sync import fill, noise

_names = itertools.count()


class Killed(BaseException):
    """Stands for the end of the process: nobody handles it."""


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "Packer", functools.partial(Packer, target_bytes=2**20))
    monkeypatch.setattr(sinks, "LOOK_AROUND_BYTES", 1)


@pytest.fixture
def source(make_side: MakeSide) -> Side:
    side = make_side("memory")
    fill(side)
    side.commit(side.asset(), {"large": noise(5 * 2**20, 3)})
    return side


@pytest.fixture
def new_store() -> Iterator[Callable[[], Repository]]:
    made = []

    def make() -> Repository:
        made.append(f"killed-{next(_names)}")
        return Repository.open(f"memory://{made[-1]}", create=True)

    yield make
    for name in made:
        MemoryStorage.forget(name)


def dying() -> Callable[[str], BaseException]:
    """Return what is raised: the end of the process once, and then a storage out of reach.

    For threads of this process live on, that end leases later: nothing they do gets there.
    """
    over = itertools.count()
    return lambda _: StorageError("the process is dead") if next(over) else Killed()


def over(repo: Repository, storage: Storage) -> Hub:
    """Return the store as another process sees it that has just started."""
    settings = {"id": repo.creation_id, "chunking": repo.cutting.to_value()}
    return Hub(Repository(storage, settings, None), "ann")


def blobs(storage: Storage) -> set[tuple[int, bytes]]:
    reader = PackReader(storage)
    return {
        (place.kind, address)
        for family, pack in list_packs(storage)
        for address, place in reader.read_index(family, pack)
    }


Transfer = Callable[[Hub], TransferResult]


def by_sync(source: Side) -> Transfer:
    return lambda hub: sync(source.hub, hub)


def by_bundle(source: Side) -> Transfer:
    data = bundle_of(source, "model", "dataset")

    def run(hub: Hub) -> TransferResult:
        with opened(data) as bundle:
            return import_bundle(hub, bundle, SyncOptions())

    return run


@pytest.mark.parametrize("way", [by_sync, by_bundle])
def test_killed_anywhere_nothing_half_is_seen_and_the_next_run_goes_on(
    source: Side, new_store: Callable[[], Repository], way: Callable[[Side], Transfer]
) -> None:
    transfer = way(source)
    plain = new_store()
    recorded = RecordingStorage(plain.storage)
    transfer(over(plain, recorded))
    wanted = source.snapshot()
    needed = blobs(plain.storage)
    # A look is not worth dying at: only what changes the store.
    points = [
        at
        for at, call in enumerate(recorded.calls)
        if call.op in ("create", "new_file", "commit", "delete")
    ]
    resumed_with_less = 0
    for point in [*points[:3], *points[3:-7:6], *points[-7:]]:
        store = new_store()
        faults = FaultyStorage(store.storage)
        struck = faults.fail("*", dying(), skip=point, times=10**9)
        with pytest.raises((Killed, StorageError)):
            transfer(over(store, faults))
        assert struck.hits
        seen = Side(over(store, store.storage), source.work).snapshot()
        # Every ref that is there is whole, to the last byte, and as at the source.
        assert {key: seen[key] for key in seen if key in wanted} == seen
        assert not check(over(store, store.storage).repo).damages
        left = blobs(store.storage)
        result = transfer(over(store, store.storage))
        resumed_with_less += bool(left)
        now = blobs(store.storage)
        # What had arrived was not sent again: each blob that is needed is in one pack only,
        # but for catalogue pages, which each side writes for itself.
        assert result.traffic.sent <= len(needed - left)
        assert needed >= {blob for blob in now if blob[0] in (1, 3)}
        assert Side(over(store, store.storage), source.work).snapshot() == wanted
        assert len(list(list_packs(store.storage))) < 80
    assert resumed_with_less > 5


def test_a_full_disk_is_told_and_the_next_run_goes_on(
    source: Side, new_store: Callable[[], Repository]
) -> None:
    for op in ("write", "commit", "create"):
        for skip in (0, 3, 9):
            store = new_store()
            faults = FaultyStorage(store.storage)
            under = "cells/ref" if op == "create" else "packs/"
            fault = faults.fail(op, under=under, skip=skip)
            try:
                sync(source.hub, over(store, faults))
            except StorageError:
                assert fault.hits
            else:
                assert not fault.hits
            sync(source.hub, over(store, store.storage))
            assert Side(over(store, store.storage), source.work).snapshot() == source.snapshot()
