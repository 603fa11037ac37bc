"""A store of each kind with a hub."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.versions.repository import Repository
from tests.hub.kit import Two

_counter = itertools.count()


@pytest.fixture(params=["memory", "local"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://hub-{next(_counter)}"
    return (tmp_path / "store").as_uri()


@pytest.fixture
def open_hub(url: str, tmp_path: Path) -> Iterator[Callable[[str], Hub]]:
    opened: list[Hub] = []

    def opener(user: str) -> Hub:
        repo = Repository.open(url, create=True, cache_root=str(tmp_path / f"cache-{user}"))
        opened.append(Hub(repo, user))
        return opened[-1]

    yield opener
    for hub in opened:
        hub.repo.close()


@pytest.fixture
def hub(open_hub: Callable[[str], Hub]) -> Hub:
    return open_hub("ann")


@pytest.fixture
def two() -> Two:
    return Two(f"memory://hub-two-{next(_counter)}")
