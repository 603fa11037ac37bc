"""The part of the storage contract about reading and listing, as tests; see ``storage_suite``."""

# ruff: noqa: D102  (the names of tests say what they test)
from __future__ import annotations

import itertools

import pytest

from ahstore.errors import CorruptError, InvalidInputError
from ahstore.storage.contract import MissingError, Range, Storage
from ahstore.testing.storage_kit import (
    CELL,
    OTHER_PACK,
    PACK,
    StorageKit,
    version,
)


class ReadingSuite(StorageKit):
    """What every backend has to pass that only looks."""

    # reading

    def test_read(self, storage: Storage) -> None:
        self.plant(storage, PACK, b"body")
        assert storage.read(PACK) == b"body"
        assert storage.exists(PACK)
        assert storage.stat(PACK).size == 4

    def test_read_of_what_is_not_there(self, storage: Storage) -> None:
        self.plant(storage, PACK, b"body")
        for key in (OTHER_PACK, "hints/packs/data", version(0)):
            for action in (storage.read, storage.stat, lambda key: storage.read_range(key, 0, 1)):
                with pytest.raises(MissingError) as caught:
                    action(key)
                assert caught.value.key == key
            assert not storage.exists(key)

    def test_a_folder_is_no_file(self, storage: Storage) -> None:
        self.plant(storage, "hints/a/b", b"")
        assert not any(key == "hints/a" for key in storage.list("hints/"))
        with pytest.raises(MissingError):
            storage.read("hints/a")

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, 0), (0, 10), (0, 3), (4, 6), (9, 1), (10, 0)]
    )
    def test_read_range(self, storage: Storage, offset: int, length: int) -> None:
        body = b"0123456789"
        self.plant(storage, PACK, body)
        assert storage.read_range(PACK, offset, length) == body[offset : offset + length]

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (50, 1)])
    def test_read_range_beyond_the_end(self, storage: Storage, offset: int, length: int) -> None:
        # Short data that passes for whole data.
        self.plant(storage, PACK, b"0123456789")
        with pytest.raises(CorruptError, match="truncated"):
            storage.read_range(PACK, offset, length)

    @pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
    def test_read_range_of_nonsense(self, storage: Storage, offset: int, length: int) -> None:
        self.plant(storage, PACK, b"0123456789")
        with pytest.raises(InvalidInputError):
            storage.read_range(PACK, offset, length)

    def test_read_ranges_answers_in_order(self, storage: Storage) -> None:
        body = bytes(range(256)) * 1000
        self.plant(storage, PACK, body)
        self.plant(storage, OTHER_PACK, body[::-1])
        ranges = [
            Range(PACK if number % 3 else OTHER_PACK, number * 1001, number * 37)
            for number in range(100)
        ]
        wanted = [
            (body if key == PACK else body[::-1])[offset : offset + length]
            for key, offset, length in ranges
        ]
        assert list(storage.read_ranges(iter(ranges))) == wanted
        assert list(storage.read_ranges([])) == []

    def test_read_ranges_can_be_left(self, storage: Storage) -> None:
        # Without end: what is read ahead has to be bounded.
        self.plant(storage, PACK, b"0123456789")
        answers = storage.read_ranges(Range(PACK, number % 10, 1) for number in itertools.count())
        assert [next(answers) for _ in range(25)] == [b"%d" % (n % 10) for n in range(25)]
        assert storage.read(PACK) == b"0123456789"

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (Range(OTHER_PACK, 0, 1), MissingError),
            (Range(PACK, 9, 2), CorruptError),
            (Range(PACK, -1, 2), InvalidInputError),
        ],
    )
    def test_read_ranges_fails_where_it_fails(
        self, storage: Storage, bad: Range, error: type[Exception]
    ) -> None:
        # What came before is good; short data never passes for whole data.
        self.plant(storage, PACK, b"0123456789")
        answers = storage.read_ranges([Range(PACK, 0, 3), bad, Range(PACK, 3, 3)])
        assert next(answers) == b"012"
        with pytest.raises(error):
            next(answers)

    # listing

    KEYS = (
        "cells/ref/a-b/x/ffffffffffff",
        "cells/ref/a.b/x/ffffffffffff",
        "cells/ref/a/x/fffffffffffe",
        "cells/ref/a/x/ffffffffffff",
        "cells/ref/a0/x/ffffffffffff",
        "cells/ref/a~a/x/ffffffffffff",
        "cells/ref/b/y/ffffffffffff",
        "hints/z",
        "logs/run/000000000001",
        PACK,
        "store.json",
    )

    def _plant_all(self, storage: Storage) -> list[str]:
        for key in self.KEYS:
            self.plant(storage, key, b"")
        return sorted(self.KEYS)

    def test_list_is_sorted_and_whole(self, storage: Storage) -> None:
        keys = self._plant_all(storage)
        assert list(storage.list("")) == keys
        assert list(storage.list("cells/ref/a/")) == [
            "cells/ref/a/x/fffffffffffe",
            "cells/ref/a/x/ffffffffffff",
        ]

    def test_list_of_what_is_not_there(self, storage: Storage) -> None:
        assert list(storage.list("")) == []
        self._plant_all(storage)
        for prefix in ("cells/ref/c/", "packs/meta/", "store.json/"):
            assert list(storage.list(prefix)) == []
            assert list(storage.list_folders(prefix)) == []

    def test_list_after_and_limit(self, storage: Storage) -> None:
        keys = self._plant_all(storage)
        for after in (*keys, "", "cells/ref/a/", "cells/ref/a/x", "cells/z", "zzz"):
            wanted = [key for key in keys if key > after]
            assert list(storage.list("", after=after)) == wanted
            for limit in (0, 1, 2, 100):
                assert list(storage.list("", after=after, limit=limit)) == wanted[:limit]

    def test_list_folders(self, storage: Storage) -> None:
        self._plant_all(storage)
        assert list(storage.list_folders("")) == ["cells", "hints", "logs", "packs"]
        assert list(storage.list_folders("cells/ref/")) == ["a", "a-b", "a.b", "a0", "a~a", "b"]
        assert list(storage.list_folders("cells/ref/a/x/")) == []

    @pytest.mark.parametrize("prefix", ["/", "cells", "../", "cells//", "./", "A/", "cells/\n/"])
    def test_what_is_no_folder_is_refused(self, storage: Storage, prefix: str) -> None:
        for action in (storage.list, storage.list_folders, storage.newest_version):
            with pytest.raises(InvalidInputError):
                action(prefix)

    def test_what_was_written_is_listed_at_once(self, storage: Storage) -> None:
        for number in range(20):
            storage.create(version(number), b"")
            assert next(storage.list(CELL, limit=1)) == version(number)
