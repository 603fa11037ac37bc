"""Small things kept of a store far away: bounded, checked, shared by processes, of no consequence."""

from __future__ import annotations

import os
import shutil

import pytest

from ahstore.codec.digests import sha256
from ahstore.index.lmdb_env import open_environment
from ahstore.index.meta_cache import MetaCache, blob_name, key_name
from ahstore.packs.place import Kind
from tests.index import processes

MIB = 2**20


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "cache")


def names(count):
    return [blob_name(Kind.PAGE, sha256(b"%d" % n)) for n in range(count)]


def test_what_is_kept_is_found_by_the_next_process(folder):
    cache = MetaCache.open(folder, limit_bytes=MIB)
    for name in names(10):
        assert cache.find(name) is None
        cache.keep(name, name * 3)
        assert cache.find(name) == name * 3
    cache.close()
    assert cache.find(names(1)[0]) is None
    cache = MetaCache.open(folder, limit_bytes=MIB)
    assert cache.find_many(names(12)) == {name: name * 3 for name in names(10)}
    cache.close()


def test_without_a_folder_nothing_is_kept(folder, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for cache in (
        MetaCache.open(None, limit_bytes=MIB),
        MetaCache.open(folder, limit_bytes=0),
        MetaCache.open(str(tmp_path / "file"), limit_bytes=MIB),
    ):
        cache.keep(b"name", b"data")
        assert cache.find(b"name") is None
        cache.close()


def test_kinds_keys_and_ranges_are_told_apart():
    # A page and a commit of the same bytes, a file and its first part: each is its own.
    found = {
        blob_name(Kind.PAGE, sha256(b"")),
        blob_name(Kind.COMMIT, sha256(b"")),
        key_name("index/a"),
        key_name("index/a", 0, 10),
        key_name("index/a", 1, 0),
        key_name("cells/" + "x" * 900),
        key_name("cells/" + "x" * 901),
    }
    assert len(found) == 7
    assert max(map(len, found)) < 500


def test_the_longest_unused_go_first(folder):
    clock = [0.0]
    cache = MetaCache(open_environment(folder), limit_bytes=235_000, now=lambda: clock[0])
    old, used, new = names(300)[:100], names(300)[100:200], names(300)[200:]
    for part in (old + used, new):
        for name in part:
            cache.keep(name, bytes(800))
        cache.flush()
        clock[0] += 7200 * 2
        assert len(cache.find_many(used)) > 90  # now they count as used
    cache.flush()
    assert not cache.find_many(old)
    kept = cache.find_many(used + new)
    assert 180 <= len(kept) < 200
    with cache._env.read() as txn:
        total = sum(len(key) + len(value) for key, value in txn.scan(b"b"))
    assert total <= 235_000
    cache.close()


def test_it_stays_within_its_limit_over_many_processes(folder):
    for n in range(6):
        cache = MetaCache.open(folder, limit_bytes=100_000)
        for at in range(60):
            cache.keep(b"%d/%d" % (n, at), os.urandom(1000))
        cache.close()
    cache = MetaCache.open(folder, limit_bytes=100_000)
    with cache._env.read() as txn:
        assert 50_000 < sum(len(value) for _, value in txn.scan(b"b")) <= 100_000
    assert cache.find(b"5/59")
    cache.close()


def test_a_flipped_bit_is_a_miss(folder):
    # LMDB has no checksums: a page flipped on the disk must not come out as the page it was.
    cache = MetaCache.open(folder, limit_bytes=MIB)
    for name in names(20):
        cache.keep(name, name * 30)
    cache.close()
    path = os.path.join(folder, "index.lmdb")
    with open(path, "rb") as file:
        data = file.read()
    at = data.index(names(1)[0] * 30) + 500
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ 4]))
    cache = MetaCache.open(folder, limit_bytes=MIB)
    found = cache.find_many(names(20))
    assert all(data == name * 30 for name, data in found.items())
    assert len(found) == 19
    cache.keep(names(1)[0], b"again")
    cache.flush()
    assert cache.find(names(1)[0]) == b"again"
    cache.close()


def test_it_may_be_deleted_while_it_is_used(folder):
    cache = MetaCache.open(folder, limit_bytes=MIB)
    cache.keep(b"one", b"1")
    cache.flush()
    shutil.rmtree(folder)
    cache.keep(b"two", b"2")
    assert cache.find(b"two") == b"2"
    cache.flush()
    cache.close()
    cache = MetaCache.open(folder, limit_bytes=MIB)
    assert cache.find(b"two") in (None, b"2")
    cache.close()


def test_a_busy_writer_is_not_waited_for(folder):
    # Another process that was stopped while it wrote must not hang this one.
    MetaCache.open(folder, limit_bytes=MIB).close()
    other = processes.start(
        "import sys, fcntl, os\n"
        "fd = os.open(sys.argv[1] + '/writer.lock', os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()",
        folder,
    )
    assert other.stdout.readline() == "held\n"
    cache = MetaCache.open(folder, limit_bytes=64 * MIB)
    for n in range(40):
        cache.keep(b"%d" % n, bytes(MIB))
    assert cache._waiting_bytes <= 20 * MIB
    processes.end(other)
    cache.keep(b"last", b"x")
    cache.close()
    cache = MetaCache.open(folder, limit_bytes=64 * MIB)
    assert cache.find(b"last") == b"x"
    cache.close()
