"""A store of each kind with one asset."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ahstore.ids import AssetId, new_entity_id
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.repository import Repository
from tests.versions.kit import Asset

_counter = itertools.count()


@pytest.fixture(params=["memory", "local"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://versions-{next(_counter)}"
    return (tmp_path / "store").as_uri()


@pytest.fixture
def open_repo(url: str, tmp_path: Path) -> Iterator[Callable[[], Repository]]:
    opened: list[Repository] = []

    def opener() -> Repository:
        opened.append(Repository.open(url, create=True, cache_root=str(tmp_path / "cache")))
        return opened[-1]

    yield opener
    for repo in opened:
        repo.close()


@pytest.fixture
def repo(open_repo: Callable[[], Repository]) -> Repository:
    return open_repo()


@pytest.fixture
def asset(repo: Repository, tmp_path: Path) -> Asset:
    asset_id = AssetId(new_entity_id())
    create_asset_root(repo, asset_id, committer="ann")
    return Asset(repo, asset_id, tmp_path / "work")
