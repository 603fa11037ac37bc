"""Ranges kept of packs far away: whole or not at all, bounded, shared, deleted at any time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import shutil
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import CorruptError
from ahstore.index.cached_storage import CachedStorage
from ahstore.index.meta_cache import MetaCache
from ahstore.index.range_cache import RangeCache
from ahstore.storage.buffers import large_buffer
from ahstore.storage.cells import Cell, Cells
from ahstore.storage.contract import MissingError, Range
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from tests.index import processes

KEY = "packs/data/ab/ab" + "0" * 30
OTHER = "packs/data/ab/ab" + "1" * 30
MIB = 2**20


@pytest.fixture
def cache(tmp_path):
    return RangeCache(str(tmp_path / "ranges"), limit_bytes=64 * MIB)


def files(cache):
    return sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(cache.folder)
        for name in names
        if name != "evict.lock"
    )


def test_parts_of_what_is_kept_are_found(cache):
    data = random.Random(1).randbytes(10_000)
    assert cache.find(KEY, 0, 10) is None
    cache.keep(KEY, 5000, data)
    for start, length in ((5000, 10_000), (5000, 1), (14_999, 1), (7000, 300)):
        assert cache.find(KEY, start, length) == data[start - 5000 : start - 5000 + length]
        assert cache.covers(KEY, start, length)
    for key, start, length in ((KEY, 4999, 2), (KEY, 14_999, 2), (OTHER, 5000, 10), (KEY, 5000, 0)):
        assert cache.find(key, start, length) is None
    again = RangeCache(cache.folder, limit_bytes=MIB)
    assert again.find(KEY, 5000, 10_000) == data


def test_neighbours_and_overlaps_are_put_together(cache):
    # A download reads pieces of 4 MiB, reading one object spans of 8: both are the same bytes.
    data = random.Random(4).randbytes(1000)
    for start, end in ((0, 100), (100, 250), (200, 400), (390, 395), (500, 600)):
        cache.keep(KEY, start, data[start:end])
    for start, end in ((0, 400), (50, 300), (99, 101), (249, 251), (395, 400), (500, 600)):
        assert cache.find(KEY, start, end - start) == data[start:end]
    for start, end in ((0, 401), (399, 501), (400, 500), (550, 601)):
        assert cache.find(KEY, start, end - start) is None
        assert not cache.covers(KEY, start, end - start)


def in_own_memory(data):
    """Return the bytes as they come from a bucket: in aligned memory."""
    view = large_buffer(len(data))
    view[:] = data
    return view.toreadonly()


@pytest.mark.parametrize("size", [MIB, MIB + 1, 2 * MIB - 7, 2 * MIB + 4095])
@pytest.mark.parametrize("form", ["aligned", "bytes", "unaligned"])
def test_large_ranges_are_whole(cache, size, form):
    """Written around the page cache where that goes; what is left over must come after it."""
    data = random.Random(size).randbytes(size)
    given = {
        "aligned": lambda: in_own_memory(data),
        "bytes": lambda: data,
        "unaligned": lambda: in_own_memory(b"x" + data)[1:],
    }
    cache.keep(KEY, 5, given[form]())
    assert cache.find(KEY, 5, size) == data
    assert cache.find(KEY, size - 5, 10) == data[-10:]
    (path,) = files(cache)
    with open(path, "rb") as file:
        whole = file.read()
    for at in (0, size // 2, size - 1, size + 3):
        with open(path, "wb") as file:
            file.write(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert cache.find(KEY, 5, size) is None  # a damaged one is removed
        assert files(cache) == []


@pytest.mark.parametrize("where", ["call", "write", "second write"])
def test_a_disk_that_wants_the_page_cache(cache, monkeypatch, where):
    """As some file systems do: then it is written as ever, from where the other way ended."""
    data = random.Random(1).randbytes(3 * MIB + 5)
    control, write, writes = fcntl.fcntl, os.write, []

    def refuse(fd, command, *flags):
        if where == "call" and command == fcntl.F_SETFL and flags[0] & os.O_DIRECT:
            raise OSError(errno.EINVAL, "not here")
        return control(fd, command, *flags)

    def some(fd, piece):
        writes.append(len(piece))
        if control(fd, fcntl.F_GETFL) & os.O_DIRECT:
            if where == "write" or len(writes) > 1:
                raise OSError(errno.EINVAL, "not so")
            return write(fd, piece[:MIB])
        return write(fd, piece)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(os, "write", some)
    cache.keep(KEY, 0, in_own_memory(data))
    monkeypatch.undo()
    assert cache.find(KEY, 0, len(data)) == data
    assert len(writes) >= 2


def test_what_another_process_keeps_is_seen(cache):
    other = RangeCache(cache.folder, limit_bytes=64 * MIB)
    for n in range(50):
        assert other.find(KEY, n * 10, 10) is None
        cache.keep(KEY, n * 10, b"%010d" % n)
        assert other.find(KEY, n * 10, 10) == b"%010d" % n


def test_only_packs_are_kept(cache):
    for key in ("store.json", "cells/a/b/000000000000", "index/" + "0" * 32, "packs/data/ab/../x"):
        cache.keep(key, 0, b"data")
        assert cache.find(key, 0, 4) is None
    assert files(cache) == []


def test_each_damage_is_a_miss(cache):
    # What is served from here is parsed and written to users' files: never a wrong byte.
    data = random.Random(2).randbytes(3000)
    cache.keep(KEY, 100, data)
    (path,) = files(cache)
    with open(path, "rb") as file:
        whole = file.read()
    broken = [whole[:cut] for cut in (0, 1, 1500, 3000, 3007)] + [whole + b"x"]
    broken += [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 111)
    ]
    for bad in broken:
        with open(path, "wb") as file:
            file.write(bad)
        assert cache.find(KEY, 100, 3000) is None
        assert files(cache) == []
        cache.keep(KEY, 100, data)
        assert cache.find(KEY, 100, 3000) == data
    os.rename(path, path.replace("-64-", "-65-"))  # another range's file
    assert RangeCache(cache.folder, limit_bytes=MIB).find(KEY, 101, 3000) is None
    os.mkdir(path)  # nor is a folder in its place an error
    assert cache.find(KEY, 100, 3000) is None
    cache.keep(KEY, 100, data)


def test_the_longest_unused_go_first(tmp_path):
    cache = RangeCache(str(tmp_path), limit_bytes=MIB)
    for n in range(8):
        cache.keep(KEY, n * 100_000, bytes(100_000))
    for age, path in enumerate(files(cache)):
        os.utime(path, (1000 + age, 1000 + age))
    assert cache.find(KEY, 0, 10)  # so it counts as used, though the oldest
    for n in range(8, 14):
        cache.keep(KEY, n * 100_000, bytes(100_000))
    cache.evict()
    assert sum(map(os.path.getsize, files(cache))) <= MIB
    assert cache.find(KEY, 0, 10)
    assert cache.find(KEY, 100_000, 10) is None
    assert cache.find(KEY, 1_300_000, 10)


def test_what_dead_writers_left_goes_too(tmp_path):
    cache = RangeCache(str(tmp_path), limit_bytes=MIB)
    cache.keep(KEY, 0, b"x")
    for name, age in ((".dead", 0), (".alive", 2**40)):
        (tmp_path / "ab" / name).write_bytes(b"part")
        os.utime(tmp_path / "ab" / name, (age, age))
    cache.evict()
    assert min(os.listdir(tmp_path / "ab")) == ".alive"
    assert len(os.listdir(tmp_path / "ab")) == 2


def test_a_place_that_can_not_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = RangeCache(str(tmp_path / "file"), limit_bytes=MIB)
    cache.keep(KEY, 0, b"x")
    cache.evict()
    assert cache.find(KEY, 0, 1) is None


def test_a_full_disk_leaves_nothing_half(cache, monkeypatch):
    def full(_fd, _data):
        raise OSError(28, "No space left on device")

    cache.keep(KEY, 0, b"one")
    monkeypatch.setattr(os, "write", full)
    cache.keep(KEY, 100, b"two")
    monkeypatch.undo()
    assert len(files(cache)) == 1
    assert cache.find(KEY, 100, 3) is None


WORK = """
import sys, random
from ahstore.index.range_cache import RangeCache
choose = random.Random(int(sys.argv[2]))
cache = RangeCache(sys.argv[1], limit_bytes=2_000_000)
wrong = 0
for n in range(1500):
    pack, at = choose.randrange(4), choose.randrange(100)
    key = f"packs/data/{pack:02x}/{pack:02x}" + "0" * 30
    data = bytes([pack, at]) * 20_000
    found = cache.find(key, at * 40_000 + 10, 1000)
    if found is None:
        cache.keep(key, at * 40_000, data)
    else:
        wrong += found != data[10:1010]
