"""The index and the caches on a real server: consolidation, cold and warm readers, a download."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ahstore.ids import AssetId, new_entity_id
from ahstore.index.segment_list import INDEX_CELL, decode_list
from ahstore.storage.open import open_storage
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download, open_object
from ahstore.versions.settings import make_settings
from tests.versions.kit import Asset


def open_counted(url: str, cache: Path | None) -> tuple[Repository, RecordingStorage]:
    storage = RecordingStorage(open_storage(url))
    repo = Repository(storage, make_settings(storage, None), str(cache) if cache else None)
    return repo, storage


def test_a_team_of_one(s3_url: str, tmp_path: Path) -> None:
    repo = Repository.open(s3_url, create=True, cache_root=str(tmp_path / "writer"))
    asset = Asset(repo, AssetId(new_entity_id()), tmp_path / "work")
    create_asset_root(repo, asset.id, committer="ann")
    content = random.Random(5).randbytes(24 * 2**20)
    asset.write(large=content)
    asset.commit("large")
    for n in range(66):
        asset.write(small=f"{n}")
        asset.commit(f"{n}")
    covered = sum(info.packs for info in decode_list(repo.cells.read(INDEX_CELL)))
    assert covered >= 60
    repo.close()

    # Cold, by the segment; then warm, in what could be another process.
    for requests in (100, 1):
        repo, storage = open_counted(s3_url, tmp_path / "reader")
        assert storage.capabilities.far
        storage.clear()
        head = Refs(repo).get(asset.id, "main").commit
        assert [commit.message for _, commit in log(repo, head)][:2] == ["65", "64"]
        assert storage.count() <= requests, storage.calls
        assert storage.count("list", under="packs/") == 0
        repo.close()
    repo, storage = open_counted(s3_url, tmp_path / "reader")
    download(repo, head, target=str(tmp_path / "out"))
    assert (tmp_path / "out" / "large").read_bytes() == content
    storage.clear()
    with open_object(repo, head, "large") as file:
        assert file.read() == content
    assert storage.count() == 0
    repo.close()


@pytest.mark.parametrize("count", [40])
def test_branches(s3_url: str, tmp_path: Path, count: int) -> None:
    repo = Repository.open(s3_url, create=True, cache_root=None)
    asset = Asset(repo, AssetId(new_entity_id()), tmp_path / "work")
    create_asset_root(repo, asset.id, committer="ann")
    asset.write(file="x")
    head = asset.commit()
    refs = Refs(repo)
    for n in range(count):
        refs.create(asset.id, f"b{n:03}", "branch", head, by="ann", via="main")
    listed = refs.list(asset.id)
    assert [ref.name for ref in listed] == [*(f"b{n:03}" for n in range(count)), "main"]
    repo.close()
    repo, storage = open_counted(s3_url, None)
    storage.clear()
    assert Refs(repo).list(asset.id) == listed
    assert storage.counts() == {"list": 1, "read": 1}
    repo.close()
