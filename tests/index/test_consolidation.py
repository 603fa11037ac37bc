"""Consolidation: what it leaves at every step, tiers, races, gc beside it, and what readers save."""

from __future__ import annotations

import contextlib
import random
import subprocess
from dataclasses import replace

import pytest

from ahstore.codec.digests import sha256
from ahstore.errors import AhError, NotFoundError, OutcomeUnknownError, StorageError
from ahstore.index.consolidation import Consolidation
from ahstore.index.crowd import CROWD
from ahstore.index.index import Index
from ahstore.index.segment import Segment
from ahstore.index.segment_list import INDEX_CELL, live_segments
from ahstore.index.segments import Segments
from ahstore.packs.place import Kind, pack_key
from ahstore.packs.reader import PackReader
from ahstore.storage.cells import Cells
from ahstore.storage.contract import UnsettledError
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.lease_record import lease_cell
from ahstore.storage.leases import list_leases
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from ahstore.storage.wrapper import WrappedStorage
from tests.index import processes
from tests.index.segment_kit import model_of, named, packs_in, write, write_packs


def consolidation(storage):
    return Consolidation(storage, Cells(storage), PackReader(storage))


def names(packs):
    return [(pack.family, pack.id) for pack in packs]


def told(storage, packs):
    segments = Segments(storage, Cells(storage))
    segments.refresh()
    return {key: set(places) for key, places in segments.find_many(list(model_of(packs))).items()}


def test_it_covers_what_it_is_given():
    storage = MemoryStorage()
    packs = write_packs(storage, 70)
    assert consolidation(storage).cover(names(packs), least=70)
    assert told(storage, packs) == model_of(packs)
    assert not consolidation(storage).cover(names(packs))  # nothing is left to do
    assert [i.id for i in named(storage)] == sorted(live_segments(Cells(storage)))
    assert not consolidation(storage).cover(names(write_packs(storage, 5)), least=6)


def test_segments_stay_few_and_are_seldom_rewritten(monkeypatch):
    # 2,400 packs in portions of 40: each look-up asks each segment, and each record that
    # is rewritten is a cost of its commit.
    monkeypatch.setattr("ahstore.index.consolidation.SMALL_RECORDS", 50)
    storage = RecordingStorage(MemoryStorage())
    work = consolidation(storage)
    most = 0
    packs = []
    for _ in range(60):
        some = write_packs(storage, 40, blobs=1)
        packs += some
        storage.clear()
        indexes = {pack.id: pack.index for pack in some}
        assert work.cover(names(some), find_index=indexes.get)
        assert storage.count(under="packs/") == 0
        most = max(most, len(named(storage)))
    written = sum(pack.count for pack in packs) * 76
    rewritten = sum(len(storage.read(key)) for key in storage.list("index/"))
    assert most <= 5
    assert rewritten <= 10 * written
    sizes = [info.records for info in named(storage)]
    assert sizes == sorted(sizes, reverse=True)
    assert told(storage, packs[::50]) == model_of(packs[::50])


def test_much_is_covered_in_parts(monkeypatch):
    # A store whose index was lost has all its packs uncovered: memory has to stay bounded.
    monkeypatch.setattr("ahstore.index.consolidation.MAX_PENDING_BYTES", 60 * 30)
    storage = MemoryStorage()
    packs = write_packs(storage, 100, blobs=3)
    assert consolidation(storage).cover(names(packs), least=50)
    assert told(storage, packs) == model_of(packs)
    assert sum(info.packs for info in named(storage)) == 100


class Killed(BaseException):
    """The process is gone."""


