"""Listing and downloading from a store far away: how many requests, how many at once, how much memory."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ahstore.codec.canonical import encode
from ahstore.codec.envelope import seal
from ahstore.ids import AssetId, new_entity_id
from ahstore.objects.tree import build
from ahstore.storage.cells import Cell, Cells
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage, Result
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.readahead import AHEAD_BYTES, ReadAhead
from ahstore.versions.refs import Refs, ref_cell, ref_value
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download
from ahstore.versions.settings import make_settings
from tests.versions.kit import Asset


class FarStorage(RecordingStorage):
    """Counts how many reads of packs are under way at once."""

    def __init__(self, inner: MemoryStorage, *, seconds: float = 0.0) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, far=True)
        self.most = self._now = 0
        self._seconds = seconds
        self._guard = threading.Lock()

    def _do(self, op: str, key: str, sent: int, action: Callable[[], Result]) -> Result:
        with self._guard:
            self._now += 1
            self.most = max(self.most, self._now)
        if key.startswith("packs/"):
            time.sleep(self._seconds)
        try:
            return super()._do(op, key, sent, action)
        finally:
            with self._guard:
                self._now -= 1


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def asset(storage: MemoryStorage, tmp_path: Path) -> Iterator[Asset]:
    repo = Repository(storage, make_settings(storage, None), None)
    made = Asset(repo, AssetId(new_entity_id()), tmp_path / "work")
    create_asset_root(repo, made.id, committer="ann")
    yield made
    repo.close()


def open_far(storage: MemoryStorage, seconds: float = 0.0) -> tuple[Repository, FarStorage]:
    far = FarStorage(storage, seconds=seconds)
    return Repository(far, make_settings(storage, None), None), far


def test_a_listing_reads_neighbouring_pages_together(storage: MemoryStorage, asset: Asset) -> None:
    # 200,000 rows are 3,000 pages: one request for each would be a minute on S3.
    rows = [[f"d{n // 500:04}/f{n:07}", 1, "x" * 60] for n in range(200_000)]
    with asset.repo.session([Cell("test", ("x",))]) as session:
        root = build(rows, session)
        session.flush()
    repo, far = open_far(storage)
    tree = repo.tree(root)
    assert [row[0] for row in tree.scan()] == [row[0] for row in rows]
    assert far.count("read_range") < 80
    assert far.carried("read_range") < 1.3 * storage.stat(
        next(storage.list("packs/meta/"))
    ).size + (40 * 2**20)
    # Who wants a little gets a little.
    for wanted, expected in (("d0123/", 500), ("d0123/f006150", 10), ("nothing", 0)):
        far.clear()
        assert len(list(repo.tree(root).scan(prefix=wanted))) == expected
        assert far.count("read_range") <= 8
        assert far.carried() < 2 * 2**20
    far.clear()
    assert next(repo.tree(root).scan(after="d0200/"))[0] == "d0200/f0100000"
    assert far.carried() < 2 * 2**20


def test_reading_ahead_gives_each_page_and_holds_little(asset: Asset) -> None:
    choose = random.Random(3)
    rows = [[f"{n:07}", 1, choose.randbytes(2000)] for n in range(20_000)]
    with asset.repo.session([Cell("test", ("x",))]) as session:
        root = build(rows, session)
        session.flush()

    class Watched(ReadAhead):
        most = 0

        def read_page(self, page):  # type: ignore[no-untyped-def]
            data = super().read_page(page)
            Watched.most = max(Watched.most, self._bytes)
            return data

    tree = asset.repo.tree(root)
    tree._ahead = lambda prefix, start: Watched(asset.repo, prefix, start=start)
    assert list(tree.scan()) == rows
    assert Watched.most <= AHEAD_BYTES + 2**20


def test_a_download_keeps_many_requests_under_way(
    storage: MemoryStorage, asset: Asset, tmp_path: Path
) -> None:
    content = random.Random(1).randbytes(60 * 2**20)
    asset.write(large=content, **{f"d{n % 5}__s{n}": f"small {n}" for n in range(600)})
    head = asset.commit()
    repo, far = open_far(storage, seconds=0.02)
    assert Refs(repo).get(asset.id, "main").commit == head
    far.clear()
    download(repo, head, target=str(tmp_path / "out"))
    assert (tmp_path / "out" / "large").read_bytes() == content
    assert (tmp_path / "out" / "d3" / "s3").read_text() == "small 3"
    assert len(list((tmp_path / "out").rglob("s*"))) == 600
    assert far.most >= 4  # of twelve: how many meet depends on who else uses the processor
    # Pieces of 8 MiB, each one request, and little besides.
    assert far.count() <= 60 // 7 + 24, far.calls
    assert far.carried(under="packs/") < 1.1 * len(content) + 2**20


# Branches.


def make_branches(asset: Asset, count: int) -> None:
    head = asset.commit("first")
    refs = Refs(asset.repo)
    refs.create(asset.id, "v1", "tag", head, by="ann")
    # As many by themselves would take a second: their cells, without the ceremony.
    cells = Cells(asset.repo.storage)
    for n in range(count):
        cells.swap(ref_cell(asset.id, f"b{n:04}"), -1, ref_value("branch", head, "ann"))


def test_a_thousand_branches_take_few_requests(
    storage: MemoryStorage, asset: Asset, tmp_path: Path
) -> None:
    asset.write(file="x")
    make_branches(asset, 1000)
    expected = Refs(asset.repo).list(asset.id)
    assert len(expected) == 1002
    repo, far = open_far(storage)
    assert Refs(repo).list(asset.id) == expected  # the first reads all, several at once
    repo, far = open_far(storage)
    far.clear()
    assert Refs(repo).list(asset.id) == expected
    assert far.counts() == {"list": 1, "read": 1}
    assert [ref.name for ref in Refs(repo).list(asset.id, "tag")] == ["v1"]
    # What has changed since is read by itself, what is gone is left out.
    asset.write(file="y")
    head = asset.commit("second")
    Refs(asset.repo).delete(asset.id, "b0007", "branch")
    far.clear()
    listed = {ref.name: ref for ref in Refs(repo).list(asset.id)}
    assert listed["main"].commit == head
    assert "b0007" not in listed
    assert sorted(listed.values(), key=lambda r: r.name) == Refs(asset.repo).list(asset.id)
    assert far.counts() == {"list": 1, "read": 3}


@pytest.mark.parametrize(
    "hint",
    [b"", b"x", seal(b"REFS", b""), seal(b"REFS", encode([1, ["a"], ["main", 0, {}, "x"]])),
     seal(b"CELL", encode([]))],
)  # fmt: skip
def test_a_snapshot_is_only_a_hint(storage: MemoryStorage, asset: Asset, hint: bytes) -> None:
    asset.write(file="x")
    make_branches(asset, 40)
    storage.replace(f"hints/refs/{asset.id}", hint)
    repo, _ = open_far(storage)
    assert Refs(repo).list(asset.id) == Refs(asset.repo).list(asset.id)


def test_who_may_not_write_lists_all_the_same(storage: MemoryStorage, asset: Asset) -> None:
    asset.write(file="x")
    make_branches(asset, 40)
    faulty = FaultyStorage(storage)
    faulty.capabilities = replace(storage.capabilities, far=True)
    faulty.fail("replace")
    repo = Repository(faulty, make_settings(storage, None), None)
    assert len(Refs(repo).list(asset.id)) == 42


def test_a_long_history_is_passed_at_one_stroke(storage: MemoryStorage) -> None:
    # The versions of main must not be listed to find the branch behind it.
    cells = Cells(storage)
    for name, count in (("a", 3), ("main", 1200), ("z", 1)):
        for number in range(count):
            cells.swap(Cell("ref", ("asset", name)), number - 1, {})
    far = FarStorage(storage)
    found = dict(Cells(far).list_newest("ref", "asset"))
    assert {cell.key[1]: number for cell, number in found.items()} == {"a": 2, "main": 1199, "z": 0}
    assert far.count("list") == 2
    assert dict(Cells(storage).list_newest("ref", "other")) == {}
