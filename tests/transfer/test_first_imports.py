"""Two who bring the same asset to a store that has not got it yet, at once: nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import pytest

from ahstore.errors import AhError, AlreadyExistsError, ConflictError
from ahstore.hub.hub import Hub
from ahstore.hub.paths import parse
from ahstore.ids import CommitId
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.transfer.importing import import_bundle
from ahstore.transfer.results import TransferResult
from ahstore.transfer.sync import SyncOptions, sync
from ahstore.upkeep.fsck import check
from ahstore.versions.history.ancestry import is_ancestor
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side, bundle_of, opened

_names = itertools.count()
PATH = "model/img/net"


class Unlocked(FaultyStorage):
    """Without the courtesy lock, on which correctness must not rest."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class Sources:
    """Two stores with the same model, which goes on in ``new``, or in both. Each has a branch too."""

    old: Side
    new: Side


@pytest.fixture(params=["ahead", "apart"])
def sources(request: pytest.FixtureRequest, make_side: MakeSide) -> Sources:
    old, new = make_side("memory"), make_side("memory")
    model = old.asset()
    old.commit(model, {"a": b"1"})
    sync(old.hub, new.hub)
    new.commit(model, {"a": b"2"})
    new.branch(model, "of-new", new.head(model) or CommitId(b""))
    if request.param == "apart":
        old.commit(model, {"b": b"3"})
    old.branch(model, "of-old", old.head(model) or CommitId(b""))
    return Sources(old, new)


Bring = Callable[[Side, Hub], TransferResult]


def by_sync(side: Side, hub: Hub, path: str = PATH) -> TransferResult:
    return sync(side.hub, hub, [PATH], SyncOptions(as_path=parse(path) if path != PATH else None))


def by_bundle(side: Side, hub: Hub, path: str = PATH) -> TransferResult:
    with opened(bundle_of(side, "model")) as bundle:
        as_path = parse(path) if path != PATH else None
        return import_bundle(hub, bundle, SyncOptions(as_path=as_path))


@pytest.fixture
def new_store() -> Iterator[Callable[[], Repository]]:
    made = []

    def make() -> Repository:
        made.append(f"first-{next(_names)}")
        return Repository.open(f"memory://{made[-1]}", create=True)

    yield make
    for name in made:
        MemoryStorage.forget(name)


def over(repo: Repository) -> tuple[Hub, Unlocked]:
    """Return the store as another process sees it, and its storage to stop it at."""
    settings = {"id": repo.creation_id, "chunking": repo.cutting.to_value()}
    storage = Unlocked(repo.storage)
    return Hub(Repository(storage, settings, None), "ann"), storage


def tried(hub: Hub, bring: Callable[[Hub], TransferResult]) -> TransferResult | AhError:
    """Return what a process told that did this and ended."""
    try:
        return bring(hub)
    except (ConflictError, AlreadyExistsError) as error:
        return error
    finally:
        hub.repo.leases.rest()


STEPS = pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.long)])


@STEPS
@pytest.mark.parametrize("way", [by_sync, by_bundle])
@pytest.mark.parametrize("turn", ["old first", "new first"])
def test_what_either_was_told_to_have_brought_is_there(
    sources: Sources, new_store: Callable[[], Repository], way: Bring, turn: str, step: int
) -> None:
    """The second took the branches of the first for what a dead transfer had left, and put its own
    in their place: commits that were acknowledged were gone."""
    one, two = (sources.old, sources.new) if turn == "old first" else (sources.new, sources.old)
    for point in range(0, 1000, step):
        store = new_store()
        first, faults = over(store)
        second, _ = over(store)
        said: list[TransferResult | AhError] = []
        struck = faults.pause(
            "*",
            lambda _, second=second, said=said: said.append(tried(second, partial(way, two))),
            skip=point,
        )
        said.append(tried(first, partial(way, one)))
        assert_nothing_lost(store, said, point)
        # Whatever was refused can be done again, and what one has beyond the other comes too.
        for side in (sources.old, sources.new):
            sync(side.hub, over(store)[0], [PATH])
        refs = {ref.name for ref in Refs(store).list(sources.old.asset().id)}
        assert refs == {"main", "of-old", "of-new"}, point
        if not struck.hits:
            return
    pytest.fail("it never ended")


