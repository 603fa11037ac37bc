from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.paths import parse
from ahstore.ids import AssetId, EntityId, new_entity_id
from ahstore.storage.cells import CellState
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs, ref_cell
from tests.hub.kit import Two

OpenHub = Callable[[str], Hub]


def test_an_asset_is_born_with_main_and_a_first_commit(hub: Hub, open_hub: OpenHub) -> None:
    folder = hub.create_folder("model", "ic")
    made = hub.create_asset(folder.id, "mnist", labels=["cnn"], description="d")
    assert made.path == hub.asset_path(made) == "ann/model/ic/mnist"
    assert (made.labels, made.description, made.type) == (("cnn",), "d", "model")
    for seen_by in (hub, open_hub("bob")):
        assert seen_by.get_asset(folder, "mnist") == made
        assert seen_by.get_asset(folder.id, "mnist") == made
        assert seen_by.get_asset_by_id(made.id) == made
        assert seen_by.list_assets(folder) == [made]
        assert seen_by.resolve_path(parse("ann/model/ic/mnist:main")) == made
        main = Refs(seen_by.repo).get(made.id, "main", "branch")
        (root,) = log(seen_by.repo, main.commit)
        assert (root[1].message, root[1].committer, root[1].parents) == (
            "Repository created",
            "ann",
            (),
        )


def test_an_asset_name_is_taken_once_in_its_folder(hub: Hub) -> None:
    folder, other = hub.create_folder("model", "a"), hub.create_folder("model", "b")
    made = hub.create_asset(folder, "mnist")
    with pytest.raises(AlreadyExistsError, match="model 'mnist' already exists in folder"):
        hub.create_asset(folder, "mnist")
    assert hub.list_assets(folder) == [made]
    assert hub.create_asset(other, "mnist").id != made.id


def test_what_is_not_there_is_not_found(hub: Hub) -> None:
    folder = hub.create_folder("dataset", "ic")
    assert hub.list_assets(folder) == []
    assert hub.find_asset(folder, "x") is None
    with pytest.raises(NotFoundError, match="there is no dataset 'x' in folder ann/dataset/ic"):
        hub.get_asset(folder, "x")
    with pytest.raises(NotFoundError):
        hub.resolve_path(parse("dataset/ic/x"))
    for call in (hub.get_asset_by_id, hub.delete_asset, hub.update_asset):
        with pytest.raises(NotFoundError):
            call(AssetId(new_entity_id()))
    for text in ("", "../x", "x" * 400):
        with pytest.raises((NotFoundError, InvalidInputError)):
            hub.get_asset_by_id(AssetId(EntityId(text)))


@pytest.mark.parametrize("bad", ["", "a/b", "..", "-a", "a.lock", "a b", "a\x00", "a" * 129])
def test_malformed_input_changes_nothing(hub: Hub, bad: str) -> None:
    folder = hub.create_folder("model", "ic")
    asset = hub.create_asset(folder, "mnist")
    for call in (
        lambda: hub.create_asset(folder, bad),
        lambda: hub.get_asset(folder, bad),
        lambda: hub.update_asset(asset.id, name=bad),
        lambda: hub.create_asset(folder, "fine", labels=[" "]),
        lambda: hub.create_asset(folder, "fine", description="\x00"),
        lambda: hub.update_asset(asset.id, labels=[" "]),
    ):
        with pytest.raises(InvalidInputError):
            call()
    assert hub.list_assets(folder) == [asset]


def test_an_asset_changes_and_keeps_its_id_and_commits(hub: Hub, open_hub: OpenHub) -> None:
    folder = hub.create_folder("model", "ic")
    made = hub.create_asset(folder, "old", labels=["a"], description="d")
    head = Refs(hub.repo).get(made.id, "main").commit
    renamed = hub.update_asset(made.id, name="new", labels=["b"])
    assert (renamed.name, renamed.labels, renamed.description) == ("new", ("b",), "d")
    for seen_by in (hub, open_hub("ann")):
        assert seen_by.find_asset(folder, "old") is None
        assert seen_by.get_asset(folder, "new") == renamed
        assert seen_by.get_asset_by_id(made.id) == renamed
        assert Refs(seen_by.repo).get(renamed.id, "main").commit == head
    assert hub.create_asset(folder, "old").id != made.id
    with pytest.raises(AlreadyExistsError):
        hub.update_asset(made.id, name="old")
    long = hub.update_asset(made.id, description="long " * 10_000)
    assert open_hub("ann").get_asset_by_id(made.id) == long


