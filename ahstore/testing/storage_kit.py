"""What the parts of the storage suite share: keys of every kind, and what a backend gives."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ahstore.storage.contract import Storage
from ahstore.storage.paths import version_name

PACK = "packs/data/ab/" + "ab" * 16
OTHER_PACK = "packs/data/cd/" + "cd" * 16
CELL = "cells/ref/one/main/"
LEASE = "cells/lease/one/"
HINT = "hints/heartbeat/one"
LOG = "logs/one/000000000000"


def version(number: int, folder: str = CELL) -> str:
    """Return the key of a version of a cell."""
    return folder + version_name(number)


class StorageKit(ABC):
    """One backend: how a storage is made, and how files are put there and seen behind its back."""

    @abstractmethod
    def make(self, tmp_path: Path) -> Storage:
        """Return a new empty storage."""

    @abstractmethod
    def plant(self, storage: Storage, key: str, data: bytes) -> None:
        """Put a file there by other means than the storage's."""

    @abstractmethod
    def peek(self, storage: Storage, key: str) -> bytes | None:
        """Return a file's content by other means, None if it is not there."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        """A storage for one test."""
        with self.make(tmp_path) as storage:
            yield storage


def race(count: int, work: Callable[[int], object]) -> list[BaseException | None]:
    """Run ``work(0)`` … at once in threads and return what each raised."""
    outcomes: list[BaseException | None] = [None] * count
    barrier = threading.Barrier(count)

    def run(who: int) -> None:
        barrier.wait()
        try:
            work(who)
        except BaseException as error:
            outcomes[who] = error

    threads = [threading.Thread(target=run, args=(who,)) for who in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
