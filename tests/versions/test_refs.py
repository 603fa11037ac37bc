"""Branches, tags and what a reference means."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from ahstore.errors import AlreadyExistsError, ConflictError, InvalidInputError, NotFoundError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.ancestry import is_ancestor, merge_base
from ahstore.versions.history.log import log
from ahstore.versions.history.reset import reset
from ahstore.versions.refs import Refs
from ahstore.versions.resolve import resolve
from tests.versions.kit import Asset


@pytest.fixture
def line(asset: Asset) -> list[CommitId]:
    """Four commits on main, the root first."""
    commits = [Refs(asset.repo).get(asset.id, "main").commit]
    for count in range(3):
        asset.write(a=str(count))
        time.sleep(0.02)  # heads have times of their own, by a clock that may tick coarsely
        commits.append(asset.commit(f"change {count}"))
    return commits


def test_a_branch_is_made_listed_and_deleted(asset: Asset, line: list[CommitId]) -> None:
    refs = Refs(asset.repo)
    made = refs.create(asset.id, "dev", "branch", line[1], by="ann", via="main")
    assert (made.kind, made.commit) == ("branch", line[1])
    refs.create(asset.id, "v1", "tag", line[3], by="ann", via="main")
    assert [r.name for r in refs.list(asset.id)] == ["dev", "main", "v1"]
    assert [r.name for r in refs.list(asset.id, "tag")] == ["v1"]
    refs.delete(asset.id, "dev", "branch")
    assert refs.find(asset.id, "dev") is None
    assert [r.name for r in refs.list(asset.id, "branch")] == ["main"]
    again = refs.create(asset.id, "dev", "branch", line[2], by="ann", via="main")
    assert again.number > made.number, "a number once taken stays taken"


def test_a_branch_and_a_tag_cannot_share_a_name(asset: Asset, line: list[CommitId]) -> None:
    refs = Refs(asset.repo)
    refs.create(asset.id, "x", "tag", line[1], by="ann", via="main")
    with pytest.raises(AlreadyExistsError, match="tag 'x' already exists"):
        refs.create(asset.id, "x", "branch", line[1], by="ann", via="main")
    with pytest.raises(NotFoundError):
        refs.delete(asset.id, "x", "branch")
    with pytest.raises(NotFoundError):
        refs.move(asset.id, "x", line[2], by="ann", expect=None)


def test_a_branch_from_a_bare_commit_needs_all_of_it(asset: Asset, line: list[CommitId]) -> None:
    refs = Refs(asset.repo)
    assert refs.create(asset.id, "bare", "branch", line[2], by="ann").commit == line[2]
    with pytest.raises(NotFoundError):
        refs.create(asset.id, "no", "branch", CommitId(bytes(32)), by="ann")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ref", "index"),
    [
        ("main", 3),
        ("branch/main", 3),
        ("main~0", 3),
        ("main~", 2),
        ("main~2", 1),
        ("main~~", 1),
        ("main^", 2),
        ("main^1~1", 1),
        ("main^0", 3),
        ("main@{0}", 3),
        ("main@{1}", 2),
        ("main@{3}", 0),
        ("main@{now}", 3),
        ("tag/v1", 2),
        ("v1", 2),
        ("v1~1", 1),
    ],
)
def test_what_a_reference_means(asset: Asset, line: list[CommitId], ref: str, index: int) -> None:
    Refs(asset.repo).create(asset.id, "v1", "tag", line[2], by="ann", via="main")
    assert resolve(asset.repo, asset.id, ref).commit == line[index]


def test_commit_ids_and_prefixes(asset: Asset, line: list[CommitId]) -> None:
    text = line[2].hex()
    for ref in (text, text[:12], "commit/" + text[:12], text[:12] + "~0"):
        assert resolve(asset.repo, asset.id, ref).commit == line[2]
    assert resolve(asset.repo, asset.id, text[:12]).name == text


def test_times_find_what_the_branch_was(asset: Asset, line: list[CommitId]) -> None:
    history = list(Refs(asset.repo).history(asset.id, "main"))
    assert [r.commit for r in history] == line[::-1]
    then = datetime.fromtimestamp(history[1].time, tz=timezone.utc).isoformat()
    assert resolve(asset.repo, asset.id, f"main@{{{then}}}").commit == line[2]
    with pytest.raises(NotFoundError, match="does not go back that far"):
        resolve(asset.repo, asset.id, "main@{2020-01-01}")
    with pytest.raises(NotFoundError, match="does not go back that far"):
        resolve(asset.repo, asset.id, "main@{3 days ago}")


@pytest.mark.parametrize(
    "ref",
    [
        "nope",
        "branch/v1",
        "tag/main",
        "main~9",
        "main^2",
        "main@{9}",
        "abc",
        "f" * 64,
        "commit/main",
    ],
)
def test_what_is_not_there(asset: Asset, line: list[CommitId], ref: str) -> None:
    with pytest.raises(NotFoundError):
        resolve(asset.repo, asset.id, ref)


@pytest.mark.parametrize(
    "ref",
    ["", "-x", "HEAD", "a..b", "main~x", "main@{", "main@{x}", "v1@{1}", "x/main", "ma in", "a\nb",
     "main~99999999999", "branch/", "@{1}", "main@{99999999 weeks ago}"],
)  # fmt: skip
def test_what_is_malformed(asset: Asset, line: list[CommitId], ref: str) -> None:
    Refs(asset.repo).create(asset.id, "v1", "tag", line[2], by="ann", via="main")
    with pytest.raises(InvalidInputError):
        resolve(asset.repo, asset.id, ref)


def test_a_commit_of_another_asset_is_not_found(asset: Asset, line: list[CommitId]) -> None:
    other = AssetId(new_entity_id())
    create_asset_root(asset.repo, other, committer="ann")
    with pytest.raises(NotFoundError):
        resolve(asset.repo, other, line[2].hex())
    with pytest.raises(InvalidInputError, match="another asset"):
        reset(asset.repo, other, "main", line[2], committer="ann")


def test_reset_keeps_the_old_head_in_the_history(asset: Asset, line: list[CommitId]) -> None:
    reset(asset.repo, asset.id, "main", line[1], committer="ann")
    assert resolve(asset.repo, asset.id, "main").commit == line[1]
    assert resolve(asset.repo, asset.id, "main@{1}").commit == line[3]
    reset(asset.repo, asset.id, "main", line[3], committer="ann", expect=line[1])
    with pytest.raises(ConflictError):
        reset(asset.repo, asset.id, "main", line[0], committer="ann", expect=line[1])


def test_log_and_ancestors(asset: Asset, line: list[CommitId]) -> None:
    assert [c for c, _ in log(asset.repo, line[3])] == line[::-1]
    assert [c for c, _ in log(asset.repo, line[3], limit=2)] == line[:1:-1]
    assert is_ancestor(asset.repo, line[0], line[3])
    assert not is_ancestor(asset.repo, line[3], line[0])
    assert merge_base(asset.repo, line[3], line[1]) == line[1]


def test_a_cold_reader_needs_no_index(asset: Asset, line: list[CommitId]) -> None:
    """The branch's cell tells where its commit and newest pages lie."""
    repo = asset.repo
    repo._hints.clear()
    before = repo._index
    repo._index = None
    try:
        head = Refs(repo).get(asset.id, "main").commit
        row = repo.tree(repo.read_commit(head).tree).find("a")
        assert row is not None
        assert repo._index is None, "the index was opened"
    finally:
        repo._index = before
