"""gc and fsck on a store in a bucket, and what they ask of it."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from ahstore.errors import NotFoundError
from ahstore.ids import CommitId
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.leases import list_leases
from ahstore.storage.process import ProcessIdentity
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
    # This process may still know the commit, which the branch's cell told: another does not.
    other = Repository.open(bucket.repo.url)
    with pytest.raises(NotFoundError):
        other.read_commit(CommitId(bytes.fromhex(lost)))
    other.close()
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


class Killed(BaseException):
    """Nobody catches it; what is done after it reaches no storage."""


def gc_killed_at(house: House, op: str, number: int) -> bool:
    """Let a gc die before its ``number``-th operation of this name; False: it had fewer."""
    faults = FaultyStorage(house.repo.storage)

    def die(_: str) -> None:
        faults.fail("*", lambda _: Killed(), times=10**9)
        raise Killed

    faults.pause(op, die, skip=number)
    settings = {"id": house.repo.creation_id, "chunking": house.repo.cutting.to_value()}
    with mock.patch.object(ProcessIdentity, "current", return_value=DEAD):
        try:
            collect(Repository(faults, settings, None), NOW)
        except Killed:
            return True
    return False


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("op", "step"),
    [
        ("delete", 4),
        *[pytest.param(op, 1, marks=pytest.mark.long) for op in ("delete", "hollow", "create")],
        pytest.param("commit", 1, marks=pytest.mark.long),
    ],
)
def test_gc_killed_at_each_delete_in_a_bucket(bucket: House, op: str, step: int) -> None:
    """Whatever it leaves, nothing is lost, and the next gc takes all that is to go."""
    bucket.commit(kept=bucket.noise(100_000))
    before = bucket.content()
    died = 0
    while True:
        lost = bucket.deleted_branch(700_000)
        bucket.repo.index.consolidate(everything=True)
        bucket.repo.leases.rest()
        alive = not gc_killed_at(bucket, op, died)
        assert bucket.content() == before
        collect(bucket.repo, NOW)
        assert check(bucket.repo, read_data=Share()).damages == []
        assert bucket.content() == before
        with pytest.raises(NotFoundError):
            bucket.repo.without_cache().read_commit(CommitId(bytes.fromhex(lost)))
        assert len(list(bucket.repo.storage.list("index/"))) == 1
        if alive:
            break
        died += step
    assert collect(bucket.repo, NOW).reclaimed == 0
    assert died >= {"delete": 3, "hollow": 1, "create": 3, "commit": 1}[op]


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
