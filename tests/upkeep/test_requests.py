"""What gc and fsck ask of a storage far away: requests, and how many rounds these take."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ahstore.codec.digests import sha256
from ahstore.packs.place import Kind
from ahstore.packs.writer import PackWriter
from ahstore.storage.at_once import AT_ONCE, each
from ahstore.storage.contract import Storage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.wrapper import Result, WrappedStorage
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.repository import Repository
from ahstore.versions.settings import make_settings

PACKS = 64


class Far(WrappedStorage):
    """Answers what is asked of packs in rounds: when nobody asks any more, all get their answers.

    So it stands for a storage whose answers take long, whatever the machine does meanwhile.
    """

    QUIET_SECONDS = 0.4

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, far=True)
        self.requests: Counter[str] = Counter()
        self.rounds = 0
        self.most = 0
        self._waiting = 0
        self._turn = threading.Condition()

    def _do(self, op: str, key: str, sent: int, action: Callable[[], Result]) -> Result:
        if op in ("read", "read_range", "stat") and key.startswith("packs/"):
            with self._turn:
                self._wait(op)
        return action()

    def _wait(self, op: str) -> None:
        self.requests[op] += 1
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        this = self.rounds
        if self._waiting < AT_ONCE:
            self._turn.wait_for(lambda: self.rounds > this, self.QUIET_SECONDS)
        if self.rounds == this:
            self.rounds += 1
            self._waiting = 0
            self._turn.notify_all()


@pytest.fixture
def far() -> Far:
    """A store far away with many packs that nobody needs, each with a blob of its own."""
    storage = MemoryStorage()
    for number in range(PACKS):
        with PackWriter(storage, "data") as writer:
            data = b"%d" % number
            writer.add(Kind.CHUNK, sha256(data), data)
            writer.finish()
    return Far(storage)


def open_store(far: Far) -> Repository:
    return Repository(far, make_settings(far.inner, None), None)


def test_gc_reads_the_indexes_of_packs_many_at_once(far: Far) -> None:
    # One after the other, 10,000 packs took 20,000 answers' time: ten minutes at 30 ms.
    report = collect(open_store(far), Policy(min_age=0.0), dry_run=True)
    assert report.unneeded.packs == PACKS
    # Size and index of each; and of those that may go the age.
    assert far.requests == {"stat": 2 * PACKS, "read_range": PACKS}
    assert far.rounds <= 3 * PACKS / AT_ONCE * 2
    assert far.most <= AT_ONCE


def test_fsck_reads_the_ends_of_packs_many_at_once(far: Far) -> None:
    report = check(open_store(far))
    assert (report.packs, report.clean) == (PACKS, True)
    # Header, size and index of each; the index again for this client's own, and for the census.
    assert far.requests == {"stat": 3 * PACKS, "read_range": 4 * PACKS}
    assert far.rounds <= 7 * PACKS / AT_ONCE * 2
    assert far.most <= AT_ONCE


def test_no_more_is_held_than_is_said(far: Far) -> None:
    # The indexes of all packs at once would be gigabytes.
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(200):
            drawn.append(item)
            yield item

    for taken, (item, answer) in enumerate(each(far, lambda item: item * 2, items())):
        assert (item, answer) == (taken, 2 * taken)
        assert len(drawn) - taken <= 2 * AT_ONCE + 1
    assert len(drawn) == 200


def test_an_error_ends_it_and_nothing_goes_on_behind_it(far: Far) -> None:
    seen: list[int] = []

    def work(item: int) -> int:
        seen.append(item)
        if item == 3:
            raise ValueError(item)
        return item

    with pytest.raises(ValueError, match="3"):
        list(each(far, work, range(1000)))
    at_the_end = len(seen)
    assert at_the_end <= 3 + 3 * AT_ONCE
    assert len(seen) == at_the_end
    assert not [t for t in threading.enumerate() if t.name.startswith("ahstore-reads")]
