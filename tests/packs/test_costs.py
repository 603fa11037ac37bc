"""What packs cost: requests and bytes, counted."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from ahstore.codec.digests import sha256
from ahstore.packs.place import Kind
from ahstore.packs.reader import MAX_SPAN_BYTES, PackReader
from ahstore.packs.writer import BUFFER_BYTES, PackWriter
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage


@pytest.fixture
def storage():
    return RecordingStorage(MemoryStorage())


def write(storage, blobs):
    writer = PackWriter(storage, "data")
    for blob in blobs:
        writer.add(Kind.CHUNK, sha256(blob), blob)
    return writer.finish()


def numbered(count, size):
    return [random.Random(i).randbytes(size) for i in range(count)]


def test_small_blobs_are_written_in_large_blocks(storage):
    pack = write(storage, numbered(2000, 4096))
    assert storage.count("new_file") == storage.count("commit") == 1
    assert storage.count("write") <= pack.size // BUFFER_BYTES + 3  # the rest, index, trailer
    assert storage.carried("write") == pack.size


def test_a_pack_costs_60_bytes_a_blob(storage):
    pack = write(storage, numbered(1000, 100))
    assert pack.size == 1000 * (100 + 60) + 60


def test_neighbours_are_one_read(storage):
    pack = write(storage, numbered(1000, 4096))
    storage.clear()
    assert len(list(PackReader(storage).read_many(pack.entries))) == 1000
    assert storage.count() == 1


def test_a_span_is_bounded(storage):
    pack = write(storage, numbered(40, 2**20))
    storage.clear()
    assert len(list(PackReader(storage).read_many(pack.entries))) == 40
    assert storage.count("read_range") == 5
    assert max(call.size for call in storage.calls) == MAX_SPAN_BYTES


def test_gaps_are_read_over_when_small(storage):
    pack = write(storage, numbered(300, 1024))
    ordered = sorted(pack.entries, key=lambda entry: entry[1].offset)
    for step, reads in ((2, 1), (60, 1), (100, 3)):
        storage.clear()
        list(PackReader(storage).read_many(ordered[::step]))
        assert storage.count("read_range") == reads


def test_blobs_of_several_packs_and_repeated_ones_come_all(storage):
    packs = [write(storage, numbered(10 + n, 64)) for n in range(3)]
    wanted = [entry for pack in packs for entry in pack.entries] + packs[0].entries
    storage.clear()
    found = list(PackReader(storage).read_many(iter(wanted)))
    assert len(found) == len(wanted)
    assert storage.count() == 3
    assert list(PackReader(storage).read_many([])) == []


def test_an_index_is_two_requests_or_three(storage):
    small, large = write(storage, numbered(1000, 64)), write(storage, numbered(3000, 64))
    storage.clear()
    PackReader(storage).read_index("data", small.id)
    assert storage.count() == 2
    storage.clear()
    PackReader(storage).read_index("data", large.id)
    assert storage.count() == 3


def test_large_blobs_are_not_copied(tmp_path):
    # Packing must run at the speed of the disk: a copy of each blob would show in memory.
    storage = LocalStorage(tmp_path / "store", create=True)
    data = bytes(64 * 2**20)
    writer = PackWriter(storage, "data")
    tracemalloc.start()
    writer.add(Kind.CHUNK, sha256(data), memoryview(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**20
    assert writer.finish().count == 1
