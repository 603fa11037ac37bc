"""What operations cost on S3, in requests counted on the way; docs/scaling.md tells of them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahstore.client.asset import Asset
from ahstore.client.store import Store
from ahstore.testing.fault_proxy import FaultProxy
from ahstore.testing.s3_servers import S3Server

PATH = "model/f/a"


@pytest.fixture
def proxy(s3_environment: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(s3_environment.endpoint) as proxy:
        yield proxy


@pytest.fixture
def url(s3_environment: S3Server, proxy: FaultProxy) -> str:
    bucket = s3_environment.bucket
    return f"s3://{bucket}/costs/{secrets.token_hex(6)}?endpoint_url={proxy.endpoint}"


def asset_of(store: Store) -> Asset:
    asset = store.get(PATH)
    assert isinstance(asset, Asset)
    return asset


def test_commits_of_one_file(url: str, proxy: FaultProxy, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with Store.open(url, cache_dir=tmp_path / "cache", user="me") as store:
        store.create("model/f")
        store.create(PATH)
        branch = asset_of(store).get_branch("main")
        costs = []
        for number in range(4):
            file.write_text(str(number))
            proxy.clear()
            branch.create_commit(str(number), add=[str(file)])
            costs.append(proxy.counts())
        assert sum(costs[0].values()) <= 14, costs[0]
        for cost in costs[1:]:
            assert sum(cost.values()) <= 11, cost
            # One pack and the branch's cell: what is durable when it is acknowledged.
            assert cost["Put"] == 2
        proxy.clear()
        assert branch.create_commit("same", add=[str(file)]) is None
        assert sum(proxy.counts().values()) <= 7
        assert proxy.counts()["Put"] == 0
        proxy.clear()
        assert [entry["path"] for entry in store.list(PATH)] == ["file"]
        assert sum(proxy.counts().values()) <= 6, proxy.counts()


def test_a_commit_of_many_small_files(url: str, proxy: FaultProxy, tmp_path: Path) -> None:
    # A file each, as other tools send them, would be 3,000 requests.
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3000):
        (folder / str(number)).write_bytes(os.urandom(500))
    with Store.open(url, cache_dir=tmp_path / "cache", user="me") as store:
        store.create("model/f")
        store.create(PATH)
        branch = asset_of(store).get_branch("main")
        proxy.clear()
        branch.create_commit("many", add=[f"{folder}/*"])
        assert sum(proxy.counts().values()) <= 20, proxy.counts()
        assert proxy.counts()["Put"] <= 4


def test_finding_by_path_looks_at_each_cell_once(
    url: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    # The catalogues were listed up to five times each, for the parts of one path.
    file = tmp_path / "file"
    file.write_text("x")
    with Store.open(url, cache_dir=tmp_path / "cache", user="me") as store:
        store.create("model/f")
        store.create(PATH)
        store.commit(PATH, "m", add=[str(file)])
    for short in (PATH, "f/a"):
        with Store.open(url, cache_dir=tmp_path / f"cache-{len(short)}", user="me") as store:
            proxy.clear()
            branch = store.branch(short)
            # Two catalogues: listed, read, a page each; the branch: listed and read.
            assert sum(proxy.counts().values()) <= 8, proxy.counts()
            proxy.clear()
            store.branch(short)
            assert proxy.counts() == {"ListObjects": 3}
            proxy.clear()
            branch.download(save_dir=tmp_path / f"out-{len(short)}")
            assert sum(proxy.counts().values()) <= 8, proxy.counts()
