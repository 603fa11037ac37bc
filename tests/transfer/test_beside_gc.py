"""A transfer reads under a pin: what the source's gc takes away meanwhile is none of its commits."""

from __future__ import annotations

import pytest

from ahstore.hub.hub import Hub
from ahstore.storage.faults import FaultyStorage
from ahstore.transfer.sync import sync
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.holders import WriterBusyError
from ahstore.upkeep.policy import Policy
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side
from tests.transfer.test_sync import noise

EVERYTHING = Policy(now=True, retention=0)


def over(repo: Repository, storage: FaultyStorage) -> Hub:
    settings = {"id": repo.creation_id, "chunking": repo.cutting.to_value()}
    return Hub(Repository(storage, settings, None), "ann")


def make(source: Side) -> None:
    model = source.asset()
    source.commit(model, {"a": noise(3 * 2**20, 1)})
    source.branch(model, "dev", source.head(model))  # type: ignore[arg-type]
    source.commit(model, {"b": noise(3 * 2**20, 2), "c": b"c"}, branch="dev")


@pytest.mark.parametrize("skip", [0, 1, 2, 4])
def test_what_is_deleted_at_the_source_while_it_is_read_still_arrives(
    make_side: MakeSide, skip: int
) -> None:
    source, target = make_side("local"), make_side("memory")
    make(source)
    model = source.asset()
    wanted = source.head(model, "dev")

    def meanwhile(_: str) -> None:
        Refs(source.repo).delete(model.id, "dev", "branch")
        source.repo.leases.rest()
        collect(source.repo, EVERYTHING)

    storage = FaultyStorage(source.repo.storage)
    fault = storage.pause("read_range", meanwhile, under="packs/data/", skip=skip)
    sync(over(source.repo, storage), target.hub)
    if fault.hits:
        assert source.head(model, "dev") is None
    assert target.head(model, "dev") == wanted
    assert not check(target.repo).damages


def test_what_a_killed_transfer_left_is_collected(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("local")
    make(source)
    storage = FaultyStorage(target.repo.storage)
    storage.fail("create", under="cells/ref/")
    with pytest.raises(OSError, match="injected"):
        sync(source.hub, over(target.repo, storage))
    left = target.packs()
    assert left
    collect(target.repo, EVERYTHING)
    assert len(target.packs()) < len(left)
    assert not check(target.repo).damages
    sync(source.hub, target.hub)
    assert target.head(source.asset(), "dev") == source.head(source.asset(), "dev")


def test_gc_at_the_target_waits_for_what_arrives(make_side: MakeSide) -> None:
    # Packs that are written and not yet referred to are the transfer's: its lease says so.
    source, target = make_side("memory"), make_side("local")
    make(source)
    storage = FaultyStorage(target.repo.storage)

    def meanwhile(_: str) -> None:
        settings = {"id": target.repo.creation_id, "chunking": target.repo.cutting.to_value()}
        other = Repository(target.repo.storage, settings, None)
        with pytest.raises(WriterBusyError):
            collect(other, Policy(now=True, retention=0, wait=0.2))

    fault = storage.pause("create", meanwhile, under="cells/ref/")
    sync(source.hub, over(target.repo, storage))
    assert fault.hits
    assert not check(target.repo).damages
    assert target.head(source.asset(), "dev") == source.head(source.asset(), "dev")
