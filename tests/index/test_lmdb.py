"""LMDB and its troubles (L1 of the fault table): whatever happens to the cache, only time is lost."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time

import lmdb
import pytest

from ahstore.codec.digests import sha256
from ahstore.errors import UnsupportedError
from ahstore.index import known, lmdb_env, lmdb_files
from ahstore.index.filestates import FileStates
from ahstore.index.index import Index
from ahstore.index.lmdb_env import CacheUnusableError, open_environment
from ahstore.packs.place import Kind
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import PackWriter
from ahstore.storage.local import LocalStorage
from tests.index.processes import end, run, start, wait_stopped

BLOBS = [str(n).encode() for n in range(300)]
ADDRESSES = [sha256(blob) for blob in BLOBS]


@pytest.fixture(autouse=True)
def write_at_once(monkeypatch, request):
    """What is done about LMDB's troubles shows only when it is written to."""
    if "later" not in request.function.__name__:
        monkeypatch.setattr(known, "MAX_UNSAVED_PACKS", 1)


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "store", create=True)


def write(storage, blobs=BLOBS):
    writer = PackWriter(storage, "data")
    for blob in blobs:
        writer.add(Kind.CHUNK, sha256(blob), blob)
    return writer.finish()


def open_index(cache, storage):
    return Index.open(cache, PackReader(storage), storage)


def fill(cache, storage, blobs=BLOBS):
    """Make a cache that knows a pack of the store."""
    index = open_index(cache, storage)
    index.refresh()
    index.add(write(storage, blobs))
    index.close()


def knows_all(index):
    reader = index._reader
    found = index.find_many(Kind.CHUNK, ADDRESSES)
    return {a: reader.read(a, p, trusted=False) for a, p in found.items()} == dict(
        zip(ADDRESSES, BLOBS, strict=True)
    )


def test_a_full_map_grows(cache, storage, monkeypatch):
    # MapFullError would else end every commit, from the day the cache has outgrown its first size.
    monkeypatch.setattr(lmdb_files, "MAP_BYTES", 64 * 1024)
    index = open_index(cache, storage)
    for n in range(20):
        index.add(write(storage, [f"{n}/{i}".encode() for i in range(500)]))
    assert index._known._memory.packs() == {}  # all went to LMDB
    assert os.path.getsize(os.path.join(cache, "index.lmdb")) > 10 * 64 * 1024
    index.close()
    index = open_index(cache, storage)
    assert index._known._disk is not None
    assert len(index.find_prefix(Kind.CHUNK, "")) == 20 * 500
    index.close()


GROW = """
import sys
from ahstore.index import known, lmdb_env, lmdb_files
lmdb_files.MAP_BYTES = 64 * 1024
env = lmdb_env.open_environment(sys.argv[1])
big = [(b"x%06d" % n, bytes(1000)) for n in range(5000)]
assert env.write(lambda txn: txn.put_many(big))
env.close()
"""


def test_a_map_grown_by_another_process_is_followed(cache, monkeypatch):
    monkeypatch.setattr(lmdb_files, "MAP_BYTES", 64 * 1024)
    env = open_environment(cache)
    assert run(GROW, cache)[0] == 0
    with env.read() as txn:
        assert len(list(txn.scan(b"x"))) == 5000
    assert env.write(lambda txn: txn.put(b"y", b"1"))
    env.close()


def test_a_map_that_may_not_grow_is_a_cache_missed(cache, storage, monkeypatch):
    monkeypatch.setattr(lmdb_files, "MAP_BYTES", 64 * 1024)
    monkeypatch.setattr(lmdb_env, "MAX_MAP_BYTES", 64 * 1024)
    index = open_index(cache, storage)
    for n in range(5):
        index.add(write(storage, [f"{n}/{i}".encode() for i in range(1000)]))
    assert index.find(Kind.CHUNK, sha256(b"4/7")) is not None
    assert index._known._memory.packs()  # where it stays
    index.close()


READER = """
import sys, time
from ahstore.index.lmdb_env import open_environment
env = open_environment(sys.argv[1])
with env.read() as txn:
    print(txn.get(b"!format"), flush=True)
    time.sleep(60)
"""


def test_a_killed_reader_is_cleared(cache, storage):
    # A dead reader's slot keeps every freed page for ever: the cache would grow without bound.
    # It is LMDB that clears it when nobody else has the cache open; so somebody has.
    fill(cache, storage)
    env = open_environment(cache)
    reader = start(READER, cache)
    assert "ahstore-cache" in reader.stdout.readline()
    end(reader)
    assert str(reader.pid) in env._env.readers()
    assert (
        run(
            "import sys; from ahstore.index.lmdb_env import *; open_environment(sys.argv[1])", cache
        )[0]
        == 0
    )
    assert str(reader.pid) not in env._env.readers()
    env.close()


