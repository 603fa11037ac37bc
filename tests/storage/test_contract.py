"""Every backend and wrapper passes the suite of the storage contract."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError
from ahstore.storage import drafts
from ahstore.storage.contract import Storage
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from ahstore.testing.storage_suite import CELL, StorageSuite, version


def root_of(storage: Storage) -> str:
    path = storage.capabilities.local_path
    assert path is not None
    return path


class TestLocalStorage(StorageSuite):
    def make(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path / "store", create=True)

    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        path = Path(root_of(storage), key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def peek(self, storage: Storage, key: str) -> bytes | None:
        path = Path(root_of(storage), key)
        return path.read_bytes() if path.exists() else None

    def test_nothing_is_left_beside_the_files(self, storage: Storage) -> None:
        storage.create(version(0), b"")
        storage.replace("hints/a", b"")
        with storage.new_file("index/1") as writer:
            writer.write(b"abandoned")
        files = [
            os.path.relpath(os.path.join(folder, name), root_of(storage))
            for folder, _, names in os.walk(root_of(storage))
            for name in names
        ]
        assert sorted(files) == [version(0), "hints/a"]


class TestLocalStorageWithoutAnonymousFiles(TestLocalStorage):
    """As on NFS."""

    way = 1

    @pytest.fixture(autouse=True)
    def _only_one_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        makers = drafts.draft_makers
        monkeypatch.setattr(
            "ahstore.storage.local.draft_makers", lambda spare: [makers(spare)[self.way]]
        )


class TestLocalStorageWithoutLinks(TestLocalStorageWithoutAnonymousFiles):
    """As on exFAT and some network file systems."""

    way = 2


class TestMemoryStorage(StorageSuite):
    def make(self, tmp_path: Path) -> Storage:
        return MemoryStorage()

    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        assert isinstance(storage, MemoryStorage)
        storage._files[key] = (data, 0.0)

    def peek(self, storage: Storage, key: str) -> bytes | None:
        assert isinstance(storage, MemoryStorage)
        found = storage._files.get(key)
        return found[0] if found else None

    # Memory is the strictest: what only a wrong caller does fails here first.

    def test_no_gap_in_a_cell(self, storage: Storage) -> None:
        storage.create(version(0), b"")
        with pytest.raises(InvalidInputError, match="gap"):
            storage.create(version(2), b"")

    def test_no_cell_inside_a_cell(self, storage: Storage) -> None:
        storage.create(version(0), b"")
        with pytest.raises(InvalidInputError, match="inside"):
            storage.create(CELL + "deeper/ffffffffffff", b"")
        with pytest.raises(InvalidInputError, match="around"):
            storage.create("cells/ref/one/ffffffffffff", b"")

    @pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x"), "x"])
    def test_content_is_bytes(self, storage: Storage, data: bytes) -> None:
        with pytest.raises(InvalidInputError):
            storage.create(version(0), data)

    def test_no_file_where_a_folder_is(self, storage: Storage) -> None:
        storage.create("hints/a/b", b"")
        with pytest.raises(InvalidInputError):
            storage.create("hints/a", b"")
        with pytest.raises(InvalidInputError):
            storage.create("hints/a/b/c", b"")


class TestRecordingStorage(TestLocalStorage):
    def make(self, tmp_path: Path) -> Storage:
        return RecordingStorage(super().make(tmp_path))


class TestFaultyStorage(TestMemoryStorage):
    def make(self, tmp_path: Path) -> Storage:
        return FaultyStorage(MemoryStorage())

    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        assert isinstance(storage, FaultyStorage)
        super().plant(storage.inner, key, data)

    def peek(self, storage: Storage, key: str) -> bytes | None:
        assert isinstance(storage, FaultyStorage)
        return super().peek(storage.inner, key)
