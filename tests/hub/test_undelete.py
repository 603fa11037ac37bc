"""Deleted assets and folders brought back: what comes with them, until when, and beside others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ahstore.errors import AhError, AlreadyExistsError, ConflictError, NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, FolderRecord
from ahstore.storage.cells import CellState
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.refs import Refs, ref_cell
from tests.hub.kit import Killed, Two

KEEP = Policy(min_age=0.0, wait=0.0)
NOW = Policy(now=True, wait=0.0)
_counter = itertools.count()


@dataclass
class Scene:
    """A model with three branches and a tag, of which ``old`` was deleted; and an evaluation."""

    two: Two
    folder: FolderRecord
    model: AssetRecord
    dataset: AssetRecord

    def names(self) -> dict[str, str]:
        """What the model has: names of refs by kind."""
        return {ref.name: ref.kind for ref in Refs(self.two.plain).list(self.model.id)}


ALL = {"main": "branch", "dev": "branch", "v1": "tag"}


def scene() -> Scene:
    two = Two(f"memory://hub-undelete-{next(_counter)}")
    ann = two.ann
    folder = ann.create_folder("model", "f", labels=["a"])
    # Beyond what fits in a row: its record must come back, too.
    model = ann.create_asset(folder, "m", labels=["x"], description="long " * 2000)
    dataset = ann.create_asset(ann.create_folder("dataset", "f"), "d")
    refs = Refs(ann.repo)
    main = refs.get(model.id, "main").commit
    refs.create(model.id, "dev", "branch", main, by="ann", via="main")
    refs.create(model.id, "v1", "tag", main, by="ann", via="main")
    refs.create(model.id, "old", "branch", main, by="ann", via="main")
    refs.delete(model.id, "old", "branch")
    ann.create_evaluation(model, "dev", dataset, "main", {"metric": 1})
    ann.repo.leases.rest()
    return Scene(two, folder, model, dataset)


def test_an_asset_comes_back_with_all_that_was_deleted_with_it() -> None:
    at = scene()
    ann = at.two.ann
    (evaluation,) = ann.list_evaluations(at.model)
    before = at.two.everything()
    ann.delete_asset(at.model.id)
    with pytest.raises(NotFoundError):
        at.two.bob.get_asset_by_id(at.model.id)
    assert at.two.bob.undelete_asset(at.folder, "m") == at.model
    assert at.two.everything() == before
    # What the user had deleted by itself stays deleted, and can be asked for by itself.
    assert at.names() == ALL
    assert at.two.bob.list_evaluations(at.model) == [evaluation]
    ann.create_evaluation(at.model, "v1", at.dataset, "main", {"metric": 2})
    assert check(at.two.plain).clean


def test_a_folder_comes_back_with_the_assets_that_were_in_it() -> None:
    at = scene()
    ann = at.two.ann
    ann.delete_asset(ann.create_asset(at.folder, "gone").id)
    before = at.two.everything()
    ann.delete_folder(at.folder.id, force=True)
    assert at.two.bob.find_folder("model", "f", owner="ann") is None
    assert at.two.bob.undelete_folder("model", "f", owner="ann") == at.folder
    assert at.two.everything() == before
    assert at.names() == ALL
    # It is a folder like any other: things are made, deleted and brought back in it.
    ann.create_asset(at.folder, "new")
    assert ann.undelete_asset(at.folder, "gone").name == "gone"
    ann.delete_folder(at.folder.id, force=True)
    assert ann.undelete_folder("model", "f") == at.folder
    assert [a.name for a in ann.list_assets(at.folder)] == ["gone", "m", "new"]
    assert check(at.two.plain).clean


def test_an_empty_folder_comes_back() -> None:
    two = Two(f"memory://hub-undelete-{next(_counter)}")
    folder = two.ann.create_folder("dataset", "e")
    two.ann.delete_folder(folder.id)
    assert two.ann.undelete_folder("dataset", "e") == folder
    two.ann.create_asset(folder, "d")


def test_the_last_of_a_name_comes_back_first() -> None:
    at = scene()
    ann = at.two.ann
    ann.delete_asset(at.model.id)
    second = ann.create_asset(at.folder, "m")
    with pytest.raises(AlreadyExistsError, match="another model 'm' by now"):
        ann.undelete_asset(at.folder, "m")
    assert ann.get_asset(at.folder, "m") == second
    ann.delete_asset(second.id)
    assert ann.undelete_asset(at.folder, "m") == second
    with pytest.raises(AlreadyExistsError, match="another"):
        ann.undelete_asset(at.folder, "m")
    ann.update_asset(second.id, name="n")
    assert ann.undelete_asset(at.folder, "m") == at.model
    with pytest.raises(AlreadyExistsError, match="is not deleted"):
        ann.undelete_asset(at.folder, "m")


def test_a_folder_whose_name_was_taken_waits_for_it() -> None:
    at = scene()
    ann = at.two.ann
    ann.delete_folder(at.folder.id, force=True)
    second = ann.create_folder("model", "f")
    with pytest.raises(AlreadyExistsError, match="another model folder 'f' by now"):
        ann.undelete_folder("model", "f")
    ann.update_folder(second.id, name="g")
    assert ann.undelete_folder("model", "f") == at.folder
    assert ann.list_assets(second) == []
    with pytest.raises(AlreadyExistsError, match="is not deleted"):
        ann.undelete_folder("model", "f")


def test_what_was_renamed_is_brought_back_by_its_last_name() -> None:
    at = scene()
    ann = at.two.ann
    ann.update_asset(at.model.id, name="renamed")
    with pytest.raises(NotFoundError, match="never was one"):
        ann.undelete_asset(at.folder, "m")
    ann.delete_asset(at.model.id)
    with pytest.raises(NotFoundError):
        ann.undelete_asset(at.folder, "m")
    assert ann.undelete_asset(at.folder, "renamed").id == at.model.id


def test_what_never_was_does_not_come_back() -> None:
    at = scene()
    for call in (
        lambda: at.two.ann.undelete_asset(at.folder, "nope"),
        lambda: at.two.ann.undelete_folder("model", "nope"),
        lambda: at.two.ann.undelete_folder("dataset", "x", owner="bob"),
    ):
        with pytest.raises(NotFoundError, match="never was one, or gc"):
            call()


# gc.


@pytest.mark.parametrize("what", ["asset", "folder"])
def test_gc_keeps_what_can_come_back_and_then_gives_it_back(what: str) -> None:
    at = scene()
    ann = at.two.ann
    commit = Refs(ann.repo).get(at.model.id, "dev").commit
    before = at.two.everything()

    def delete() -> None:
        if what == "asset":
            ann.delete_asset(at.model.id)
        else:
            ann.delete_folder(at.folder.id, force=True)

    def undelete() -> None:
        if what == "asset":
            ann.undelete_asset(at.folder, "m")
        else:
            ann.undelete_folder("model", "f")

    delete()
    ann.repo.leases.rest()
    collect(at.two.plain, KEEP)
    undelete()
    assert at.two.everything() == before
    # Nothing of it may hang on what a gc would still let go.
    ann.repo.leases.rest()
    collect(at.two.plain, NOW)
    assert at.two.everything() == before
    assert at.names() == ALL
    assert check(at.two.plain).clean
    delete()
    ann.repo.leases.rest()
    collect(at.two.plain, NOW)
    with pytest.raises(NotFoundError, match="gc has taken it away"):
        undelete()
    assert check(at.two.plain).clean
    with pytest.raises(NotFoundError):
        at.two.over(at.two.plain.storage).read_commit(commit)


def test_what_gc_has_taken_a_part_of_does_not_come_back_in_part() -> None:
    """Half a model would look like a whole one."""
    at = scene()
    ann = at.two.ann
    ann.delete_asset(at.model.id)
    cell = ref_cell(at.model.id, "dev")
    for version in list(at.two.plain.cells.history(cell)):
        if version.state is CellState.LIVE:
            at.two.plain.cells.hollow(cell, version)
    before = at.two.everything()
    with pytest.raises(NotFoundError, match=r"'dev' of model 'm' is gone: gc has taken it away"):
        at.two.bob.undelete_asset(at.folder, "m")
    assert at.two.everything() == before
    assert at.names() == {}


# Death, and others at the same time.

STEPS = pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.long)])
"""At every ninth operation on the storage, or in the long form at each."""

Operation = Callable[[Hub, Scene], object]


def _undelete_asset(hub: Hub, at: Scene) -> object:
    return hub.undelete_asset(hub.get_folder_by_id(at.folder.id), "m")


def _undelete_folder(hub: Hub, _: Scene) -> object:
    return hub.undelete_folder("model", "f", owner="ann")


def _delete_asset(hub: Hub, at: Scene) -> object:
    return hub.delete_asset(at.model.id)


def _delete_folder(hub: Hub, at: Scene) -> object:
    return hub.delete_folder(at.folder.id, force=True)


def _make_asset(hub: Hub, at: Scene) -> object:
    return hub.create_asset(at.folder.id, "m")


def _make_folder(hub: Hub, _: Scene) -> object:
    return Hub(hub.repo, "ann").create_folder("model", "f")


def _gc(hub: Hub, _: Scene) -> object:
    return collect(hub.repo, KEEP)


PAIRS: dict[str, tuple[Operation, Operation]] = {
    "asset": (_delete_asset, _undelete_asset),
    "folder": (_delete_folder, _undelete_folder),
}


@STEPS
@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.parametrize("swept", [False, True], ids=["", "gc"])
def test_who_dies_bringing_something_back_leaves_it_deleted_or_back(
    what: str, swept: bool, step: int
) -> None:
    delete, undelete = PAIRS[what]
    for point in range(0, 1000, step):
        at = scene()
        new = at.two.everything()
        delete(at.two.ann, at)
        old = at.two.everything()
        at.two.kill(skip=point)
        try:
            undelete(at.two.ann, at)
        except Killed:
            died = True
        else:
            died = False
            at.two.faults.clear()
        seen = at.two.everything()
        assert seen in (old, new), f"died at operation {point}"
        assert died or seen == new
        if swept and died:
            # As when a gc has fenced what the lease of the dead names, and removed it.
            for lease in at.two.plain.cells.list("lease"):
                for version in at.two.plain.storage.list(lease.folder):
                    at.two.plain.storage.delete(version)
            collect(at.two.plain, KEEP)
            assert at.two.everything() == seen, f"died at operation {point}"
            if seen == old:
                assert at.names() == {}, f"died at operation {point}: half of it lives on"
        if seen == old:
            undelete(at.two.bob, at)
        assert at.two.everything() == new, f"died at operation {point}"
        assert at.names() == ALL, f"died at operation {point}"
        if not died:
            return
    pytest.fail("it never ended")


def told(operation: Operation, hub: Hub, at: Scene) -> str:
    """Return what an operation said."""
    try:
        operation(hub, at)
    except (AlreadyExistsError, NotFoundError, ConflictError) as error:
        return type(error).__name__
    return "done"


def whole(at: Scene) -> bool:
    """Tell whether the model is there, whole; False: it is not there at all. Else it is torn."""
    hub = at.two.bob
    try:
        hub.get_asset_by_id(at.model.id)
    except NotFoundError:
        return False
    assert at.names() == ALL
    assert len(hub.list_evaluations(at.model)) == 1
    hub.create_evaluation(at.model, "main", at.dataset, "main", {"metric": 2})
    return True


BESIDE: dict[str, tuple[bool, Operation, Operation]] = {
    # Whether it is deleted at first; who is stopped; who then runs whole.
    "delete asset, undelete": (False, _delete_asset, _undelete_asset),
    "delete folder, undelete": (False, _delete_folder, _undelete_folder),
    "undelete asset, delete": (True, _undelete_asset, _delete_asset),
    "undelete folder, delete": (True, _undelete_folder, _delete_folder),
    "undelete asset twice": (True, _undelete_asset, _undelete_asset),
    "undelete folder twice": (True, _undelete_folder, _undelete_folder),
    "undelete asset, make": (True, _undelete_asset, _make_asset),
    "undelete folder, make": (True, _undelete_folder, _make_folder),
    "make folder, undelete": (True, _make_folder, _undelete_folder),
    "undelete asset, gc": (True, _undelete_asset, _gc),
    "undelete folder, gc": (True, _undelete_folder, _gc),
}


@STEPS
@pytest.mark.parametrize("name", BESIDE)
def test_beside_others_a_model_is_whole_or_gone(name: str, step: int) -> None:
    """A deletion that goes on while the model comes back would leave it without branches."""
    deleted, first, second = BESIDE[name]
    for point in range(0, 1000, step):
        at = scene()
        if deleted:
            PAIRS["folder" if "folder" in name else "asset"][0](at.two.ann, at)
        answers: list[str] = []
        # gc would wait for a lease of this very process, which is stopped.
        bob = Hub(at.two.over(at.two.plain.storage), "bob")
        fault = at.two.faults.pause(
            "*",
            lambda _, bob=bob, at=at, answers=answers: answers.append(_or_busy(second, bob, at)),
            skip=point,
        )
        answer = told(first, at.two.ann, at)
        at.two.ann.repo.leases.rest()
        bob.repo.leases.rest()
        there = whole(at)
        said = [(first, answer), *((second, each) for each in answers)]
        undeleted = any(
            each == "done" for by, each in said if by in (_undelete_asset, _undelete_folder)
        )
        if deleted:
            assert undeleted or not there, (point, said)
        if second not in (_delete_asset, _delete_folder):
            assert there or not undeleted, (point, said)
        assert check(at.two.plain).clean, point
        if not fault.hits:
            return
    pytest.fail("it never ended")


def _or_busy(operation: Operation, hub: Hub, at: Scene) -> str:
    try:
        return told(operation, hub, at)
    except AhError as error:
        if "busy" in type(error).__name__.lower():
            return "busy"
        raise