STOPPED = """
import os, signal, sys
from ahstore.index.lmdb_env import open_environment
env = open_environment(sys.argv[1])
def work(txn):
    txn.put(b"z", b"1")
    print("in", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
env.write(work)
print("out", flush=True)
"""


def test_a_stopped_writer_is_not_waited_for(cache, storage):
    # Ctrl-Z in one terminal must not hang every other process of the user.
    fill(cache, storage)
    stopped = start(STOPPED, cache)
    assert stopped.stdout.readline() == "in\n"
    wait_stopped(stopped)
    started = time.monotonic()
    index = open_index(cache, storage)
    assert index._known._disk is not None
    assert knows_all(index)
    pack = write(storage, [b"new"])
    index.add(pack)
    assert index.find(Kind.CHUNK, sha256(b"new")).pack == pack.id
    states = FileStates.open(cache)
    stat = os.stat(__file__)
    assert states.remember(__file__, stat, b"value", started=time.time_ns() + 10**11)
    assert not states.flush()
    assert states.lookup(__file__, stat) == b"value"
    index.forget(pack.id)
    assert index.find(Kind.CHUNK, sha256(b"new")) is None
    for old in index.packs():  # it is in LMDB and can't be taken out now
        index.forget(old)
    assert index.find_many(Kind.CHUNK, ADDRESSES) == {}
    assert index.find(Kind.CHUNK, ADDRESSES[0]) is None
    assert time.monotonic() - started < 5  # it would be for ever
    end(stopped)
    # Its holder is dead: what was kept in memory goes to LMDB now.
    index.add(write(storage, [b"newer"]))
    assert index._known._memory.packs() == {}
    assert len(index._known._disk.packs()) == 1
    assert states.flush()
    index.close()
    states.close()


def test_an_initialisation_by_a_stopped_process_is_not_waited_for_long(cache, storage, monkeypatch):
    monkeypatch.setattr(lmdb_env, "_INITIALISE_SECONDS", 0.1)
    os.makedirs(cache)
    write(storage)
    with lmdb_files.writers_lock(cache) as free:
        assert free
        index = open_index(cache, storage)
        assert index._known._disk is None
        assert knows_all(index)
        index.close()


KILLED = """
import os, signal, sys
from ahstore.index.lmdb_env import open_environment
env = open_environment(sys.argv[1])
def work(txn):
    txn.put_many([(b"x%06d" % n, bytes(500)) for n in range(5000)])
    os.kill(os.getpid(), signal.SIGKILL)
env.write(work)
"""


def test_a_killed_writer_leaves_the_old_state_and_no_lock(cache, storage):
    fill(cache, storage)
    assert run(KILLED, cache)[0] == -9
    env = open_environment(cache)
    with env.read() as txn:
        assert list(txn.scan(b"x")) == []
    assert env.write(lambda txn: txn.put(b"y", b"1"))
    env.close()