def assert_nothing_lost(
    store: Repository, said: list[TransferResult | AhError], point: int
) -> None:
    hub, _ = over(store)
    assert any(isinstance(each, TransferResult) for each in said), (point, said)
    for each in said:
        for asset in each.assets if isinstance(each, TransferResult) else ():
            assert hub.get_asset_by_id(asset.id).id == asset.id
            for ref in asset.refs:
                head = Refs(hub.repo).get(asset.id, ref.name).commit
                assert ref.after is not None
                assert is_ancestor(hub.repo, ref.after, head), (point, ref, head.hex())
    assert check(hub.repo).clean, point


@STEPS
@pytest.mark.parametrize("elsewhere", ["model/other/net", "model/img/other"])
def test_an_asset_has_one_place_whoever_brings_it(
    sources: Sources, new_store: Callable[[], Repository], elsewhere: str, step: int
) -> None:
    """The same model under two names would be one whose deletion takes the other's branches."""
    model = sources.old.asset()

    def to_there(hub: Hub) -> TransferResult:
        return by_sync(sources.new, hub, elsewhere)

    for point in range(0, 1000, step):
        store = new_store()
        first, faults = over(store)
        second, _ = over(store)
        said: list[TransferResult | AhError] = []
        struck = faults.pause(
            "*",
            lambda _, second=second, said=said: said.append(tried(second, to_there)),
            skip=point,
        )
        said.append(tried(first, lambda hub: by_sync(sources.old, hub)))
        hub, _ = over(store)
        places = [
            asset.path
            for folder in hub.list_folders()
            for asset in hub.list_assets(folder)
            if asset.id == model.id
        ]
        assert places == [hub.get_asset_by_id(model.id).path], (point, said)
        for each in said:
            if isinstance(each, TransferResult):
                assert [asset.path for asset in each.assets] == places, point
        assert_nothing_lost(store, said, point)
        if not struck.hits:
            return
    pytest.fail("it never ended")


def test_a_deleted_asset_that_comes_again_is_as_at_its_source(
    sources: Sources, new_store: Callable[[], Repository]
) -> None:
    # It had a branch too much, of which nobody knew, and could not be evaluated any more.
    hub, faults = over(new_store())
    by_sync(sources.new, hub)
    model = hub.get_asset(hub.get_folder("model", "img"), "net")
    dataset = hub.create_asset(hub.create_folder("dataset", "d"), "d")
    hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    fault = faults.fail("create", under=f"cells/ref/{model.id}/of-new")
    hub.delete_asset(model.id)
    assert fault.hits, "the deletion was cut short"
    by_sync(sources.old, hub)
    assert {ref.name for ref in Refs(hub.repo).list(model.id)} == {"main", "of-old"}
    hub.delete_asset(model.id)
    by_sync(sources.old, hub)
    hub.create_evaluation(model, "main", dataset, "main", {"metric": 2})
    assert len(hub.list_evaluations(model)) == 1


def test_two_threads_of_one_process_do_not_bring_one_asset_at_once(
    sources: Sources, new_store: Callable[[], Repository]
) -> None:
    # They share a lease, by which nobody could tell the one's branches from what is left over.
    hub, faults = over(new_store())
    said: list[AhError] = []
    faults.pause(
        "create",
        lambda _: said.append(_refused(lambda: by_sync(sources.new, hub))),
        under="cells/ref/",
    )
    by_sync(sources.old, hub)
    assert [type(each) for each in said] == [ConflictError]
    by_sync(sources.new, hub)


def _refused(bring: Callable[[], TransferResult]) -> AhError:
    with pytest.raises(ConflictError) as raised:
        bring()
    return raised.value
