"""Two stores, each of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.storage.memory import MemoryStorage
from ahstore.versions.repository import Repository
from tests.transfer.kit import Side

_counter = itertools.count()

MakeSide = Callable[[str], Side]


@pytest.fixture
def make_side(tmp_path: Path) -> Iterator[MakeSide]:
    opened: list[Side] = []

    def make(kind: str) -> Side:
        number = next(_counter)
        name = f"transfer-{number}"
        url = f"memory://{name}" if kind == "memory" else (tmp_path / name).as_uri()
        work = tmp_path / f"work-{number}"
        work.mkdir()
        repo = Repository.open(url, create=True, cache_root=str(tmp_path / f"cache-{number}"))
        opened.append(Side(Hub(repo, "ann"), work))
        return opened[-1]

    yield make
    for side in opened:
        side.repo.close()
        MemoryStorage.forget(side.repo.url.removeprefix("memory://"))


@pytest.fixture(params=["memory", "local"])
def source(request: pytest.FixtureRequest, make_side: MakeSide) -> Side:
    return make_side(request.param)


@pytest.fixture(params=["memory", "local"])
def target(request: pytest.FixtureRequest, make_side: MakeSide) -> Side:
    return make_side(request.param)
