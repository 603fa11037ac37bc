from __future__ import annotations

from collections.abc import Callable

import pytest

from ahstore.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotEmptyError,
    NotFoundError,
)
from ahstore.hub.hub import Hub
from ahstore.hub.paths import parse
from ahstore.ids import EntityId, FolderId, new_entity_id
from ahstore.storage.cells import CellState
from ahstore.versions.refs import ref_cell
from tests.hub.kit import Two

OpenHub = Callable[[str], Hub]


def test_a_folder_is_made_and_found(hub: Hub, open_hub: OpenHub) -> None:
    made = hub.create_folder("model", "ic", labels=["vision", "cnn"], description="Images\nmore")
    assert (made.owner, made.type, made.name) == ("ann", "model", "ic")
    assert (made.labels, made.description) == (("vision", "cnn"), "Images\nmore")
    assert made.path == "ann/model/ic"
    for seen_by in (hub, open_hub("ann")):
        assert seen_by.get_folder("model", "ic") == made
        assert seen_by.get_folder_by_id(made.id) == made
        assert seen_by.list_folders() == [made]
        assert seen_by.resolve_path(parse("model/ic")) == made
        assert seen_by.resolve_path(parse("ann/model/ic")) == made


def test_kinds_and_owners_have_names_of_their_own(hub: Hub, open_hub: OpenHub) -> None:
    bob = open_hub("bob")
    made = [
        hub.create_folder("dataset", "ic"),
        hub.create_folder("model", "ic"),
        bob.create_folder("model", "ic"),
    ]
    assert len({folder.id for folder in made}) == 3
    assert hub.list_folders() == bob.list_folders() == made
    assert hub.list_folders("model") == made[1:]
    assert hub.list_folders(owner="ann") == made[:2]
    assert hub.list_folders("model", owner="bob") == made[2:]
    assert hub.list_folders(owner="an") == []
    assert bob.get_folder("model", "ic") == made[2]
    assert bob.get_folder("model", "ic", owner="ann") == made[1]
    assert bob.resolve_path(parse("ann/model/ic")) == made[1]


def test_a_name_is_taken_once(hub: Hub, open_hub: OpenHub) -> None:
    hub.create_folder("model", "ic")
    for other in (hub, open_hub("ann")):
        with pytest.raises(AlreadyExistsError, match="model folder 'ic' of user ann"):
            other.create_folder("model", "ic")
    assert issubclass(AlreadyExistsError, RuntimeError)
    assert len(hub.list_folders()) == 1


def test_names_that_differ_by_case_are_two(hub: Hub) -> None:
    # On a file system that folds case the second would overwrite the first's cells.
    assert hub.create_folder("model", "IC").id != hub.create_folder("model", "ic").id
    assert [folder.name for folder in hub.list_folders()] == ["IC", "ic"]


def test_what_is_not_there_is_not_found(hub: Hub, open_hub: OpenHub) -> None:
    assert hub.list_folders() == []
    assert hub.find_folder("model", "ic") is None
    with pytest.raises(NotFoundError, match="there is no model folder 'ic' of user ann"):
        hub.get_folder("model", "ic")
    with pytest.raises(NotFoundError, match="id"):
        hub.get_folder_by_id(FolderId(new_entity_id()))
    with pytest.raises(NotFoundError):
        hub.update_folder(FolderId(new_entity_id()), name="x")
    with pytest.raises(NotFoundError):
        hub.delete_folder(FolderId(new_entity_id()))
    open_hub("bob").create_folder("model", "ic")
    with pytest.raises(NotFoundError, match="there is bob/model/ic"):
        hub.get_folder("model", "ic")