class DyingStorage(WrappedStorage):
    """Dies at the n-th operation that changes the store, before or after it is done, for good."""

    def __init__(self, inner, *, at=None, after=False):
        super().__init__(inner)
        self.count = 0
        self._at, self._after, self._dead = at, after, False

    def _do(self, op, key, sent, action):
        if self._dead:
            raise Killed
        changes = op in ("create", "new_file", "write", "commit", "delete", "replace")
        if changes and self.count == self._at and not self._after:
            self._dead = True
            raise Killed
        result = action()
        if changes and self.count == self._at:
            self._dead = True
            raise Killed
        self.count += changes
        return result


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("job", ["cover", "without"])
def test_killed_at_each_step(job, after):
    # The old index or the new one, both of them whole; what stays besides is for gc.
    at, finished = 0, False
    while not finished:
        storage = MemoryStorage()
        old = write_packs(storage, 30)
        consolidation(storage).cover(names(old))
        new = write_packs(storage, 70, blobs=5)
        dying = DyingStorage(storage, at=at, after=after)
        try:
            if job == "cover":
                consolidation(dying).cover(names(new))
            else:
                consolidation(dying).without([old[0].id])
            finished = True
        except Killed:
            pass
        before, done = (old, old + new) if job == "cover" else (old, old[1:])
        assert told(storage, old + new) in (model_of(before), model_of(done))
        for info in named(storage):
            Segment(storage, info).check()
        index = Index.open(None, PackReader(storage), storage)
        for pack in old + new:
            for address, place in pack.entries:
                assert index.get(place.kind, address).pack == pack.id
        # Who comes next is not held up.
        consolidation(storage).cover(names(old + new))
        assert told(storage, old + new) == model_of(old + new)
        at += 1
    assert at > 4


def test_a_lost_race_leaves_nothing():
    # Two who consolidate at once: the loser's segment is nobody's, and would stay for ever.
    storage = MemoryStorage()
    packs = write_packs(storage, 20)
    faulty = FaultyStorage(storage)
    faulty.pause(
        "create",
        lambda _key: consolidation(storage).cover(names(packs[:10])),
        under="cells/index/",
    )
    assert not consolidation(faulty).cover(names(packs))
    assert list(storage.list("index/")) == [info.key for info in named(storage)]
    assert told(storage, packs) == model_of(packs[:10])
    assert not list(list_leases(Cells(storage)))


def test_a_revoked_lease_publishes_nothing():
    # gc may have listed the segments already: one that is named now could be deleted.
    storage = MemoryStorage()
    packs = write_packs(storage, 5)

    def revoke(_key):
        for record in list(list_leases(Cells(storage))):
            Cells(storage).swap(
                lease_cell(record.id),
                record.number,
                {**_value(storage, record), "status": "revoked"},
            )

    faulty = FaultyStorage(storage)
    faulty.pause("commit", revoke, under="index/", after=True)
    assert not consolidation(faulty).cover(names(packs))
    assert named(storage) == []


def _value(storage, record):
    return Cells(storage).read(lease_cell(record.id)).value


def test_failures_leave_the_old_index():
    for op, under in (("new_file", "index/"), ("write", "index/"), ("commit", "index/"),
                      ("create", "cells/index/"), ("create", "cells/lease/")):  # fmt: skip
        storage = MemoryStorage()
        packs = write_packs(storage, 5)
        faulty = FaultyStorage(storage)
        faulty.fail(op, under=under)
        with pytest.raises(StorageError):
            consolidation(faulty).cover(names(packs))
        assert named(storage) == []
        assert consolidation(faulty).cover(names(packs))
        assert told(storage, packs) == model_of(packs)


def test_an_unknown_outcome_is_said_and_its_lease_stays():
    storage = MemoryStorage()
    packs = write_packs(storage, 5)
    faulty = FaultyStorage(storage)
    faulty.lose_request("create", under="cells/index/", times=99)
    faulty.fail("read", lambda key: UnsettledError("no", key=key), under="cells/index/", times=99)
    cells = Cells(faulty, pause=lambda _seconds: None)
    with pytest.raises(OutcomeUnknownError):
        Consolidation(faulty, cells, PackReader(faulty)).cover(names(packs))
    assert len(list(list_leases(Cells(storage)))) == 1


