"""A store in memory, and a home of nobody's."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahstore.client.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("XDG_", "AH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


@pytest.fixture
def said() -> list[str]:
    """What the store told its user."""
    return []


@pytest.fixture
def store(home: Path, said: list[str]) -> Iterator[Store]:
    url = f"memory://{uuid.uuid4()}"
    with Store.open(url, user="user", cache_dir=home / "cache", notify=said.append) as store:
        yield store
