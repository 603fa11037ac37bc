"""Houses: stores in memory and on disk with one model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.upkeep.kit import House, new_house
from tests.upkeep.scenes import remove_folders

_counter = itertools.count()


@pytest.fixture(scope="package", autouse=True)
def _no_folders_left() -> Iterator[None]:
    yield
    remove_folders()


@pytest.fixture(params=["memory", "local"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    memory = f"memory://upkeep-{next(_counter)}"
    made = new_house(memory if request.param == "memory" else str(tmp_path / "store"), tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[House]:
    made = new_house(str(tmp_path / "store"), tmp_path)
    yield made
    made.store.close()