@pytest.mark.parametrize("bad", ["", "a/b", "..", "-a", "a.lock", "a b", "a\x00", "a" * 129])
def test_malformed_names_change_nothing(hub: Hub, bad: str) -> None:
    folder = hub.create_folder("model", "ic")
    for call in (
        lambda: hub.create_folder("model", bad),
        lambda: hub.create_folder(bad, "x"),
        lambda: hub.get_folder("model", bad),
        lambda: hub.get_folder("model", "ic", owner=bad or "-"),
        lambda: hub.update_folder(folder.id, name=bad),
        lambda: hub.update_folder(folder.id, labels=["\x00"]),
        lambda: hub.update_folder(folder.id, description="\x00"),
        lambda: hub.list_folders("thing"),
        lambda: Hub(hub.repo, bad),
    ):
        with pytest.raises(InvalidInputError):
            call()
    assert hub.list_folders() == [folder]


def test_an_id_that_is_none_is_not_found_or_refused(hub: Hub) -> None:
    for text in ("../../x", "", "x" * 400, "a\x00"):
        with pytest.raises((NotFoundError, InvalidInputError)):
            hub.get_folder_by_id(FolderId(EntityId(text)))


def test_labels_and_description_change(hub: Hub, open_hub: OpenHub) -> None:
    made = hub.create_folder("model", "ic", labels=["a"], description="d")
    changed = hub.update_folder(made.id, labels=["b", "c"])
    assert (changed.labels, changed.description) == (("b", "c"), "d")
    changed = hub.update_folder(made.id, description="")
    assert (changed.labels, changed.description) == (("b", "c"), "")
    changed = hub.update_folder(made.id, labels=[], description="x" * 60_000)
    assert open_hub("ann").get_folder_by_id(made.id) == changed
    assert (changed.id, changed.created, changed.name) == (made.id, made.created, made.name)
    assert hub.update_folder(made.id) == changed


def test_a_folder_is_renamed_with_all_that_is_in_it(hub: Hub, open_hub: OpenHub) -> None:
    folder = hub.create_folder("model", "old", labels=["a"])
    asset = hub.create_asset(folder, "mnist")
    renamed = hub.update_folder(folder.id, name="new")
    for seen_by in (hub, open_hub("ann")):
        assert seen_by.find_folder("model", "old") is None
        assert seen_by.get_folder("model", "new") == seen_by.get_folder_by_id(folder.id) == renamed
        assert [found.path for found in seen_by.list_assets(renamed)] == ["ann/model/new/mnist"]
        assert seen_by.get_asset_by_id(asset.id).path == "ann/model/new/mnist"
    assert (renamed.id, renamed.labels) == (folder.id, ("a",))
    assert hub.create_folder("model", "old").id != folder.id


def test_a_rename_never_takes_another_name(hub: Hub) -> None:
    folder, other = hub.create_folder("model", "a"), hub.create_folder("model", "b")
    with pytest.raises(AlreadyExistsError):
        hub.update_folder(folder.id, name="b", labels=["x"])
    assert hub.list_folders() == [folder, other]
    assert hub.update_folder(folder.id, name="a", labels=["x"]).labels == ("x",)


def test_a_folder_of_another_keeps_its_owner(hub: Hub, open_hub: OpenHub) -> None:
    folder = hub.create_folder("model", "ic")
    renamed = open_hub("bob").update_folder(folder.id, name="new")
    assert renamed.path == "ann/model/new"
    assert open_hub("bob").create_asset(folder.id, "x").path == "ann/model/new/x"


def test_a_folder_is_deleted_and_made_again(hub: Hub, open_hub: OpenHub) -> None:
    folder = hub.create_folder("model", "ic", labels=["a"])
    hub.delete_folder(folder.id)
    for seen_by in (hub, open_hub("ann")):
        assert seen_by.list_folders() == []
        assert seen_by.find_folder("model", "ic") is None
        with pytest.raises(NotFoundError):
            seen_by.get_folder_by_id(folder.id)
        with pytest.raises(NotFoundError):
            seen_by.delete_folder(folder.id)
        with pytest.raises(NotFoundError):
            seen_by.update_folder(folder.id, name="x")
        with pytest.raises(NotFoundError):
            seen_by.create_asset(folder, "x")
    again = hub.create_folder("model", "ic")
    assert again.id != folder.id
    assert again.labels == ()
    assert hub.list_assets(again) == []


