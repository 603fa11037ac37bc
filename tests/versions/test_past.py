"""The log over a network: one version of a branch's cell tells many commits, and leads to more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ahstore.codec.canonical import Value
from ahstore.errors import NotFoundError
from ahstore.ids import AssetId, new_entity_id
from ahstore.objects.commit import Commit, commit_id, decode, encode
from ahstore.storage.cells import CellState
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.log import log
from ahstore.versions.history.reset import reset
from ahstore.versions.past import FIELD, MOST_TOLD, MOST_TOLD_BYTES, encode_past, told_by
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.settings import make_settings
from tests.versions.kit import Asset

COMMITS = 100


def open_far(storage: MemoryStorage) -> tuple[Repository, RecordingStorage]:
    far = RecordingStorage(storage)
    far.capabilities = replace(storage.capabilities, far=True)
    return Repository(far, make_settings(storage, None), None), far


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def asset(storage: MemoryStorage, tmp_path: Path) -> Iterator[Asset]:
    repo, _ = open_far(storage)
    made = Asset(repo, AssetId(new_entity_id()), tmp_path / "work")
    create_asset_root(repo, made.id, committer="ann")
    yield made
    repo.close()


def commit_many(asset: Asset, count: int, *, first: int = 0) -> None:
    for n in range(first, first + count):
        asset.write(file=f"{n}")
        asset.commit(f"{n}")


def messages(repo: Repository, asset: Asset) -> list[str]:
    head = Refs(repo).get(asset.id, "main").commit
    return [commit.message for _, commit in log(repo, head)]


def expected(count: int) -> list[str]:
    return [*(f"{n}" for n in reversed(range(count))), "Repository created"]


def test_a_cold_log_reads_many_commits_at_once(storage: MemoryStorage, asset: Asset) -> None:
    # Each commit is in a pack of its own: it was a request for each, one after the other.
    commit_many(asset, COMMITS)
    repo, far = open_far(storage)
    far.clear()
    assert messages(repo, asset) == expected(COMMITS)
    assert far.count() <= 2 + COMMITS // 20, far.calls
    assert far.count(under="cells/ref/") <= 2 + COMMITS // 20
    version = asset.repo.cells.read(ref_cell(asset.id, "main"))
    told = list(told_by(version))
    assert 20 <= len(told) <= MOST_TOLD
    assert sum(len(data) for _, data in told) <= MOST_TOLD_BYTES


def test_it_goes_on_where_a_cell_does_not_tell(storage: MemoryStorage, asset: Asset) -> None:
    """After a reset, after commits from elsewhere, and over versions that gc has emptied."""
    commit_many(asset, 40)
    cells = asset.repo.cells
    cell = ref_cell(asset.id, "main")
    kept = [commit for commit, _ in log(asset.repo, Refs(asset.repo).get(asset.id, "main").commit)]
    reset(asset.repo, asset.id, "main", kept[20], committer="ann")
    commit_many(asset, 2, first=20)
    wanted = ["21", "20", *expected(20)]
    repo, _ = open_far(storage)
    assert messages(repo, asset) == wanted
    for number in range(20):
        version = cells.read_version(cell, number)
        assert version.state is CellState.LIVE
        cells.hollow(cell, version)
    repo, _ = open_far(storage)
    assert messages(repo, asset) == wanted


def garbled(told: list[Any]) -> dict[str, Value]:
    other = decode(told[3][1])
    forged = encode(replace(other, message="forged"))
    return {
        "nothing": [],
        "no list": 7,
        "no pairs": [[1], 2, "x"],
        "out of order": [told[1], told[0], *told[2:]],
        "one left out": [told[0], told[2], *told[3:]],
        "a forged one": [told[0], [told[1][0], forged], *told[2:]],
        "no commit": [told[0], [told[1][0], b"\xff\xff"]],
        "a number to come": [[10**6, told[0][1]], *told[1:]],
        "numbers that lead nowhere": [[n % 2, data] for n, data in told[:5]],
    }


@pytest.mark.parametrize(
    "how",
    [
        "nothing",
        "no list",
        "no pairs",
        "out of order",
        "one left out",
        "a forged one",
        "no commit",
        "a number to come",
        "numbers that lead nowhere",
    ],
)
def test_a_wrong_hint_costs_and_does_not_lie(
    storage: MemoryStorage, asset: Asset, how: str
) -> None:
    """Whoever may write to the bucket may write this: what it tells must be what hashes say."""
    commit_many(asset, 12)
    cell = ref_cell(asset.id, "main")
    version = asset.repo.cells.read(cell)
    told: list[Any] = version.value[FIELD]  # type: ignore[assignment]
    value = {**version.value, FIELD: garbled(told)[how]}
    asset.repo.cells.swap(cell, version.number, value)
    repo, _ = open_far(storage)
    assert messages(repo, asset) == expected(12)


def test_a_commit_that_is_not_under_the_branch_is_not_told(
    storage: MemoryStorage, asset: Asset
) -> None:
    # One that a reset has cut off may be gone at any time: a cell must not bring it back.
    commit_many(asset, 3)
    head = Refs(asset.repo).get(asset.id, "main").commit
    cut = asset.repo.read_commit(head)
    assert cut.parents
    reset(asset.repo, asset.id, "main", cut.parents[0], committer="ann")
    commit_many(asset, 1, first=7)
    version = asset.repo.cells.read(ref_cell(asset.id, "main"))
    assert encode(cut) not in [data for _, data in told_by(version)]


def test_large_commits_leave_the_cell_small(asset: Asset) -> None:
    chance = random.Random(1)
    commit = Commit(
        asset=asset.id, parents=(), tree=asset.repo.read_commit(
            Refs(asset.repo).get(asset.id, "main").commit).tree,
        message="m" * 60_000, committer="ann", date_us=chance.randrange(10**15), metadata={},
    )  # fmt: skip
    assert encode_past(asset.repo.cells.read(ref_cell(asset.id, "main")), commit) == []


def test_what_is_told_beside_the_history_is_not_believed(
    storage: MemoryStorage, asset: Asset
) -> None:
    """A commit that the store does not have would be shown, merged, and miss its files."""
    commit_many(asset, 2)
    version = asset.repo.cells.read(ref_cell(asset.id, "main"))
    told: list[Any] = version.value[FIELD]  # type: ignore[assignment]
    gone = encode(replace(decode(told[0][1]), message="gone"))
    for place in (0, 1, len(told)):
        items = [*told[:place], [0, gone], *told[place:]]
        version = asset.repo.cells.swap(
            ref_cell(asset.id, "main"), version.number, {**version.value, FIELD: items}
        )
        repo, _ = open_far(storage)
        assert messages(repo, asset) == expected(2)
        with pytest.raises(NotFoundError):
            repo.read_commit(commit_id(gone))
