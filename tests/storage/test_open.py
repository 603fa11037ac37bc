"""From URLs to storages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError, NotFoundError, StorageError, UnsupportedError
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.open import open_storage


@pytest.mark.parametrize("name", ["store", "with space", "ünï", "a%41#?b", "line\nbreak"])
def test_a_folder_has_one_canonical_url(tmp_path: Path, name: str) -> None:
    storage = open_storage(str(tmp_path / name), create=True)
    assert isinstance(storage, LocalStorage)
    assert storage.url.startswith("file:///")
    assert storage.url.isascii()
    assert open_storage(storage.url).url == storage.url
    assert storage.capabilities.local_path == str(tmp_path / name)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    assert open_storage(open_storage(path, create=True).url).capabilities.local_path == path


def test_ways_to_write_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    monkeypatch.chdir(tmp_path)
    base = f"{tmp_path}"
    ways = ["store", "./store/", "link", f"{base}/store", f"file://{base}/store"]
    ways += [f"file://localhost{base}/x/../store", f"FILE://{base}/link"]
    (tmp_path / "x").mkdir()
    assert {open_storage(way).url for way in ways} == {f"file://{base}/store"}


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    for url in (str(tmp_path / "no" / "store"), "memory://never-made"):
        with pytest.raises(NotFoundError, match=r"no (folder|store)"):
            open_storage(url)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for create in (True, False):
        with pytest.raises(InvalidInputError, match="not a folder"):
            open_storage(str(tmp_path / "file"), create=create)
    with pytest.raises(StorageError):
        open_storage(str(tmp_path / "file" / "store"), create=True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "url",
    [
        *("", "a\0b", "file://host/path", "file://", "file:relative", "file:///a?b", "file:///a#b"),
        *("file:///a%00b", "memory://", "memory://a/b", "memory://../x", "memory://a b"),
    ],
)
def test_malformed(url: str) -> None:
    with pytest.raises(InvalidInputError):
        open_storage(url, create=True)


@pytest.mark.parametrize("url", ["https://host/x", "gs://b"])
def test_kinds_that_are_not_known(url: str) -> None:
    with pytest.raises(UnsupportedError, match=url.split(":")[0]):
        open_storage(url, create=True)


def test_memory_is_shared_by_name() -> None:
    try:
        one = open_storage("memory://shared-1", create=True)
        one.create("hints/a", b"")
        assert open_storage("memory://shared-1") is one
        assert open_storage("memory://shared-2", create=True) is not one
    finally:
        MemoryStorage.forget("shared-1")
        MemoryStorage.forget("shared-2")
    with pytest.raises(NotFoundError):
        open_storage("memory://shared-1")