def test_a_damaged_segment_falls_out_of_the_list():
    # Merging must not spread damage, nor be stopped by it for ever.
    storage = MemoryStorage()
    old, new = write_packs(storage, 20, blobs=10), write_packs(storage, 20)
    work = consolidation(storage)
    work.cover(names(old))
    info = named(storage)[0]
    data = bytearray(storage.read(info.key))
    data[3000] ^= 1
    storage.delete(info.key)
    storage.create(info.key, bytes(data))
    assert work.cover(names(new))
    assert told(storage, old + new) == model_of(new)
    index = Index.open(None, PackReader(storage), storage)
    assert index.get(Kind.CHUNK, old[0].entries[0][0]).pack == old[0].id
    assert index.consolidate(everything=True)
    assert told(storage, old + new) == model_of(old + new)


def test_an_index_cell_that_makes_no_sense_is_replaced():
    storage = MemoryStorage()
    packs = write_packs(storage, 3)
    Cells(storage).swap(INDEX_CELL, -1, {"segments": "?"})
    assert consolidation(storage).cover(names(packs))
    assert told(storage, packs) == model_of(packs)


def test_gc_takes_packs_out():
    # Step 7 of gc: what is about to be deleted must not be told any more, copies elsewhere must.
    storage = MemoryStorage()
    shared = [write(storage, [b"both", b"%d" % n]) for n in range(2)]
    rest = write_packs(storage, 30)
    work = consolidation(storage)
    work.cover(names(shared + rest))
    before = named(storage)
    assert not work.without([write(storage, [b"x"]).id])
    assert named(storage) == before
    assert work.without([shared[0].id, rest[0].id])
    left = [shared[1], *rest[1:]]
    assert told(storage, shared + rest) == model_of(left)
    assert work.without([pack.id for pack in left])
    assert named(storage) == []
    assert not work.without([pack.id for pack in left])


def test_gc_wins_against_a_consolidator():
    # He read the list before gc published: his swap must lose, else condemned packs come back.
    storage = MemoryStorage()
    packs = write_packs(storage, 20)
    consolidation(storage).cover(names(packs[:10]))
    faulty = FaultyStorage(storage)
    faulty.pause(
        "create", lambda _key: consolidation(storage).without([packs[0].id]), under="cells/index/"
    )
    assert not consolidation(faulty).cover(names(packs[10:]))
    assert told(storage, packs) == model_of(packs[1:10])


def test_gc_is_tried_until_it_is_done():
    storage = MemoryStorage()
    packs = write_packs(storage, 20)
    consolidation(storage).cover(names(packs[:10]))
    faulty = FaultyStorage(storage)
    faulty.pause(
        "create", lambda _key: consolidation(storage).cover(names(packs[10:])), under="cells/index/"
    )
    assert consolidation(faulty).without([packs[0].id])
    assert told(storage, packs) == model_of(packs[1:])


# Readers and the local index.


def test_a_near_store_is_opened_by_its_segments(tmp_path):
    # A copied store of thousands of packs: its index is read, not each pack.
    storage = RecordingStorage(MemoryStorage())
    packs = write_packs(storage, 500, blobs=2)
    consolidation(storage).cover(names(packs))
    fresh = write_packs(storage, 3)
    for folder in (None, str(tmp_path)):
        storage.clear()
        index = Index.open(folder, PackReader(storage), storage)
        for pack in packs + fresh:
            assert index.find_many(Kind.CHUNK, [a for a, _ in pack.entries]) == dict(pack.entries)
        assert index.find(Kind.CHUNK, sha256(b"no")) is None
        assert storage.count("stat", "read_range", under="packs/") == 2 * len(fresh)
        assert storage.count() < 20
        index.close()
    storage.clear()
    index = Index.open(str(tmp_path), PackReader(storage), storage)
    assert index.find(Kind.CHUNK, packs[0].entries[0][0])
    assert storage.count() == 0
    index.close()


