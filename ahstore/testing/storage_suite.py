"""The storage contract as tests, which every backend passes.

A backend joins by subclassing ``StorageSuite`` in a test module and giving it three methods. What
a test sets up and looks at goes through ``plant`` and ``peek``, which bypass the code under test:

    class TestMyStorage(StorageSuite):
        def make(self, tmp_path): ...
        def plant(self, storage, key, data): ...
        def peek(self, storage, key): ...

Races between processes and crashes are the backend's own tests; races of threads are here.
"""

# ruff: noqa: D102  (the names of tests say what they test)
from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ahstore.errors import InvalidInputError
from ahstore.storage.contract import AlreadyThereError, MissingError, Storage
from ahstore.testing.storage_kit import CELL, HINT, LEASE, LOG, OTHER_PACK, PACK, race, version
from ahstore.testing.storage_reading import ReadingSuite

__all__ = ["CELL", "StorageSuite", "version"]


class StorageSuite(ReadingSuite):
    """What every backend has to pass. Each test gets a storage of its own.

    ``race_threads`` race for each of ``race_rounds`` keys.
    """

    race_threads = 8
    race_rounds = 10

    # create

    @pytest.mark.parametrize("durable", [True, False])
    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
    def test_create_stores_the_whole(self, storage: Storage, data: bytes, durable: bool) -> None:
        storage.create(PACK, data, durable=durable)
        assert self.peek(storage, PACK) == data

    def test_create_refuses_a_taken_key(self, storage: Storage) -> None:
        self.plant(storage, PACK, b"first")
        with pytest.raises(AlreadyThereError) as caught:
            storage.create(PACK, b"second")
        assert caught.value.key == PACK
        assert self.peek(storage, PACK) == b"first"

    @pytest.mark.parametrize("key", ["store.json", PACK, "index/1a", version(0), HINT, LOG])
    def test_every_kind_of_key_is_taken(self, storage: Storage, key: str) -> None:
        storage.create(key, b"body")
        assert self.peek(storage, key) == b"body"
        assert storage.read(key) == b"body"

    @pytest.mark.parametrize(
        "key",
        [
            *("", "/", "x", "packs", "packs/", "packs/data/ab", "a/b", "tmp/x", ".local/tmp/x"),
            *("store.json/x", "/store.json", "store.json\n", "../store.json", "hints/../x"),
            *("hints/a//b", "hints/./a", "hints/.a", "hints/A", "hints/a b", "hints/a\\b"),
            *("hints/a\0", "hints/\udc80", "hints/ü", "hints/" + "a" * 256, "hints/a/"),
            *("hints/" + "/".join(["a" * 200] * 6), "cells/ref/ffffffffffff"),
            *("cells/ref/one/fffffffffff", "cells/ref/one/FFFFFFFFFFFF", PACK.upper(), PACK + "0"),
        ],
    )
    def test_what_is_no_key_is_refused(self, storage: Storage, key: str) -> None:
        # A key that escapes would read or write outside the store.
        actions: list[Callable[[], object]] = [
            lambda: storage.create(key, b""),
            lambda: storage.new_file(key),
            lambda: storage.read(key),
            lambda: storage.read_range(key, 0, 0),
            lambda: storage.exists(key),
            lambda: storage.stat(key),
            lambda: storage.replace(key, b""),
            lambda: storage.delete(key),
        ]
        for action in actions:
            with pytest.raises(InvalidInputError):
                action()

    def test_one_of_many_threads_creates(self, storage: Storage) -> None:
        # Two winners of one number: a commit that was acknowledged is lost.
        for number in range(self.race_rounds):
            key = f"hints/race/{number}"

            def work(who: int, key: str = key) -> None:
                storage.create(key, str(who).encode())

            outcomes = race(self.race_threads, work)
            winners = [who for who, error in enumerate(outcomes) if error is None]
            assert len(winners) == 1
            assert all(isinstance(error, AlreadyThereError) for error in outcomes if error)
            assert self.peek(storage, key) == str(winners[0]).encode()

    def test_a_file_is_never_seen_in_part(self, storage: Storage) -> None:
        body = b"0123456789abcdef" * 65536
        seen: set[int] = set()
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                for number in range(10):
                    if storage.exists(f"hints/big/{number}"):
                        seen.add(len(storage.read(f"hints/big/{number}")))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            for number in range(10):
                storage.create(f"hints/big/{number}", body)
        finally:
            done.set()
            watcher.join()
        assert seen <= {len(body)}

    # cells

    def test_a_later_version_needs_its_folder(self, storage: Storage) -> None:
        # Were the folder made anew, a slow writer would win a number that had been taken.
        if not storage.capabilities.keeps_folders:
            pytest.skip("this backend has no folders")
        with pytest.raises(MissingError):
            storage.create(version(1), b"")
        assert self.peek(storage, version(1)) is None
        assert list(storage.list("cells/")) == []

    def test_numbers_count_up(self, storage: Storage) -> None:
        for number in range(5):
            assert storage.newest_version(CELL) == number - 1
            storage.create(version(number), b"%d" % number)
        assert storage.newest_version(CELL) == 4
        with pytest.raises(AlreadyThereError):
            storage.create(version(2), b"")

    @pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 33])
    def test_newest_version_with_a_hint(self, storage: Storage, count: int) -> None:
        for number in range(count):
            self.plant(storage, version(number), b"")
        for known in (0, count // 2, count - 1):
            assert storage.newest_version(CELL, at_least=known) == count - 1

    def test_newest_version_of_nothing(self, storage: Storage) -> None:
        assert storage.newest_version(CELL) == -1

    # new_file

    def test_new_file_collects_its_parts(self, storage: Storage) -> None:
        with storage.new_file(PACK) as writer:
            writer.write(b"one ")
            writer.write(memoryview(bytearray(b"two ")))
            writer.write(memoryview(b"-three-")[1:-1])
            assert writer.tell() == 13
            assert self.peek(storage, PACK) is None
            writer.commit()
            assert self.peek(storage, PACK) == b"one two three"
        assert self.peek(storage, PACK) == b"one two three"

    def test_new_file_left_without_commit_is_nothing(self, storage: Storage) -> None:
        with storage.new_file(PACK) as writer:
            writer.write(b"body")
        with pytest.raises(RuntimeError, match="user"), storage.new_file(PACK) as writer:
            raise RuntimeError("user")
        writer.abort()
        assert self.peek(storage, PACK) is None
        assert list(storage.list("")) == []

    def test_new_file_refuses_a_taken_key_at_commit(self, storage: Storage) -> None:
        with storage.new_file(PACK) as writer:
            writer.write(b"late")
            self.plant(storage, PACK, b"first")
            with pytest.raises(AlreadyThereError):
                writer.commit()
        assert self.peek(storage, PACK) == b"first"

    def test_new_file_empty(self, storage: Storage) -> None:
        with storage.new_file(PACK) as writer:
            writer.commit()
        assert self.peek(storage, PACK) == b""

    def test_a_finished_writer_is_of_no_use(self, storage: Storage) -> None:
        with storage.new_file(PACK) as writer:
            writer.commit()
        with pytest.raises(ValueError, match="not being written"):
            writer.write(b"more")
        with pytest.raises(ValueError, match="not being written"):
            writer.commit()
        assert self.peek(storage, PACK) == b""

    # what may change

    def test_replace_overwrites_hints(self, storage: Storage) -> None:
        storage.replace(HINT, b"one")
        storage.replace(HINT, b"")
        assert self.peek(storage, HINT) == b""
        storage.replace(HINT, b"two")
        assert self.peek(storage, HINT) == b"two"
        assert list(storage.list("")) == [HINT]

    @pytest.mark.parametrize("key", ["store.json", PACK, "index/1a", version(0), LOG])
    def test_replace_refuses_all_else(self, storage: Storage, key: str) -> None:
        self.plant(storage, key, b"first")
        with pytest.raises(InvalidInputError):
            storage.replace(key, b"second")
        assert self.peek(storage, key) == b"first"

    def test_hollow_takes_the_place_of_an_old_version(self, storage: Storage) -> None:
        """A number that came free, were it for a moment, could be won twice."""
        for number in range(3):
            storage.create(version(number), b"body %d" % number)
        storage.hollow(version(1), b"empty")
        assert storage.read(version(1)) == b"empty"
        assert self.peek(storage, version(1)) == b"empty"
        assert storage.read(version(0)) == b"body 0"
        assert storage.newest_version(CELL) == 2
        with pytest.raises(AlreadyThereError):
            storage.create(version(1), b"won")
        assert list(storage.list(CELL)) == [version(number) for number in (2, 1, 0)]

    def test_hollow_needs_something_to_empty(self, storage: Storage) -> None:
        storage.create(version(0), b"0")
        storage.create(version(1), b"1")
        with pytest.raises(MissingError):
            storage.hollow(version(2), b"empty")
        assert not storage.exists(version(2))

    @pytest.mark.parametrize("key", [PACK, HINT, LOG, version(0, LEASE), "store.json"])
    def test_hollow_refuses_all_else(self, storage: Storage, key: str) -> None:
        storage.create(key, b"stays")
        with pytest.raises(InvalidInputError):
            storage.hollow(key, b"empty")
        assert storage.read(key) == b"stays"

    def test_leftovers_are_not_files_of_the_store(self, storage: Storage) -> None:
        storage.create(PACK, b"pack")
        with storage.new_file(OTHER_PACK) as writer:
            writer.write(b"half")
            storage.clean_leftovers(storage.now() - 3600)
            writer.commit()
        storage.clean_leftovers(storage.now() + 3600)
        assert storage.read(PACK) == b"pack"
        assert storage.read(OTHER_PACK) == b"half"

    @pytest.mark.parametrize("key", [PACK, "index/1a", version(0, LEASE), HINT, LOG])
    def test_delete(self, storage: Storage, key: str) -> None:
        self.plant(storage, key, b"")
        storage.delete(key)
        storage.delete(key)
        assert self.peek(storage, key) is None
        assert list(storage.list("")) == []

    @pytest.mark.parametrize("key", ["store.json", version(0), version(7)])
    def test_delete_refuses_what_stays_for_ever(self, storage: Storage, key: str) -> None:
        # A number that is free again is won by a slow writer: an acknowledged commit is lost.
        self.plant(storage, key, b"")
        with pytest.raises(InvalidInputError):
            storage.delete(key)
        assert self.peek(storage, key) == b""

    def test_a_lease_that_went_leaves_nothing(self, storage: Storage) -> None:
        for number in range(3):
            storage.create(version(number, LEASE), b"", durable=False)
        for number in range(3):
            storage.delete(version(number, LEASE))
        assert list(storage.list("cells/lease/")) == []
        # Some name a folder for a while when its last file is gone.
        for name in storage.list_folders("cells/lease/"):
            assert list(storage.list(f"cells/lease/{name}/")) == []
        if storage.capabilities.keeps_folders:
            with pytest.raises(MissingError):
                storage.create(version(3, LEASE), b"")

    def test_folders_come_and_go_under_load(self, storage: Storage) -> None:
        # A folder removed between its making and its use must not fail who made it.
        def work(who: int) -> None:
            for number in range(30):
                storage.create(f"logs/run/{who}-{number}", b"")
                storage.delete(f"logs/run/{who}-{number}")

        assert [repr(error) for error in race(4, work) if error] == []

    # the rest

    def test_clock_and_mtime_agree(self, storage: Storage) -> None:
        before = storage.now()
        storage.create(HINT, b"")
        assert before - 1 <= storage.stat(HINT).mtime <= storage.now() + 1

    def test_lock_keeps_others_out(self, storage: Storage) -> None:
        inside: list[int] = []
        together: list[int] = []

        def work(who: int) -> None:
            for _ in range(5):
                with storage.lock("cells/ref/Any Name/"):
                    inside.append(who)
                    together.append(len(inside))
                    time.sleep(0.001)
                    inside.remove(who)

        assert [repr(error) for error in race(4, work) if error] == []
        assert set(together) == {1}

    def test_lock_is_released_by_an_error(self, storage: Storage) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="user"), storage.lock("a"):
                raise RuntimeError("user")

    def test_different_locks_do_not_meet(self, storage: Storage) -> None:
        with storage.lock("a"), storage.lock("b"):
            pass
