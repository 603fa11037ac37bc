"""Merging: fast-forward, three-way by path, conflicts, replace; and what differs."""

from __future__ import annotations

import shutil

import pytest

from ahstore.errors import MergeConflictError
from ahstore.ids import CommitId
from ahstore.versions.comparing.diff import diff
from ahstore.versions.history.merge import Strategy, merge
from ahstore.versions.refs import Refs
from ahstore.versions.restoring.checkout import open_object
from tests.versions.kit import Asset


@pytest.fixture
def fork(asset: Asset) -> CommitId:
    """main and dev at one commit with a, b, c."""
    asset.write(a="a", b="b", c="c")
    commit = asset.commit()
    Refs(asset.repo).create(asset.id, "dev", "branch", commit, by="ann", via="main")
    return commit


def change(asset: Asset, branch: str, *, delete: tuple[str, ...] = (), **files: str) -> CommitId:
    shutil.rmtree(asset.work)
    asset.write(**files)
    return asset.commit(branch=branch, delete=delete)


def do_merge(asset: Asset, strategy: Strategy = "three-way") -> CommitId | None:
    dev = Refs(asset.repo).get(asset.id, "dev").commit
    return merge(
        asset.repo, asset.id, dev, "main", committer="ann", message="merge", strategy=strategy
    )


def head(asset: Asset) -> CommitId:
    return Refs(asset.repo).get(asset.id, "main").commit


def read(asset: Asset, path: str) -> bytes:
    with open_object(asset.repo, head(asset), path) as stream:
        return stream.read()


def test_a_branch_that_only_lags_moves_on(asset: Asset, fork: CommitId) -> None:
    dev = change(asset, "dev", a="new")
    assert do_merge(asset) == dev
    assert head(asset) == dev
    assert do_merge(asset) is None


def test_both_sides_are_kept(asset: Asset, fork: CommitId) -> None:
    theirs = change(asset, "dev", a="theirs", d="new", delete=("c",))
    ours = change(asset, "main", b="ours")
    merged = do_merge(asset)
    assert merged is not None
    assert asset.repo.read_commit(merged).parents == (ours, theirs)
    assert asset.paths(merged) == ["a", "b", "d"]
    assert (read(asset, "a"), read(asset, "b")) == (b"theirs", b"ours")


def test_a_conflict_is_listed_and_changes_nothing(asset: Asset, fork: CommitId) -> None:
    change(asset, "dev", a="theirs", b="theirs", delete=("c",))
    ours = change(asset, "main", a="ours", c="ours")
    with pytest.raises(MergeConflictError) as caught:
        do_merge(asset)
    assert caught.value.paths == ["a", "c"]
    assert head(asset) == ours


def test_the_same_change_on_both_sides_is_no_conflict(asset: Asset, fork: CommitId) -> None:
    change(asset, "dev", a="same", d="1")
    change(asset, "main", a="same", e="2")
    merged = do_merge(asset)
    assert merged is not None
    assert asset.paths(merged) == ["a", "b", "c", "d", "e"]


def test_a_file_and_a_folder_of_one_name_conflict(asset: Asset, fork: CommitId) -> None:
    change(asset, "dev", x__y="1")
    ours = change(asset, "main", x="2")
    with pytest.raises(MergeConflictError) as caught:
        do_merge(asset)
    assert caught.value.paths == ["x", "x/y"]
    assert head(asset) == ours


def test_replace_makes_the_target_exactly_the_source(asset: Asset, fork: CommitId) -> None:
    theirs = change(asset, "dev", a="theirs", delete=("c",))
    change(asset, "main", a="ours", e="ours")
    merged = do_merge(asset, "replace")
    assert merged is not None
    assert asset.repo.read_commit(merged).tree == asset.repo.read_commit(theirs).tree


def test_diff_names_what_changed(asset: Asset, fork: CommitId) -> None:
    new = change(asset, "main", a="other", d="new", delete=("b",))
    changes = [(c.kind, c.path, c.old_size, c.size) for c in diff(asset.repo, fork, new)]
    assert changes == [("modified", "a", 1, 5), ("deleted", "b", 1, None), ("added", "d", None, 3)]
    assert list(diff(asset.repo, new, new)) == []