def test_segments_too_large_to_take_in_are_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("ahstore.index.index.ABSORBED_AT_ONCE", 10)
    monkeypatch.setattr("ahstore.index.index.ABSORBED_RECORDS", 10)
    storage = RecordingStorage(MemoryStorage())
    packs = write_packs(storage, 100, blobs=30)
    consolidation(storage).cover(names(packs))
    storage.clear()
    for _ in range(2):  # the second time LMDB remembers that segments have to be asked
        index = Index.open(str(tmp_path), PackReader(storage), storage)
        for pack in packs[::10]:
            assert index.find_many(Kind.CHUNK, [a for a, _ in pack.entries]) == dict(pack.entries)
        index.close()
    assert storage.count("stat", under="packs/") < 30


def test_segments_that_are_asked_often_are_taken_in(tmp_path, monkeypatch):
    # A read of one file from a large store must not load all that is known of it; a commit of many
    # files, each of which is asked for, is better off with all of it at hand.
    monkeypatch.setattr("ahstore.index.index.ABSORBED_AT_ONCE", 10)
    storage = RecordingStorage(MemoryStorage())
    packs = write_packs(storage, 100, blobs=30)
    consolidation(storage).cover(names(packs))
    index = Index.open(str(tmp_path), PackReader(storage), storage)
    assert index.find(Kind.CHUNK, packs[0].entries[0][0]) == packs[0].entries[0][1]
    assert index.packs() == {}
    storage.clear()
    for n in range(300):
        assert index.find(Kind.CHUNK, sha256(b"new %d" % n)) is None
    assert set(index.packs()) == {pack.id for pack in packs}
    assert storage.carried() < 2 * 3000 * 76
    storage.clear()
    for pack in packs:
        assert index.find_many(Kind.CHUNK, [a for a, _ in pack.entries]) == dict(pack.entries)
    assert storage.calls == []
    index.close()


def test_an_index_that_was_lost_costs_only_time():
    storage = MemoryStorage()
    packs = write_packs(storage, 100)
    consolidation(storage).cover(names(packs))
    storage.delete(named(storage)[0].key)
    index = Index.open(None, PackReader(storage), storage)
    for pack in packs:
        assert index.get(Kind.CHUNK, pack.entries[0][0]) == pack.entries[0][1]
    assert list(index.damaged_segments())
    assert index.consolidate()
    assert told(storage, packs) == model_of(packs)


def test_it_waits_for_a_crowd():
    storage = MemoryStorage()
    write_packs(storage, CROWD)
    index = Index.open(None, PackReader(storage), storage)
    index.refresh()
    assert not index.consolidate()
    write_packs(storage, 1)
    index.refresh()
    assert index.consolidate()
    assert sum(info.packs for info in named(storage)) == CROWD + 1
    assert not index.consolidate()


def test_a_pack_that_gc_took_is_not_told_again():
    # A segment may name packs that are gone, if gc died before it published, or raced.
    storage = MemoryStorage()
    one, two = write(storage, [b"both", b"1"]), write(storage, [b"both", b"2"])
    consolidation(storage).cover(names([one, two]))
    storage.delete(pack_key("data", one.id))
    index = Index.open(None, PackReader(storage), storage)
    assert index.get(Kind.CHUNK, sha256(b"both")).pack == two.id
    with pytest.raises(AhError):
        index.get(Kind.CHUNK, sha256(b"1"))


def test_a_segment_that_names_a_gone_pack_leads_to_the_other(far):
    # Whoever was told of a pack and did not find it says so, and must not be told of it again.
    one, two = write(far, [b"both", b"1"]), write(far, [b"both", b"2"])
    rest = write_packs(far, 5)
    consolidation(far).cover(names([one, two, *rest]))
    index = Index.open(None, PackReader(far), far)
    first = index.get(Kind.CHUNK, sha256(b"both"))
    for gone in (first.pack, ({one.id, two.id} - {first.pack}).pop()):
        assert index.get(Kind.CHUNK, sha256(b"both")).pack == gone
        far.delete(pack_key("data", gone))
        index.forget(gone)
    with pytest.raises(NotFoundError):
        index.get(Kind.CHUNK, sha256(b"both"))
    assert index.get(Kind.CHUNK, rest[0].entries[0][0]) == rest[0].entries[0][1]