def in_child(work):
    """Run ``work`` in a forked child; return what it returned, as text."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = str(work())
        except BaseException as error:
            text = type(error).__name__
        os.write(write_end, text.encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as file:
        return file.read()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_refused_what_was_open_before(cache, storage):
    # LMDB's locks and reader slots are the parent's: a child using them corrupts the cache.
    fill(cache, storage)
    index = open_index(cache, storage)
    states = FileStates.open(cache)
    for use in (
        lambda: index.find(Kind.CHUNK, ADDRESSES[0]),
        lambda: index.find_many(Kind.CHUNK, ADDRESSES),
        lambda: index.add(write(storage, [b"x"])),
        lambda: states.lookup(__file__, os.stat(__file__)),
    ):
        assert in_child(use) == UnsupportedError.__name__
    assert knows_all(index)
    index.close()
    states.close()


def test_small_packs_are_written_down_later_together(cache, storage, monkeypatch):
    # Each write syncs: many committers on a disk would wait for each other's caches.
    fill(cache, storage)
    index = open_index(cache, storage)
    writes = []
    write_one = lmdb_env.Environment.write
    monkeypatch.setattr(
        lmdb_env.Environment, "write", lambda env, work: writes.append(1) or write_one(env, work)
    )
    blobs = [b"small %d" % n for n in range(known.MAX_UNSAVED_PACKS - 1)]
    for blob in blobs:
        index.add(write(storage, [blob]))
        assert index.find(Kind.CHUNK, sha256(blob))
    assert writes == []
    index.add(write(storage, [b"one more"]))
    assert len(writes) == 1
    index.add(write(storage, [b"the last"]))
    index.close()
    assert len(writes) == 2
    again = open_index(cache, storage)
    assert again.find(Kind.CHUNK, sha256(b"the last"))
    assert len(again.find_many(Kind.CHUNK, map(sha256, blobs))) == len(blobs)
    again.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_that_opens_anew_does_without(cache, storage):
    # Data loaders fork: a worker that opens the store itself gets all, only not from LMDB.
    fill(cache, storage)
    index = open_index(cache, storage)
    assert in_child(lambda: knows_all(open_index(cache, storage))) == "True"
    assert knows_all(index)
    index.close()
    assert in_child(lambda: open_index(cache, storage)._known._disk is not None) == "True"


def test_one_process_shares_one_environment(cache, storage):
    before = dict(lmdb_env._registry)  # of tests that share this process
    one, two = open_index(cache, storage), open_index(cache + "/../cache", storage)
    assert one._known._env is two._known._env
    pack = write(storage)
    one.refresh()
    one.close()
    assert two.find(Kind.CHUNK, ADDRESSES[0]).pack == pack.id
    two.close()
    assert lmdb_env._registry == before


def test_a_deleted_cache_is_made_again(cache, storage):
    fill(cache, storage)
    shutil.rmtree(cache)
    index = open_index(cache, storage)
    assert knows_all(index)
    shutil.rmtree(cache)  # and once more, under a running process
    assert knows_all(index)
    index.add(write(storage, [b"x"]))
    index.close()
    index = open_index(cache, storage)
    assert knows_all(index)
    index.close()


def damaged_by(kind, data):
    return {
        "empty": b"",
        "short": data[:100],
        "half": data[: len(data) // 2],
        "two pages": data[:8192],
        "a page short": data[:-4096],
        "garbage": b"garbage" * 10_000,
        "zeros": bytes(len(data)),
        "headers gone": bytes(8192) + data[8192:],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["empty", "short", "half", "two pages", "a page short", "garbage", "zeros", "headers gone"],
)
def test_a_damaged_cache_is_rebuilt(cache, storage, kind):
    # In a process of its own: a truncated map ends in SIGBUS unless it is noticed before.
    fill(cache, storage)
    path = os.path.join(cache, "index.lmdb")
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(damaged_by(kind, data))
    assert run(CHECK, cache, storage._root) == (0, "300 True\n")
    assert os.listdir(os.path.join(cache, "aside"))
    assert run(CHECK, cache, storage._root) == (0, "300 True\n")


CHECK = """
import sys
from ahstore.codec.digests import sha256
from ahstore.index.index import Index
from ahstore.packs.place import Kind
from ahstore.packs.reader import PackReader
from ahstore.storage.local import LocalStorage
storage = LocalStorage(sys.argv[2])
index = Index.open(sys.argv[1], PackReader(storage), storage)
found = index.find_many(Kind.CHUNK, [sha256(str(n).encode()) for n in range(300)])
print(len(found), index._known._disk is not None)
index.close()
"""


@pytest.mark.parametrize("odd", ["folder", "file", "foreign", "lock"])
def test_things_in_its_place_are_set_aside_or_done_without(cache, storage, odd, monkeypatch):
    monkeypatch.setattr(lmdb_env, "_INITIALISE_SECONDS", 0.1)
    pack = write(storage)
    path = os.path.join(cache, "index.lmdb")
    if odd == "file":
        with open(cache, "w") as file:
            file.write("not a folder")
    else:
        os.makedirs(path if odd == "folder" else cache)
    if odd == "foreign":
        with lmdb.open(path, subdir=False) as env, env.begin(write=True) as txn:
            txn.put(lmdb_files.FORMAT_KEY, b"ahstore-cache-99")
    if odd == "lock":
        os.makedirs(os.path.join(cache, "writer.lock"))
    index = open_index(cache, storage)
    assert knows_all(index)
    assert (index._known._disk is not None) == (odd in ("folder", "foreign"))
    assert index.packs() == {pack.id: "data"}
    index.close()


def test_flipped_bits_never_mislead(cache, storage):
    # LMDB keeps no checksums: a flipped bit must cost a look at the packs, not show wrong places.
    fill(cache, storage)
    path = os.path.join(cache, "index.lmdb")
    with open(path, "rb") as file:
        data = file.read()
    records = [at for at in range(8192, len(data)) if data.startswith(ADDRESSES[7][:16], at)]
    assert records
    for at in records:
        for offset in range(-1, 33 + 35):
            damaged = bytearray(data)
            damaged[at + offset] ^= 0x10
            with open(path, "wb") as file:
                file.write(damaged)
            index = open_index(cache, storage)
            place = index.find(Kind.CHUNK, ADDRESSES[7])
            if place is not None:
                assert index._reader.read(ADDRESSES[7], place, trusted=False) == BLOBS[7]
            place = index.get(Kind.CHUNK, ADDRESSES[7])
            assert index._reader.read(ADDRESSES[7], place, trusted=False) == BLOBS[7]
            index.close()


def test_an_error_while_reading_ends_in_doing_without(cache, storage, monkeypatch):
    fill(cache, storage)
    index = open_index(cache, storage)

    def fail(*_args, **_kwargs):
        raise lmdb.CorruptedError("planted")

    monkeypatch.setattr(lmdb_env.Transaction, "get_many", fail)
    monkeypatch.setattr(lmdb_env.Transaction, "get", fail)
    assert knows_all(index)
    assert index._known._disk is None
    index.close()
    monkeypatch.undo()
    assert os.listdir(os.path.join(cache, "aside"))  # the next to open makes a new one
    index = open_index(cache, storage)
    assert index._known._disk is not None
    assert knows_all(index)
    index.close()


def test_a_full_disk_is_a_cache_missed(cache, storage, monkeypatch):
    index = open_index(cache, storage)

    def fail(*_args, **_kwargs):
        raise lmdb.DiskError("planted")

    monkeypatch.setattr(lmdb_env.Transaction, "put_many", fail)
    index.add(write(storage))
    assert knows_all(index)
    monkeypatch.undo()
    index.close()  # the second try succeeds
    index = open_index(cache, storage)
    assert index._known._disk is not None
    assert index._known._disk.packs()
    index.close()


def test_an_address_space_too_small_for_the_map_is_done_without(cache, storage):
    # Batch systems limit memory by address space: no reason to fail, or to drop a good cache.
    fill(cache, storage)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n" + CHECK
    assert run(limited, cache, storage._root) == (0, "300 False\n")
    assert not os.path.exists(os.path.join(cache, "aside"))
    assert run(CHECK, cache, storage._root) == (0, "300 True\n")


def test_remote_file_systems_are_done_without(cache, storage, monkeypatch):
    monkeypatch.setattr(lmdb_env, "is_local", lambda _path: False)
    assert open_environment(cache) is None


def test_a_folder_that_cannot_be_written_is_done_without(cache, storage):
    assert open_environment("/proc/no-such-place/cache") is None


def test_threads_share_it(cache, storage):
    index = open_index(cache, storage)
    index.refresh()
    errors = []

    def work(seed):
        try:
            numbers = random.Random(seed)
            for n in range(20):
                blobs = [f"{seed}/{n}/{i}".encode() for i in range(10)]
                index.add(write(storage, blobs))
                for blob in numbers.sample(blobs, 3):
                    assert index.find(Kind.CHUNK, sha256(blob)) is not None
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(index.packs()) == 80
    index.close()


ADD = """
import sys
from ahstore.codec.digests import sha256
from ahstore.index.index import Index
from ahstore.packs.place import Kind
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import PackWriter
from ahstore.storage.local import LocalStorage
storage = LocalStorage(sys.argv[2])
index = Index.open(sys.argv[1], PackReader(storage), storage)
for n in range(15):
    writer = PackWriter(storage, "data")
    blob = f"{sys.argv[3]}/{n}".encode()
    writer.add(Kind.CHUNK, sha256(blob), blob)
    index.add(writer.finish())
    assert index.find(Kind.CHUNK, sha256(blob))
index.close()
"""


def test_processes_share_it(cache, storage):
    workers = [start(ADD, cache, storage._root, str(n)) for n in range(6)]
    for worker in workers:
        assert worker.wait(timeout=60) == 0
        worker.stdout.close()
    index = open_index(cache, storage)
    assert index._known._disk is not None
    index.refresh()
    assert len(index.packs()) == 90
    for worker in range(6):
        for n in range(15):
            assert index.find(Kind.CHUNK, sha256(f"{worker}/{n}".encode())) is not None
    index.close()


def test_use_after_the_last_close_is_unusable_not_a_crash(cache):
    env = open_environment(cache)
    env.close()
    with pytest.raises(CacheUnusableError), env.read():
        pass
    assert not env.write(lambda txn: txn.put(b"a", b"b"))
