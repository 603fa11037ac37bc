"""The wrappers: what was asked, and faults on demand. And which way files get their names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahstore.errors import StorageError, UnsupportedError
from ahstore.storage import drafts
from ahstore.storage.contract import MissingError, UnsettledError
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import Call, RecordingStorage

PACK = "packs/data/ab/" + "ab" * 16


def test_recording() -> None:
    storage = RecordingStorage(MemoryStorage())
    storage.create("hints/a", b"four")
    with storage.new_file(PACK) as writer:
        writer.write(b"123456")
        writer.commit()
    storage.read_range(PACK, 1, 3)
    with pytest.raises(MissingError):
        storage.read("hints/b")
    assert storage.calls == [
        Call("create", "hints/a", 4),
        Call("new_file", PACK, 0),
        Call("write", PACK, 6),
        Call("commit", PACK, 0),
        Call("read_range", PACK, 3),
        Call("read", "hints/b", 0),
    ]
    assert storage.count() == 6
    assert storage.count("read", "read_range", under="packs/") == 1
    assert storage.carried("create", "write") == 10
    assert storage.counts()["commit"] == 1
    storage.clear()
    assert storage.calls == []


def test_faults_strike_where_they_are_told() -> None:
    storage = FaultyStorage(MemoryStorage())
    fault = storage.fail("create", under="hints/", skip=1, times=2)
    storage.create("logs/run/0", b"")
    storage.create("hints/0", b"")
    for number in (1, 2):
        with pytest.raises(StorageError, match="injected"):
            storage.create(f"hints/{number}", b"")
    storage.create("hints/3", b"")
    assert fault.hits == 2
    assert list(storage.list("hints/")) == ["hints/0", "hints/3"]


def test_a_lost_reply_and_a_lost_request() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.lose_reply("create", under="hints/0")
    storage.lose_request("create", under="hints/1")
    for number in (0, 1):
        with pytest.raises(UnsettledError):
            storage.create(f"hints/{number}", b"")
    assert list(storage.list("")) == ["hints/0"]


def test_others_may_act_while_one_is_paused() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.pause("create", lambda key: storage.inner.create(key, b"other"))
    with pytest.raises(Exception, match="already"):
        storage.create("hints/0", b"mine")
    storage.fail("*", KeyError("own error"))
    with pytest.raises(KeyError):
        storage.read("hints/0")
    storage.fail("read")
    storage.clear()
    assert storage.read("hints/0") == b"other"


def test_where_nothing_can_name_a_file_the_store_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overwriting(drafts.LinkedDraft):
        """A file system that ignores what it does not know."""

        def publish(self, folder_fd: int, name: str) -> None:
            os.rename(self._path, name, dst_dir_fd=folder_fd)

    def never(_folder_fd: int) -> drafts.Draft:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(
        "ahstore.storage.local.draft_makers", lambda spare: [never, lambda _: Overwriting(spare)]
    )
    storage = LocalStorage(tmp_path / "store", create=True)
    with pytest.raises(UnsupportedError, match="neither link"):
        storage.create("hints/a", b"")
    assert list(storage.list("")) == []


def test_a_name_that_was_given_though_the_reply_says_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # NFS: the reply to link is lost, it is sent again, and finds its own name.
    storage = LocalStorage(tmp_path / "store", create=True)
    storage.create("hints/warm", b"")
    real = drafts.AnonymousDraft.publish

    def publish(self: drafts.AnonymousDraft, folder_fd: int, name: str) -> None:
        real(self, folder_fd, name)
        raise FileExistsError(name)

    monkeypatch.setattr(drafts.AnonymousDraft, "publish", publish)
    storage.create("hints/mine", b"body")
    assert storage.read("hints/mine") == b"body"
