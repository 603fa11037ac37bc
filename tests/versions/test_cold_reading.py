"""What a client that knows nothing pays to read from a store of 10,000 packs, in requests and bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ahstore.codec.digests import checksum64, sha256
from ahstore.errors import CorruptError
from ahstore.ids import Address, AssetId, ChunkId, new_entity_id
from ahstore.index.crowd import CROWD
from ahstore.index.segment_list import INDEX_CELL, decode_list
from ahstore.objects.file import REFS
from ahstore.packs.place import Kind, pack_key
from ahstore.packs.writer import PackWriter
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import open_object
from ahstore.versions.settings import make_settings
from tests.versions.kit import Asset

PACKS = 10_000


class FarStorage(RecordingStorage):
    """The same as seen from far away."""

    def __init__(self, inner: MemoryStorage) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, far=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MemoryStorage, Asset]]:
    """A store with an asset of 100 commits to 1,000 files, among 10,000 packs of others."""
    storage = MemoryStorage()
    repo = Repository(storage, make_settings(storage, None), None)
    for n in range(PACKS):
        with PackWriter(storage, "data" if n % 2 else "meta") as writer:
            for blob in (b"a%d" % n, b"b%d" % n, b"c%d" % n):
                writer.add(Kind.CHUNK if n % 2 else Kind.PAGE, sha256(blob), blob)
            writer.finish()
    assert repo.index.consolidate(everything=True)
    asset = Asset(repo, AssetId(new_entity_id()), tmp_path_factory.mktemp("work"))
    create_asset_root(repo, asset.id, committer="ann")
    asset.write(**{f"d{n % 30}__f{n}": f"content {n}" for n in range(1000)})
    asset.commit("first")
    for n in range(100):
        asset.write(**{f"d{n % 30}__f{n}": f"changed {n}"})
        asset.commit(f"change {n}")
    yield storage, asset
    repo.close()


def cold(storage: MemoryStorage, cache: Path | None = None) -> tuple[Repository, FarStorage]:
    far = FarStorage(storage)
    repo = Repository(far, make_settings(storage, None), str(cache) if cache else None)
    return repo, far


def test_committers_consolidated_on_their_way(store: tuple[MemoryStorage, Asset]) -> None:
    _storage, asset = store
    version = asset.repo.cells.read(INDEX_CELL)
    covered = sum(info.packs for info in decode_list(version))
    assert version.number >= 1
    assert covered >= PACKS + 100 - CROWD


@pytest.mark.parametrize("path", ["d9/f99", "d0/f0", "d7/f997"])
def test_one_file(store: tuple[MemoryStorage, Asset], path: str) -> None:
    # The newest, one of a hundred commits ago, one of the first: neither a listing of all packs nor
    # the whole index may be needed.
    storage, asset = store
    repo, far = cold(storage)
    head = Refs(repo).get(asset.id, "main").commit
    with open_object(repo, head, path) as file:
        assert file.read() == b"changed 99" if path == "d9/f99" else True
    assert far.count("list", under="packs/") == 0
    # A place in one of the newest packs is told by the pack itself: the worst case is a look into all.
    assert far.count() <= (24 if path == "d9/f99" else 24 + CROWD)
    assert far.carried() < 300_000


def test_its_log(store: tuple[MemoryStorage, Asset]) -> None:
    storage, asset = store
    repo, far = cold(storage)
    head = Refs(repo).get(asset.id, "main").commit
    assert [commit.message for _, commit in log(repo, head)][-2:] == ["first", "Repository created"]
    assert far.count("list", under="packs/") == 0
    assert far.count("stat", under="packs/") == 0
    assert far.carried(under="index/") < 500_000
    # A commit is one read; the index, and the packs that the branch tells of, come on top once.
    assert far.count() <= 102 + 20 + CROWD


def test_warm_reading_asks_for_the_head_alone(
    store: tuple[MemoryStorage, Asset], tmp_path: Path
) -> None:
    # Another process on the same machine, which knows only what is in the user's cache.
    storage, asset = store
    for _ in range(2):
        repo, far = cold(storage, tmp_path)
        far.clear()
        head = Refs(repo).get(asset.id, "main").commit
        assert far.counts()["newest_version"] == 1
        assert len(list(log(repo, head))) == 102
        for path in ("d9/f99", "d0/f0", "d7/f997"):
            with open_object(repo, head, path) as file:
                file.read()
        last = far.count()
        repo.close()
    assert last == 1, far.calls


@pytest.mark.parametrize("cache_size", [0, 1 << 30])
def test_the_cache_may_go_at_any_time(
    store: tuple[MemoryStorage, Asset], tmp_path: Path, cache_size: int
) -> None:
    storage, asset = store
    far = FarStorage(storage)
    repo = Repository(
        far, make_settings(storage, None), str(tmp_path / "cache"), cache_size=cache_size
    )
    head = Refs(repo).get(asset.id, "main").commit
    expected = [row[0] for row in repo.files(head).scan()]
    for _ in range(2):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        assert [row[0] for row in repo.files(head).scan()] == expected
        with open_object(repo, head, "d7/f997") as file:
            assert file.read() == b"content 997"
    repo.close()


def test_what_a_far_store_hands_out_is_checked_against_its_address(
    store: tuple[MemoryStorage, Asset], tmp_path: Path
) -> None:
    # A checksum that fits is no proof: who can write to the bucket can write that too.
    storage, asset = store
    twin = MemoryStorage()
    twin._files.update(storage._files)
    repo, _ = cold(twin)
    head = Refs(repo).get(asset.id, "main").commit
    row = repo.files(head).find("d7/f997")
    assert row is not None
    chunk = ChunkId(Address(row[REFS][:32]))
    place = repo.place(Kind.CHUNK, chunk)
    key = pack_key(place.family, place.pack)
    data, mtime = twin._files[key]
    forged = b"X" * place.stored
    twin._files[key] = data.replace(data[place.offset :][: place.stored], forged), mtime
    repo.index.forget(place.pack)
    lying = place._replace(checksum=checksum64(forged))
    repo._hints._places[Kind.CHUNK, chunk] = lying
    with pytest.raises(CorruptError):
        list(repo.read_chunks([chunk]))
