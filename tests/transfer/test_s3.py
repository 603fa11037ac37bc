"""The same between a disk and a bucket, both ways, in few requests."""

from __future__ import annotations

import random
from pathlib import Path

from ahstore.hub.hub import Hub
from ahstore.storage.recording import RecordingStorage
from ahstore.transfer.sync import clone, sync
from ahstore.versions.repository import Repository
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side
from tests.transfer.test_sync import fill


def over(repo: Repository, storage: RecordingStorage) -> Hub:
    settings = {"id": repo.creation_id, "chunking": repo.cutting.to_value()}
    return Hub(Repository(storage, settings, None), "ann")


def test_there_and_back(make_side: MakeSide, s3_url: str, tmp_path: Path) -> None:
    local = make_side("local")
    fill(local)
    repo = Repository.open(s3_url, create=True, cache_root=str(tmp_path / "s3"))
    bucket = Side(Hub(repo, "ann"), local.work)
    try:
        clone(local.hub, bucket.hub)
        assert bucket.snapshot() == local.snapshot()
        model = bucket.asset()
        bucket.commit(model, {"new": b"committed to the bucket"})
        back = sync(bucket.hub, local.hub)
        assert back.traffic.commits == 1
        assert bucket.snapshot() == local.snapshot()
    finally:
        repo.close()


def test_many_small_files_take_few_requests(
    make_side: MakeSide, s3_url: str, tmp_path: Path
) -> None:
    local = make_side("local")
    data = local.asset("digits", "img", "dataset")
    rng = random.Random(5)
    local.commit(data, {f"{i % 20}/{i:05}": rng.randbytes(2000) for i in range(5000)})
    repo = Repository.open(s3_url, create=True)
    recorded = RecordingStorage(repo.storage)
    sync(local.hub, over(repo, recorded))
    assert recorded.count("new_file") <= 4  # data, meta, and two catalogues
    # Cells, leases and listings of two folders' worth of catalogue; nothing goes with the files.
    assert len(recorded.calls) <= 150
    reading = RecordingStorage(repo.storage)
    other = make_side("local")
    result = sync(over(repo, reading), other.hub)
    assert result.traffic.sent >= 5000
    assert reading.count("read_range", under="packs/data/") <= 6
    assert len(reading.calls) <= 80
    assert other.head(data) == local.head(data)
    repo.close()
