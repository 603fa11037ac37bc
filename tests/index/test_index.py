"""The index, in memory and in LMDB: what it knows, when it looks, what it forgets."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, InvalidInputError, NotFoundError
from ahstore.index.cache_dir import cache_key
from ahstore.index.index import Index
from ahstore.packs.place import Kind, pack_key
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import PackWriter
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage


@pytest.fixture
def storage():
    return RecordingStorage(MemoryStorage())


@pytest.fixture(params=["memory", "lmdb"])
def folder(request, tmp_path):
    return None if request.param == "memory" else str(tmp_path / "cache")


@pytest.fixture
def index(folder, storage):
    index = Index.open(folder, PackReader(storage), storage)
    yield index
    index.close()


def write(storage, blobs, *, kind=Kind.CHUNK, family="data"):
    writer = PackWriter(storage, family)
    for blob in blobs:
        writer.add(kind, sha256(blob), blob)
    return writer.finish()


def remove(storage, pack):
    storage.delete(pack_key(pack.family, pack.id))


def test_an_added_pack_is_known(index, storage):
    pack = write(storage, [b"one", b"two"])
    index.add(pack)
    for address, place in pack.entries:
        assert index.find(Kind.CHUNK, address) == place
        assert index.get(Kind.CHUNK, address) == place
    addresses = [a for a, _ in pack.entries]
    assert index.find_many(Kind.CHUNK, [*addresses, sha256(b"no")]) == dict(pack.entries)
    assert index.packs() == {pack.id: "data"}


def test_kinds_are_told_apart(index, storage):
    # A page and a chunk of the same bytes have the same address: each has its own place.
    index.add(write(storage, [b"same"], kind=Kind.PAGE, family="meta"))
    assert index.find(Kind.CHUNK, sha256(b"same")) is None
    assert index.find(Kind.PAGE, sha256(b"same")) is not None
    assert index.find_many(Kind.COMMIT, [sha256(b"same")]) == {}


def test_the_first_question_loads_the_store(index, storage):
    # A deleted cache must change nothing: what is stored is found without being asked for twice.
    pack = write(storage, [b"one"])
    assert index.find(Kind.CHUNK, sha256(b"one")) == pack.entries[0][1]


def test_later_questions_ask_the_storage_nothing(index, storage):
    write(storage, [b"one"])
    index.find(Kind.CHUNK, sha256(b"one"))
    storage.clear()
    index.find(Kind.CHUNK, sha256(b"one"))
    index.find(Kind.CHUNK, sha256(b"no"))
    index.find_many(Kind.CHUNK, [sha256(b"one"), sha256(b"no")])
    index.find_prefix(Kind.CHUNK, "")
    index.add(write(MemoryStorage(), [b"x"]))
    assert storage.calls == []


def test_get_follows_what_others_wrote(index, storage):
    with pytest.raises(NotFoundError):
        index.get(Kind.CHUNK, sha256(b"later"))
    pack = write(storage, [b"later"])
    assert index.find(Kind.CHUNK, sha256(b"later")) is None
    assert index.get(Kind.CHUNK, sha256(b"later")) == pack.entries[0][1]


def test_refresh_reads_only_new_packs(index, storage):
    packs = [write(storage, [bytes([n])]) for n in range(5)]
    assert index.refresh() == 5
    storage.clear()
    assert index.refresh() == 0
    assert storage.count("list") == 2
    assert storage.count("newest_version") == storage.count() - 2 == 1  # of the index cell
    write(storage, [b"new"])
    assert index.refresh() == 1
    assert set(index.packs()) > {p.id for p in packs}


def test_refresh_forgets_packs_that_are_gone(index, storage):
    one, two = write(storage, [b"one"]), write(storage, [b"two"])
    index.refresh()
    remove(storage, one)
    assert index.refresh() == 0
    assert index.find(Kind.CHUNK, sha256(b"one")) is None
    assert index.packs() == {two.id: "data"}


def test_a_pack_published_during_a_refresh_is_kept(folder):
    # Between listing and forgetting, a commit's own pack may appear: it is not gone.
    faulty = FaultyStorage(MemoryStorage())
    index = Index.open(folder, PackReader(faulty), faulty)
    index.refresh()
    pack = write(faulty, [b"one"])
    faulty.delete(pack_key("data", pack.id))
    faulty.pause("list", lambda _key: index.add(pack), after=True, skip=1)
    index.refresh()
    assert pack.id in index.packs()
    index.close()


def test_a_pack_that_goes_during_a_refresh_is_left_out(index, storage):
    pack, other = write(storage, [b"one"]), write(storage, [b"two"])
    reader = index._reader
    faulty = FaultyStorage(storage)
    index._reader = PackReader(faulty)
    faulty.pause("stat", lambda _key: remove(storage, pack), under=pack_key("data", pack.id))
    assert index.refresh() == 1
    assert index.packs() == {other.id: "data"}
    assert index.damaged_packs() == {}
    index._reader = reader


def test_a_blob_in_two_packs_outlives_one_of_them(index, storage):
    # After a repack both packs hold it: forgetting either must leave the other's place.
    for survivor in (0, 1):
        blobs = [b"shared", bytes([survivor])]
        packs = [write(storage, blobs), write(storage, blobs[:1])]
        for pack in packs:
            index.add(pack)
        assert index.find(Kind.CHUNK, sha256(b"shared")).pack == packs[1].id
        index.forget(packs[1 - survivor].id)
        assert index.find(Kind.CHUNK, sha256(b"shared")).pack == packs[survivor].id
        assert index.find_many(Kind.CHUNK, [sha256(b"shared")])
        index.forget(packs[survivor].id)
        assert index.find(Kind.CHUNK, sha256(b"shared")) is None


def test_a_forgotten_pack_can_come_back(index, storage):
    index.refresh()
    pack = write(storage, [b"one"])
    index.add(pack)
    index.forget(pack.id)
    assert index.find_prefix(Kind.CHUNK, sha256(b"one").hex()[:6]) == []
    assert index.refresh() == 1
    assert index.find(Kind.CHUNK, sha256(b"one")) == pack.entries[0][1]


def test_adding_twice_changes_nothing(index, storage):
    index.refresh()
    pack = write(storage, [b"one"])
    index.add(pack)
    index.add(pack)
    index.forget(pack.id)
    assert index.find(Kind.CHUNK, sha256(b"one")) is None


def test_prefixes(index, storage):
    blobs = [str(n).encode() for n in range(3000)]
    index.add(write(storage, blobs, kind=Kind.COMMIT, family="meta"))
    index.add(write(storage, blobs[:10]))
    addresses = sorted(map(sha256, blobs))
    for prefix in ("", "a", "0f", "c3a", addresses[7].hex()[:5], addresses[9].hex()):
        wanted = [a for a in addresses if a.hex().startswith(prefix)]
        assert index.find_prefix(Kind.COMMIT, prefix) == wanted
    for odd in ("xyz", "ABC", "0" * 65, "a\n"):
        with pytest.raises(InvalidInputError):
            index.find_prefix(Kind.COMMIT, odd)


def test_packs_present_asks_the_storage(index, storage):
    one, two = write(storage, [b"one"]), write(storage, [b"two"])
    index.refresh()
    remove(storage, one)
    assert index.packs_present([("data", one.id), ("data", two.id)]) == {two.id}


def test_one_damaged_pack_leaves_the_rest_readable(index, storage):
    # One rotten index must not lock a user out of everything else.
    pack = write(storage, [b"good"])
    bad = write(storage, [b"bad"])
    data = storage.read(pack_key("data", bad.id))
    remove(storage, bad)
    storage.create(pack_key("data", bad.id), data[:-1])
    assert index.get(Kind.CHUNK, sha256(b"good")) == pack.entries[0][1]
    with pytest.raises(CorruptError, match=bad.id):
        index.get(Kind.CHUNK, sha256(b"bad"))
    assert list(index.damaged_packs()) == [bad.id]
    remove(storage, bad)
    storage.create(pack_key("data", bad.id), data)  # healed
    assert index.get(Kind.CHUNK, sha256(b"bad")).pack == bad.id
    assert index.damaged_packs() == {}


def test_files_that_are_no_packs_are_passed_over(tmp_path):
    # Editors, file managers and copying tools leave things anywhere.
    storage = LocalStorage(tmp_path / "store", create=True)
    pack = write(storage, [b"one"])
    folder = tmp_path / "store" / "packs" / "data" / pack.id[:2]
    for name in (".DS_Store", pack.id + ".tmp", pack.id[::-1].upper(), "ff" * 16):
        (folder / name).write_bytes(b"x")
    index = Index.open(None, PackReader(storage), storage)
    assert index.refresh() == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("afr"), st.sets(st.integers(0, 12), min_size=1))))
def test_it_agrees_with_a_plain_model(tmp_path_factory, steps):
    storage = MemoryStorage()
    indexes = [
        Index.open(folder, PackReader(storage), storage)
        for folder in (None, str(tmp_path_factory.mktemp("cache")))
    ]
    held: list[tuple[set[int], object]] = []
    choose = random.Random(0)
    for action, numbers in steps:
        if action == "a":
            pack = write(storage, [bytes([n]) for n in numbers])
            held.append((numbers, pack))
            for index in indexes:
                index.add(pack)
        elif held and action == "f":
            _, pack = held.pop(choose.randrange(len(held)))
            remove(storage, pack)
            for index in indexes:
                index.forget(pack.id)
        else:
            for index in indexes:
                assert index.refresh() == 0
        for n in range(13):
            packs = [p for has, p in held if n in has]
            for index in indexes:
                place = index.find(Kind.CHUNK, sha256(bytes([n])))
                assert (place is None) == (not packs)
                assert place is None or place == dict(packs[-1].entries)[sha256(bytes([n]))]
    for index in indexes:
        index.close()


def test_stale_entries_are_swept(tmp_path, storage, monkeypatch):
    # Without it the cache of a store that is repacked often would only grow.
    monkeypatch.setattr("ahstore.index.lmdb_table._MIN_STALE", 10)
    index = Index.open(str(tmp_path), PackReader(storage), storage)
    keep = write(storage, [b"keep", b"both"])
    index.refresh()
    for n in range(6):
        pack = write(storage, [b"both", *(bytes([n, i]) for i in range(20))])
        index.add(pack)
        index.forget(pack.id)
    with index._known._env.read() as txn:
        assert sum(1 for _ in txn.scan(b"p")) <= 2 + 20
    assert index.find(Kind.CHUNK, sha256(b"both")).pack == keep.id
    index.close()


def test_cache_keys_differ_wherever_stores_do():
    # A copied store whose cache is the original's would believe in packs that it lacks.
    seen = {
        cache_key(creation, url, device, inode)
        for creation in ("a", "b")
        for url in ("file:///x", "file:///y")
        for device in (1, 2)
        for inode in (1, 2)
    }
    assert len(seen) == 16
    assert all(len(key) == 32 for key in seen)
    assert cache_key("a", "file:///x", 1, 2**63) != cache_key("a", "file:///x", 1, 2**63 + 1)
