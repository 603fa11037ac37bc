"""The thread that compresses and writes: order, faults, bounds, and that nothing stays of it."""

from __future__ import annotations

import errno
import itertools
import os
import random
import struct
import threading

import pytest

from ahstore.codec.digests import sha256
from ahstore.errors import StorageError, StorageFullError
from ahstore.packs.body import MAX_WAITING_BYTES
from ahstore.packs.place import Kind
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import BUFFER_BYTES, DIRECT_BYTES, PackWriter
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from tests.storage.oscalls import recorded


@pytest.fixture(autouse=True)
def no_thread_stays():
    # A thread left behind would write to a file that is closed, or to one that took its number.
    yield
    assert not [t for t in threading.enumerate() if t.name == "pack"]


def blobs_of_all_sorts():
    """Yield blobs small and large, text, numbers and noise, mixed."""
    rng = random.Random(3)
    for n in range(60):
        text = b"".join(b"%d;%d\n" % (n, k) for k in range(rng.randrange(1, 20_000)))
        floats = struct.pack("<20000f", *(rng.gauss(0, 1) for _ in range(20_000)))
        yield from (text, text[:700], rng.randbytes(rng.randrange(200_000)), b"x%d" % n)
        yield from (floats, floats[: rng.randrange(DIRECT_BYTES)])


def add_all(writer, blobs):
    for blob in blobs:
        writer.add(Kind.CHUNK, sha256(blob), blob)


def test_all_sorts_of_blobs_come_back_smaller(tmp_path):
    # Where a small blob lies depends on what compression makes of the large ones before it.
    storage = LocalStorage(tmp_path / "store", create=True)
    blobs = list(blobs_of_all_sorts())
    writer = PackWriter(storage, "data")
    add_all(writer, blobs)
    pack = writer.finish()
    reader = PackReader(storage)
    assert reader.read_index("data", pack.id) == pack.entries
    assert dict(reader.read_many(pack.entries, trusted=False)) == {sha256(b): b for b in blobs}
    assert {place.codec for _, place in pack.entries} == {0, 1, 3}
    spans = sorted((p.offset, p.stored) for _, p in pack.entries if p.stored)
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(spans))
    assert writer.size == pack.size < sum(map(len, blobs)) * 0.8


def test_what_is_parsed_is_not_compressed():
    # Pages are read by the thousand, and a locator must not be able to make one unpack.
    for kind in (Kind.PAGE, Kind.COMMIT, Kind.RECORD):
        writer = PackWriter(MemoryStorage(), "meta")
        for size in (5000, 500_000):
            writer.add(kind, sha256(bytes(size)), bytes(size))
        assert {place.codec for _, place in writer.finish().entries} == {0}


@pytest.mark.parametrize("op", ["new_file", "write", "commit"])
@pytest.mark.parametrize("skip", [0, 1, 5])
def test_faults_of_the_thread_are_those_of_the_writer(op, skip):
    # An error that stays in the thread is a commit that points to bytes nobody wrote.
    inner = MemoryStorage()
    storage = FaultyStorage(inner)
    fault = storage.fail(op, StorageFullError("no space left"), skip=skip)
    rng = random.Random(1)
    writer = PackWriter(storage, "data")
    try:
        add_all(writer, (rng.randbytes(DIRECT_BYTES * 2) for _ in range(300)))
        writer.finish()
    except StorageFullError:
        assert fault.hits == 1
        assert list(inner.list("packs/")) == []
        with pytest.raises(ValueError, match="given up"):
            writer.add(Kind.CHUNK, sha256(b"x"), b"x")
    else:
        assert fault.hits == 0


def test_a_fault_is_told_while_blobs_are_added():
    # A full disk must not be found only after a terabyte was read and hashed.
    storage = FaultyStorage(MemoryStorage())
    storage.fail("write")
    rng = random.Random(1)
    writer = PackWriter(storage, "data")
    with pytest.raises(StorageError):
        add_all(writer, (rng.randbytes(BUFFER_BYTES) for _ in range(10_000)))
    assert writer.count * BUFFER_BYTES <= 2 * MAX_WAITING_BYTES


@pytest.mark.parametrize("count", [1, 5, 200])
def test_abort_leaves_nothing(tmp_path, count):
    root = tmp_path / "store"
    storage = LocalStorage(root, create=True)
    writer = PackWriter(storage, "data")
    rng = random.Random(1)
    before = len(os.listdir("/proc/self/fd"))
    add_all(writer, (rng.randbytes(DIRECT_BYTES) for _ in range(count)))
    writer.abort()
    assert [names for _, _, names in os.walk(root / "packs") if names] == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_waits_is_bounded():
    # Memory must not grow with the file when the disk is slower than the hashes.
    storage = FaultyStorage(MemoryStorage())
    gate = threading.Event()
    storage.pause("write", lambda _: gate.wait(60) and None)
    writer = PackWriter(storage, "data")
    rng, added = random.Random(1), []

    def add():
        for _ in range(60):
            add_all(writer, [rng.randbytes(BUFFER_BYTES)])
            added.append(1)

    adding = threading.Thread(target=add)
    adding.start()
    adding.join(0.5)
    assert adding.is_alive()
    assert len(added) * BUFFER_BYTES <= MAX_WAITING_BYTES + BUFFER_BYTES
    gate.set()
    adding.join()
    assert writer.finish().count == 60


def test_a_small_pack_needs_no_thread(monkeypatch):
    # Most commits are small, and starting a thread takes as long as writing what they hold.
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    storage = MemoryStorage()
    writer = PackWriter(storage, "data")
    blobs = [random.Random(n).randbytes(DIRECT_BYTES) for n in range(10)]
    add_all(writer, blobs)
    found = dict(PackReader(storage).read_many(writer.finish().entries))
    assert found == {sha256(blob): blob for blob in blobs}


def test_an_interrupt_while_waiting_gives_the_pack_up(monkeypatch):
    # Ctrl-C in the middle of a large file: no pack, no thread, no descriptor.
    inner = MemoryStorage()
    writer = PackWriter(inner, "data")
    blob = random.Random(1).randbytes(DIRECT_BYTES)
    add_all(writer, [blob])

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer._body, "_put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add_all(writer, [blob + b"x"])
    assert list(inner.list("packs/")) == []


def test_the_file_is_synced_before_it_gets_its_name(tmp_path):
    # The thread must be done by then: a name is a promise that all bytes before it are on disk.
    storage = LocalStorage(tmp_path / "store", create=True)
    storage.create("hints/warm", b"", durable=False)
    rng = random.Random(1)
    for number, large in enumerate((2, 2, 20)):
        writer = PackWriter(storage, "data")
        writer.id = type(writer.id)(f"ab{number:030d}")
        with recorded() as calls:
            add_all(writer, [b"small", *(rng.randbytes(2**20) for _ in range(large)), b"last"])
            writer.finish()
        names = [name for name, _ in calls if name in ("write", "fsync", "link")]
        assert names.count("write") == large + 3  # header and small, large ones, last, index
        assert names.count("link") == 1
        first, last = names.index("fsync"), len(names) - 1 - names[::-1].index("write")
        assert last < first < names.index("link")
        assert names[-1] == "fsync"
    assert names.count("fsync") == 2


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    storage = LocalStorage(tmp_path / "store", create=True)
    storage.create("hints/warm", b"", durable=False)
    blob = random.Random(1).randbytes(DIRECT_BYTES)
    writer = PackWriter(storage, "data")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    writer.add(Kind.CHUNK, sha256(blob), blob)
    with pytest.raises(StorageFullError):
        writer.finish()