print(wrong)
"""


def test_processes_share_it_and_it_stays_bounded(tmp_path):
    # Reading, writing and evicting at once, and the folder deleted under it: never a wrong byte.
    folder = str(tmp_path / "ranges")
    started = [processes.start(WORK, folder, str(n)) for n in range(3)]
    stop = threading.Event()

    def delete():
        while not stop.wait(0.2):
            shutil.rmtree(folder, ignore_errors=True)

    deleting = threading.Thread(target=delete)
    deleting.start()
    try:
        assert [p.communicate(timeout=120)[0] for p in started] == ["0\n"] * 3
    finally:
        stop.set()
        deleting.join()
    started = [processes.start(WORK, folder, str(n)) for n in range(3, 5)]
    assert [p.communicate(timeout=120)[0] for p in started] == ["0\n"] * 2
    # Each may be a 64th over it before it looks.
    cache = RangeCache(folder, limit_bytes=2_000_000)
    assert sum(map(os.path.getsize, files(cache))) <= 2_000_000 * (1 + 2 / 64) + 2 * 40_100


# The storage in front of it.


@pytest.fixture
def far(tmp_path):
    inner = MemoryStorage()
    for key in (KEY, OTHER):
        inner._files[key] = random.Random(key).randbytes(100_000), 0.0
    inner._files["index/" + "a" * 32] = random.Random(0).randbytes(50_000), 0.0
    recording = RecordingStorage(inner)
    recording.capabilities = replace(inner.capabilities, far=True)
    storage = CachedStorage(
        recording,
        MetaCache.open(str(tmp_path / "cache"), limit_bytes=8 * MIB),
        RangeCache(str(tmp_path / "ranges"), limit_bytes=64 * MIB),
    )
    yield inner, recording, storage
    storage.close()


RANGES = st.lists(
    st.tuples(
        st.sampled_from([KEY, OTHER, "index/" + "a" * 32]),
        st.integers(0, 45_000),
        st.integers(0, 5000),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(RANGES, min_size=1, max_size=5))
def test_ranges_are_those_of_the_store(tmp_path_factory, rounds):
    inner = MemoryStorage()
    for key in (KEY, OTHER, "index/" + "a" * 32):
        inner._files[key] = random.Random(key).randbytes(50_000), 0.0
    folder = str(tmp_path_factory.mktemp("cache"))
    recording = RecordingStorage(inner)
    storage = CachedStorage(
        recording,
        MetaCache.open(folder, limit_bytes=8 * MIB),
        RangeCache(folder + "/ranges", limit_bytes=64 * MIB),
    )
    for wanted in rounds:
        ranges = [Range(*one) for one in wanted]
        expected = [inner.read_range(*one) for one in ranges]
        assert list(storage.read_ranges(iter(ranges))) == expected
        recording.clear()
        assert [storage.read_range(*one) for one in ranges] == expected
        assert recording.count() == sum(not one.length for one in ranges if one.key[0] == "p")
    storage.close()


def test_errors_pass_through(far):
    inner, _, storage = far
    with pytest.raises(CorruptError):
        storage.read_range(KEY, 99_999, 2)
    with pytest.raises(CorruptError):
        list(storage.read_ranges([Range(KEY, 0, 10), Range(KEY, 99_999, 2)]))
    del inner._files[OTHER]
    with pytest.raises(MissingError):
        storage.read_range(OTHER, 0, 10)
    assert storage.read_range(KEY, 0, 10) == inner._files[KEY][0][:10]


def test_a_range_that_vanishes_on_the_way_is_read_again(far, monkeypatch):
    inner, _, storage = far
    assert list(storage.read_ranges([Range(KEY, 0, 10)]))
    monkeypatch.setattr(storage._ranges, "find", lambda *_: None)
    ranges = [Range(KEY, 0, 10), Range(KEY, 50, 10)]
    assert list(storage.read_ranges(ranges)) == [inner.read_range(*one) for one in ranges]


def test_only_the_newest_version_of_a_cell_is_kept(far):
    # gc empties old versions: undelete, which reads one, would bring back what is not there.
    inner, recording, storage = far
    cell = Cell("ref", ("asset", "main"))
    cells = Cells(storage)
    cells.swap(cell, -1, {"n": 0})
    for _ in range(2):
        recording.clear()
        assert Cells(storage).read(cell).value == {"n": 0}
    assert recording.counts() == {"newest_version": 1}
    Cells(inner).swap(cell, 0, {"n": 1})
    assert Cells(storage).read(cell).value == {"n": 1}
    old = Cells(inner).read_version(cell, 0)
    Cells(inner).hollow(cell, old)
    assert cells.read_version(cell, 0).value == {}


def test_leases_and_gc_are_read_afresh(far):
    _, recording, storage = far
    for cell in (Cell("lease", ("x",)), Cell("gc", ("main",))):
        Cells(storage).swap(cell, -1, {"n": 0})
        for _ in range(2):
            recording.clear()
            Cells(storage).read(cell)
            assert recording.count("read") == 1


def test_nothing_is_kept_where_nothing_may_be(tmp_path):
    inner = MemoryStorage()
    inner._files[KEY] = bytes(100), 0.0
    recording = RecordingStorage(inner)
    storage = CachedStorage(recording, MetaCache.open(None, limit_bytes=0), None)
    for _ in range(2):
        assert storage.read_range(KEY, 0, 10) == bytes(10)
        assert list(storage.read_ranges([Range(KEY, 0, 10)])) == [bytes(10)]
    assert recording.count("read_range") == 4
    with contextlib.suppress(MissingError):
        storage.read("store.json")