def test_an_asset_is_deleted_and_made_again(hub: Hub, open_hub: OpenHub, tmp_path: Path) -> None:
    folder = hub.create_folder("model", "ic")
    asset = hub.create_asset(folder, "mnist")
    (tmp_path / "file").write_text("old")
    commit_files(
        hub.repo, asset.id, "main", message="m", committer="ann", add=[str(tmp_path / "file")]
    )
    head = Refs(hub.repo).get(asset.id, "main").commit
    Refs(hub.repo).create(asset.id, "v1", "tag", head, by="ann", via="main")
    hub.delete_asset(asset.id)
    for seen_by in (hub, open_hub("ann")):
        assert seen_by.list_assets(folder) == []
        assert seen_by.find_asset(folder, "mnist") is None
        for call in (seen_by.get_asset_by_id, seen_by.delete_asset, seen_by.update_asset):
            with pytest.raises(NotFoundError):
                call(asset.id)
        assert Refs(seen_by.repo).list(asset.id) == []
    again = hub.create_asset(folder, "mnist")
    assert again.id != asset.id
    main = Refs(hub.repo).get(again.id, "main").commit
    assert hub.repo.tree(hub.repo.read_commit(main).tree).count() == 0


def test_many_assets_are_listed_in_order_with_few_reads(two: Two) -> None:
    folder = two.ann.create_folder("model", "ic")
    names = sorted(f"asset-{n:03}" for n in range(60))
    for name in reversed(names):
        two.ann.create_asset(folder, name)
    hub, calls = two.recorded()
    assert [asset.name for asset in hub.list_assets(folder)] == names
    # One cell, the tree's few pages, and the packs they lie in: nothing for each asset.
    assert calls.count("read") <= 2
    assert calls.count("read_range", under="packs/meta/") <= len(names) * 3 + 20
    calls.clear()
    hub.list_assets(folder)
    assert len(calls.calls) <= 10


def test_two_who_make_one_asset_at_once(two: Two) -> None:
    folder = two.ann.create_folder("model", "ic")
    two.faults.pause(
        "create",
        lambda _: two.bob.create_asset(folder.id, "mnist"),
        under=f"cells/catalogue/{folder.id}/",
    )
    with pytest.raises(AlreadyExistsError):
        two.ann.create_asset(folder, "mnist")
    assert list(two.everything()) == ["ann/model/ic", "ann/model/ic/mnist"]
    # What the loser had made is gone: only the winner's branch is live.
    live = [
        cell
        for cell in two.plain.cells.list("ref")
        if two.plain.cells.read(cell).state is CellState.LIVE
    ]
    assert len(live) == 1


def test_two_renames_at_once_leave_one_asset_found_by_its_id(two: Two) -> None:
    # The hint of the slower one is old: looking up by id must not trust it.
    folder = two.ann.create_folder("model", "ic")
    asset = two.ann.create_asset(folder, "a")
    two.faults.pause(
        "create",
        lambda _: two.bob.update_asset(asset.id, name="c"),
        under=f"cells/asset/{asset.id}/",
    )
    two.ann.update_asset(asset.id, name="b")
    assert list(two.everything()) == ["ann/model/ic", "ann/model/ic/c"]
    two.bob.create_asset(folder, "b")
    assert two.bob.get_asset_by_id(asset.id).name == "c"


def test_a_name_given_away_is_not_taken_for_the_old_asset(two: Two) -> None:
    # The hint says "a", where now another asset stands: deleting by id must not hit that one.
    folder = two.ann.create_folder("model", "ic")
    asset = two.ann.create_asset(folder, "a")
    two.faults.fail("create", under=f"cells/asset/{asset.id}/")
    assert two.ann.update_asset(asset.id, name="b").name == "b"
    other = two.bob.create_asset(folder, "a")
    assert two.bob.get_asset_by_id(asset.id).name == "b"
    two.bob.delete_asset(asset.id)
    assert two.bob.list_assets(folder) == [other]
    assert Refs(two.plain).find(other.id, "main") is not None
    assert two.plain.cells.read(ref_cell(asset.id, "main")).state is CellState.DEAD
