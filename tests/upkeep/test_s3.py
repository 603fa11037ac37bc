"""gc and fsck on a store in a bucket, and what they ask of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ahstore.storage.leases import list_leases
from ahstore.storage.recording import RecordingStorage
from ahstore.upkeep.check_packs import Share
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.repair import mend
from ahstore.versions.repository import Repository
from tests.upkeep.kit import DEAD, MODEL, NOW, House, new_house


@pytest.fixture
def bucket(s3_url: str, tmp_path: Path) -> House:
    return new_house(s3_url, tmp_path)


def test_gc_and_fsck_in_a_bucket(bucket: House) -> None:
    bucket.commit(a=bucket.noise(300_000))
    bucket.store.create(f"{MODEL}:v1", resource="tag")
    lost = bucket.deleted_branch(700_000)
    before = bucket.content()
    report = collect(bucket.repo, NOW)
    assert report.reclaimed > 700_000
    assert not bucket.holds(lost)
    assert bucket.content() == before
    assert check(bucket.repo, read_data=Share()).damages == []
    assert collect(bucket.repo, NOW).reclaimed == 0
    assert not list(list_leases(bucket.repo.cells))


def test_small_packs_are_merged_in_a_bucket(bucket: House) -> None:
    for number in range(18):
        bucket.commit(a=b"%d" % number)
    before = bucket.content()
    collect(bucket.repo, NOW)
    assert len(list(bucket.repo.storage.list("packs/"))) <= 3
    assert bucket.content() == before
    assert check(bucket.repo, read_data=Share()).damages == []


def damage_in(bucket: House, path: str) -> tuple[str, bytes]:
    """Flip a bit of an object's first chunk; return its pack's key, and the pack as it is now."""
    row = next(row for row in bucket.store.list(MODEL) if row["path"] == path)
    key = (
        "packs/"
        + row["physical_address"].partition("#")[0].rpartition("/packs/")[2].partition("?")[0]
    )
    data = bytearray(bucket.repo.storage.read(key))
    data[100] ^= 1
    bucket.repo.storage.delete(key)
    bucket.repo.storage.create(key, bytes(data))
    return key, bytes(data)


def test_mending_in_a_bucket(bucket: House) -> None:
    bucket.commit(a=bucket.noise(700_000))
    key, data = damage_in(bucket, "a")
    report = mend(bucket.repo, read_data=Share())
    assert [d.what for d in report.damages if not d.repaired] == ["blob"]
    family, _, pack = key.removeprefix("packs/").rpartition("/")
    assert bucket.repo.storage.read(f"aside/{family[:4]}/{pack}") == data
    assert not bucket.repo.storage.exists(key)


def test_fsck_looks_at_the_bucket_and_not_at_what_is_kept_of_it(bucket: House) -> None:
    """Who has read a store keeps it: his fsck would call it whole until his cache is gone."""
    bucket.commit(a=bucket.noise(700_000))
    assert bucket.content()
    assert check(bucket.repo, read_data=Share()).clean
    key, data = damage_in(bucket, "a")
    assert bucket.content()
    report = check(bucket.repo, read_data=Share())
    assert [d.key for d in report.damages] == [key]
    mend(bucket.repo, read_data=Share())
    family, _, pack = key.removeprefix("packs/").rpartition("/")
    assert bucket.repo.storage.read(f"aside/{family[:4]}/{pack}") == data


@pytest.mark.parametrize("branches", [5, 25])
def test_cells_that_stand_still_cost_no_request_each(house: House, branches: int) -> None:
    """Looking again must cost what has changed: a store of 30,000 cells has 30,000 of them."""
    for number in range(branches):
        house.store.create(f"{MODEL}:b{number}")
    house.deleted_branch()
    house.repo.leases.rest()
    recording = RecordingStorage(house.repo.storage)
    settings = {"id": house.repo.creation_id, "chunking": house.repo.cutting.to_value()}
    collect(Repository(recording, settings, None), NOW)
    assert recording.count("list", under="cells/ref") == 0
    # The one of the deleted branch, before it is emptied.
    assert recording.count("newest_version", under="cells/ref") == 1
    # The newest version once, and of those with a history one more.
    assert recording.count("read", under="cells/ref") <= branches + 8


def test_dead_is_dead_in_the_kit() -> None:
    assert DEAD.is_here()
    assert not DEAD.is_alive()
