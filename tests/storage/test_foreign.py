"""Stores on other file systems of fsspec: the contract for one writer, and what is refused."""

from __future__ import annotations

import secrets
from pathlib import Path

import fsspec
import pytest

from ahstore.client.store import Store
from ahstore.errors import InvalidInputError, StorageError, UnsupportedError
from ahstore.storage.contract import Storage
from ahstore.storage.open import open_storage
from ahstore.testing.storage_suite import StorageSuite, version


class _ForeignSuite(StorageSuite):
    race_threads = 1  # for one writer at a time
    race_rounds = 2

    def place(self, tmp_path: Path) -> str:
        raise NotImplementedError

    def make(self, tmp_path: Path) -> Storage:
        place = self.place(tmp_path)
        self.system, self.root = fsspec.url_to_fs(place)
        return open_storage(f"fsspec+{place}?writers=one")

    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        path = f"{self.root}/{key}"
        self.system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.system.pipe_file(path, data)

    def peek(self, storage: Storage, key: str) -> bytes | None:
        path = f"{self.root}/{key}"
        return bytes(self.system.cat_file(path)) if self.system.exists(path) else None


class TestOnFolders(_ForeignSuite):
    """Where files are written aside and moved."""

    def place(self, tmp_path: Path) -> str:
        return f"file://{tmp_path}/store"


class TestOnObjects(_ForeignSuite):
    """Where a file appears when it is complete."""

    def place(self, tmp_path: Path) -> str:
        return f"memory:///{secrets.token_hex(8)}/store"


def test_who_has_not_vouched_may_only_read(tmp_path: Path) -> None:
    # Its creations are not atomic: two writers would both be told that they won.
    url = f"fsspec+file://{tmp_path}/store"
    with open_storage(url + "?writers=one") as storage:
        storage.create(version(0), b"body")
    with open_storage(url) as storage:
        assert not storage.capabilities.shared_writers
        assert storage.read(version(0)) == b"body"
        assert list(storage.list("")) == [version(0)]
        for write in (
            lambda: storage.create(version(1), b""),
            lambda: storage.new_file("index/1"),
            lambda: storage.replace("hints/a", b""),
            lambda: storage.delete("hints/a"),
        ):
            with pytest.raises(UnsupportedError, match="writers=one"):
                write()


def test_a_store_is_made_and_read(tmp_path: Path) -> None:
    url = f"fsspec+file://{tmp_path}/store"
    (tmp_path / "x").write_text("content")
    with Store.open(url + "?writers=one", cache_dir=tmp_path / "one", user="me") as store:
        store.create("model/f")
        store.create("model/f/a")
        store.commit("model/f/a", "one", add=[f"{tmp_path}/x"])
        store.create("dataset/f")
        store.create("dataset/f/a")
        with pytest.raises(UnsupportedError, match="runs need"):
            store.get("model/f/a").train(
                branch="b", dataset="dataset/f/a", volume="1Mi",
                git_repo=str(tmp_path), git_revision="main", git_subpath=".",
            )  # fmt: skip
    with Store.open(url, cache_dir=tmp_path / "two", user="me", create=False) as store:
        (entry,) = store.list("model/f/a")
        assert entry["physical_address"].startswith(f"fsspec+file://{tmp_path}/store/packs/")
        store.download("model/f/a", save_dir=tmp_path / "out")
    assert (tmp_path / "out" / "x").read_text() == "content"
    # It is the same store to everyone.
    with Store.open(tmp_path / "store", cache_dir=tmp_path / "three", user="me") as store:
        assert [entry["path"] for entry in store.list("model/f/a")] == ["x"]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("gs://bucket/a?token=x", InvalidInputError),
        ("sftp://user:pass@host/a", InvalidInputError),
        ("fsspec+memory:///a?writers=many", InvalidInputError),
        ("fsspec+memory:///a/../b", InvalidInputError),
        ("fsspec+nonsense://a", UnsupportedError),
        ("https://host/a", UnsupportedError),
    ],
)
def test_refused(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_storage(url)


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(UnsupportedError, match="gcsfs"):
        open_storage("gs://bucket/a")


def test_trouble_is_typed(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, no folder")
    with open_storage(f"fsspec+file://{tmp_path}/store?writers=one") as storage:
        with pytest.raises(StorageError, match="store/hints/a"):
            storage.create("hints/a", b"")
        assert list(storage.list("")) == []