@pytest.fixture
def far():
    storage = RecordingStorage(MemoryStorage())
    storage.capabilities = replace(storage.capabilities, far=True)
    return storage


def test_a_far_store_is_not_listed_for_a_look_up(far):
    packs = write_packs(far, 200, blobs=120)
    consolidation(far).cover(names(packs))
    index = Index.open(None, PackReader(far), far)
    far.clear()
    assert index.find(Kind.CHUNK, packs[0].entries[0][0]) is None  # what is known here: nothing
    assert far.calls == []
    for pack in packs[:3]:
        address, place = pack.entries[5]
        assert index.look_up(Kind.CHUNK, [address, sha256(b"no")]) == {address: place}
    assert far.count("list") == 0
    assert far.count() < 12
    # Many neighbours: a few look-ups, then the pack's own index.
    pack = write(far, [b"n%d" % n for n in range(3000)])
    consolidation(far).cover([("data", pack.id)])
    index = Index.open(None, PackReader(far), far)
    far.clear()
    assert index.look_up(Kind.CHUNK, [a for a, _ in pack.entries]) == dict(pack.entries)
    assert far.carried(under="index/") < 600_000
    assert far.count(under="packs/") <= 3
    far.clear()
    with pytest.raises(NotFoundError):
        index.get(Kind.CHUNK, sha256(b"no"))
    assert far.count("list") == 2


CONSOLIDATE = """
import sys
from ahstore.index.index import Index
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import PackWriter
from ahstore.packs.place import Kind
from ahstore.codec.digests import sha256
from ahstore.storage.local import LocalStorage
storage = LocalStorage(sys.argv[1], create=True)
index = Index.open(None, PackReader(storage), storage)
for at in range(12):
    for n in range(20):
        blob = f"{sys.argv[2]}/{at}/{n}".encode()
        writer = PackWriter(storage, "data")
        writer.add(Kind.CHUNK, sha256(blob), blob)
        index.add(writer.finish())
    index.refresh()
    index.consolidate()
print("done")
"""


def test_processes_race(tmp_path):
    # Several who consolidate at once, for real: every pack is covered once at most, none is lost.
    store = str(tmp_path / "store")
    started = [processes.start(CONSOLIDATE, store, str(n)) for n in range(4)]
    assert [p.communicate(timeout=120)[0] for p in started] == ["done\n"] * 4
    storage = LocalStorage(store)
    index = Index.open(None, PackReader(storage), storage)
    index.consolidate(everything=True)
    covered = [pack for i in named(storage) for pack in Segment(storage, i).packs()]
    assert len(covered) == len(set(covered)) == len(packs_in(storage)) == 4 * 12 * 20
    assert not list(list_leases(Cells(storage)))
    choose = random.Random(1)
    for _ in range(100):
        blob = f"{choose.randrange(4)}/{choose.randrange(12)}/{choose.randrange(20)}".encode()
        assert index.find(Kind.CHUNK, sha256(blob)) is not None


def test_processes_killed(tmp_path):
    # kill -9 somewhere in the middle of it: the next one goes on, and every pack is found.
    store = str(tmp_path / "store")
    choose = random.Random(7)
    for n in range(6):
        process = processes.start(CONSOLIDATE, store, str(n))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.25 + choose.random() * 0.5)
        processes.end(process)
        storage = LocalStorage(store, create=True)
        for info in named(storage):
            Segment(storage, info).check()
        index = Index.open(None, PackReader(storage), storage)
        index.refresh()
        assert set(index.packs()) == packs_in(storage)