def test_a_folder_with_assets_is_deleted_only_by_force(hub: Hub, open_hub: OpenHub) -> None:
    folder = hub.create_folder("model", "ic")
    asset = hub.create_asset(folder, "mnist")
    with pytest.raises(NotEmptyError, match="ann/model/ic is not empty"):
        hub.delete_folder(folder.id)
    assert hub.list_assets(folder.id) == [asset]
    hub.delete_folder(folder.id, force=True)
    for seen_by in (hub, open_hub("ann")):
        assert seen_by.list_folders() == []
        with pytest.raises(NotFoundError):
            seen_by.get_asset_by_id(asset.id)
        with pytest.raises(NotFoundError):
            seen_by.list_assets(folder.id)
    assert hub.repo.cells.read(ref_cell(asset.id, "main")).state is CellState.DEAD


def test_a_folder_that_was_emptied_is_deleted(hub: Hub) -> None:
    folder = hub.create_folder("model", "ic")
    hub.delete_asset(hub.create_asset(folder, "mnist").id)
    hub.delete_folder(folder.id)
    assert hub.list_folders() == []


def test_of_a_deletion_and_a_creation_in_the_folder_one_succeeds(two: Two) -> None:
    # Otherwise a model that was reported as created would vanish with a folder "seen to be empty".
    folder = two.ann.create_folder("model", "ic")
    two.faults.pause(
        "create",
        lambda _: two.bob.create_asset(folder.id, "mnist"),
        under=f"cells/catalogue/{folder.id}/",
    )
    with pytest.raises(NotEmptyError):
        two.ann.delete_folder(folder.id)
    assert "ann/model/ic/mnist" in two.everything()


def test_of_a_creation_and_a_deletion_of_the_folder_one_succeeds(two: Two) -> None:
    # Otherwise a model that was reported as created is in no folder.
    folder = two.ann.create_folder("model", "ic")
    two.faults.pause(
        "create",
        lambda _: two.bob.delete_folder(folder.id),
        under=f"cells/catalogue/{folder.id}/",
    )
    with pytest.raises(NotFoundError, match="deleted meanwhile"):
        two.ann.create_asset(folder.id, "mnist")
    assert two.everything() == {}
    two.ann.create_folder("model", "ic")


def test_two_who_make_one_folder_at_once(two: Two) -> None:
    two.faults.pause(
        "create",
        lambda _: Hub(two.plain, "ann").create_folder("model", "ic"),
        under="cells/catalogue/root/",
    )
    with pytest.raises(AlreadyExistsError):
        two.ann.create_folder("model", "ic")
    assert list(two.everything()) == ["ann/model/ic"]


def test_other_folders_made_meanwhile_are_kept(two: Two) -> None:
    # A lost race must be re-applied to the new catalogue, never put the old one back.
    two.faults.pause(
        "create", lambda _: two.bob.create_folder("model", "b"), under="cells/catalogue/root/"
    )
    two.ann.create_folder("model", "a")
    assert list(two.everything()) == ["ann/model/a", "bob/model/b"]


def test_a_rename_and_a_creation_of_the_same_name(two: Two) -> None:
    folder = two.ann.create_folder("model", "a")
    two.faults.pause(
        "create",
        lambda _: Hub(two.plain, "ann").create_folder("model", "b"),
        under="cells/catalogue/root/",
    )
    with pytest.raises(AlreadyExistsError):
        two.ann.update_folder(folder.id, name="b")
    assert list(two.everything()) == ["ann/model/a", "ann/model/b"]


def test_two_renames_at_once_leave_one_folder_found_by_its_id(two: Two) -> None:
    # The hint of the slower one is old: looking up by id must not trust it.
    folder = two.ann.create_folder("model", "a")
    two.faults.pause(
        "create",
        lambda _: two.bob.update_folder(folder.id, name="c"),
        under=f"cells/folder/{folder.id}/",
    )
    two.ann.update_folder(folder.id, name="b")
    assert list(two.everything()) == ["ann/model/c"]
    assert two.bob.get_folder_by_id(folder.id).name == "c"
