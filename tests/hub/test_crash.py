"""Death or failure at every single operation on the storage: the old state or the new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ahstore.errors import NotFoundError, OutcomeUnknownError, StorageError
from ahstore.hub.hub import Hub
from ahstore.ids import AssetId, FolderId
from ahstore.storage.contract import UnsettledError
from tests.hub.kit import Killed, Two


@dataclass
class Scene:
    """What is there before: a folder with a model and its evaluation, and an empty folder."""

    two: Two
    folder: FolderId
    empty: FolderId
    model: AssetId
    dataset: AssetId


def scene(two: Two) -> Scene:
    ann = two.ann
    folder = ann.create_folder("model", "ic", labels=["a"])
    empty = ann.create_folder("model", "empty")
    model = ann.create_asset(folder, "mnist")
    dataset = ann.create_asset(ann.create_folder("dataset", "ic"), "mnist")
    ann.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    return Scene(two, folder.id, empty.id, model.id, dataset.id)


Operation = Callable[[Hub, Scene], object]

OPERATIONS: dict[str, Operation] = {
    "create folder": lambda hub, _: hub.create_folder("model", "new", labels=["x"]),
    "create asset": lambda hub, at: hub.create_asset(at.folder, "new"),
    "first asset": lambda hub, at: hub.create_asset(at.empty, "new"),
    "rename folder": lambda hub, at: hub.update_folder(at.folder, name="new"),
    "label folder": lambda hub, at: hub.update_folder(at.folder, labels=["new"]),
    "rename asset": lambda hub, at: hub.update_asset(at.model, name="new"),
    "describe asset": lambda hub, at: hub.update_asset(at.model, description="x" * 9000),
    "delete asset": lambda hub, at: hub.delete_asset(at.model),
    "delete folder": lambda hub, at: hub.delete_folder(at.empty),
    "delete full folder": lambda hub, at: hub.delete_folder(at.folder, force=True),
    "evaluate": lambda hub, at: hub.create_evaluation(
        at.model, "main", at.dataset, "main", {"metric": 2}
    ),
    "first evaluation": lambda hub, at: hub.create_evaluation(
        hub.get_asset(at.folder, "mnist"), "main", at.dataset, "main", {"metric": list(range(5000))}
    ),
    "delete evaluation": lambda hub, at: hub.delete_evaluation(
        hub.list_evaluations(at.model)[0].id
    ),
}


def shape(seen: dict[str, object]) -> list[tuple[str, object]]:
    """What can be seen but for ids, which every attempt draws anew."""
    return sorted(
        (path.partition("#")[0], repr(what[1:] if isinstance(what, tuple) else what))
        for path, what in seen.items()
    )


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_process_that_dies_anywhere_leaves_the_old_state_or_the_new(
    operation: Operation, request: pytest.FixtureRequest
) -> None:
    # A half made model would be listed without a branch; a half deleted one without its commits.
    name = request.node.callspec.id
    new = None
    for point in range(1000):
        at = scene(Two(f"memory://hub-crash-{name.replace(' ', '-')}-{point}"))
        old = shape(at.two.everything())
        if new is None:
            new = _outcome_undisturbed(name, operation)
        at.two.kill(skip=point)
        try:
            operation(at.two.ann, at)
        except Killed:
            died = True
        else:
            died = False
            at.two.faults.clear()  # it lives on, and ends its lease
        seen = shape(at.two.everything())
        assert seen in (old, new), f"died at operation {point}"
        if not died:
            assert seen == new
            return
        _try_again(at, operation, seen == old, new)
    pytest.fail("it never ended")


def _outcome_undisturbed(name: str, operation: Operation) -> list[tuple[str, object]]:
    at = scene(Two(f"memory://hub-crash-{name.replace(' ', '-')}-new"))
    operation(at.two.ann, at)
    return shape(at.two.everything())


def _try_again(at: Scene, operation: Operation, was_old: bool, new: object) -> None:
    """Whoever comes next is not hindered by what the dead one left."""
    next_one = Hub(at.two.plain, "ann")
    if was_old:
        operation(next_one, at)
        assert shape(at.two.everything()) == new
    for folder in next_one.list_folders():
        next_one.create_asset(folder, "another")


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("lost", ["nothing done", "reply"])
def test_a_failing_storage_gives_an_error_only_if_nothing_was_done(
    operation: Operation, lost: str, request: pytest.FixtureRequest
) -> None:
    # A plain failure after the commit point would make a user repeat what was done.
    name = request.node.callspec.id.replace(" ", "-")
    new = _outcome_undisturbed(name + lost.replace(" ", "-"), operation)
    for point in range(1000):
        at = scene(Two(f"memory://hub-fail-{name}-{point}"))
        old = shape(at.two.everything())
        if lost == "reply":
            fault = at.two.faults.lose_reply("create", skip=point)
        else:
            fault = at.two.faults.fail("create", skip=point)
        try:
            operation(at.two.ann, at)
        except OutcomeUnknownError:
            assert shape(at.two.everything()) in (old, new)
        except (StorageError, UnsettledError):
            assert shape(at.two.everything()) == old, f"failed at operation {point}"
        else:
            assert shape(at.two.everything()) == new, f"reported at operation {point}"
        if not fault.hits:
            return
    pytest.fail("it never ended")


def test_what_a_dead_deletion_left_is_finished_by_the_next(two: Two) -> None:
    at = scene(two)
    two.kill("create", under="cells/ref/")
    with pytest.raises(Killed):
        two.ann.delete_asset(at.model)
    with pytest.raises(NotFoundError):
        two.bob.get_asset_by_id(at.model)
    assert list(two.plain.cells.list("ref", at.model)) != []
    two.bob.delete_asset(at.model)
    with pytest.raises(NotFoundError):
        two.bob.delete_asset(at.model)


def test_the_name_of_a_folder_whose_deleter_died_is_free(two: Two) -> None:
    at = scene(two)
    two.kill("create", under="cells/catalogue/root/")
    with pytest.raises(Killed):
        two.ann.delete_folder(at.folder, force=True)
    hub = Hub(two.plain, "ann")
    assert hub.find_folder("model", "ic") is None
    with pytest.raises(NotFoundError):
        hub.get_asset_by_id(at.model)
    again = hub.create_folder("model", "ic")
    assert hub.list_assets(again) == []
    assert hub.update_folder(at.empty, name="other").name == "other"
    hub.delete_folder(at.folder)
    assert hub.get_folder("model", "ic") == again


def test_a_renamed_folder_takes_the_name_of_one_whose_deleter_died(two: Two) -> None:
    at = scene(two)
    two.kill("create", under="cells/catalogue/root/")
    with pytest.raises(Killed):
        two.ann.delete_folder(at.folder, force=True)
    hub = Hub(two.plain, "ann")
    assert hub.update_folder(at.empty, name="ic").id == at.empty
    assert hub.get_folder("model", "ic").id == at.empty
