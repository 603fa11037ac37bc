"""Packs written and read back, in memory and on disk, with their requests counted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import new_pack_id
from ahstore.packs import format as layout
from ahstore.packs.place import Kind, Place, pack_key, parse_pack_key
from ahstore.packs.reader import PackReader, list_packs
from ahstore.packs.writer import PackWriter
from ahstore.storage.contract import MissingError
from ahstore.storage.local import LocalStorage


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "store", create=True)


def write(storage, blobs, *, kind=Kind.CHUNK, family="data"):
    writer = PackWriter(storage, family)
    for blob in blobs:
        writer.add(kind, sha256(blob), blob)
    return writer.finish()


def test_blobs_come_back(storage):
    blobs = [b"", b"x", b"a" * 70_000, bytes(range(256)) * 8000, b"last"]
    pack = write(storage, blobs)
    reader = PackReader(storage)
    assert pack.count == len(pack.entries) == len(blobs)
    for address, place in pack.entries:
        data = reader.read(address, place, trusted=False)
        assert sha256(data) == address
        assert data in blobs
    assert reader.read_index("data", pack.id) == pack.entries
    reader.check_header("data", pack.id)
    assert storage.stat(pack_key("data", pack.id)).size == pack.size
    assert list(list_packs(storage)) == [("data", pack.id)]


def test_a_blob_is_added_once_and_once_a_kind(storage):
    writer = PackWriter(storage, "meta")
    for kind in (Kind.PAGE, Kind.PAGE, Kind.COMMIT):
        writer.add(kind, sha256(b"page"), b"page")
    pack = writer.finish()
    (_, page), (_, commit) = pack.entries
    assert (page.kind, commit.kind) == (Kind.PAGE, Kind.COMMIT)
    assert commit.offset == page.offset + 4
    assert writer.size == pack.size


def test_an_empty_pack_is_no_pack(storage):
    assert PackWriter(storage, "data").finish() is None
    assert list(list_packs(storage)) == []


def test_an_aborted_pack_leaves_nothing(storage):
    with PackWriter(storage, "data") as writer:
        writer.add(Kind.CHUNK, sha256(b"x" * 100_000), b"x" * 100_000)
    assert list(storage.list("packs/")) == []
    with pytest.raises(InvalidInputError):
        writer.add(Kind.CHUNK, sha256(b"y"), b"y")
    with pytest.raises(InvalidInputError):
        writer.finish()


def test_callers_may_reuse_their_buffers(storage):
    # Holding on to a caller's buffer would pack whatever he reads into it next.
    writer = PackWriter(storage, "data")
    for size in (10, 200_000):
        buffer = bytearray(b"a" * size)
        writer.add(Kind.CHUNK, sha256(b"a" * size), memoryview(buffer))
        buffer[:] = b"b" * size
    for address, place in writer.finish().entries:
        PackReader(storage).read(address, place, trusted=False)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=40, unique=True))
def test_any_blobs_come_back(tmp_path_factory, blobs):
    storage = LocalStorage(str(tmp_path_factory.mktemp("store")))
    pack = write(storage, blobs)
    for number, (address, place) in enumerate(pack.entries):
        assert layout.find_record(pack.index, address + bytes([place.kind])) == number * 60
        assert layout.find_record(pack.index, address + b"\2") is None
    found = dict(PackReader(storage).read_many(pack.entries, trusted=False))
    assert found == {sha256(blob): blob for blob in blobs}


def test_a_place_comes_back_from_its_list():
    place = Place(new_pack_id(), "meta", Kind.COMMIT, 8, 100, 100, 0, b"12345678")
    assert Place.from_value(place.to_value()) == place


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 3),
        (0, True),
        (1, b"short"),
        (1, "0" * 32),
        (2, 9),
        (3, -1),
        (3, 2**60),
        (4, 2**40),
        (5, -1),
        (5, 99),
        (6, 1),
        (7, b"1234567"),
        (7, None),
    ],
)
def test_odd_places_are_corrupt(index, value):
    fields = Place(new_pack_id(), "meta", Kind.COMMIT, 8, 100, 100, 0, b"12345678").to_value()
    fields[index] = value
    with pytest.raises(CorruptError):
        Place.from_value(fields)


@pytest.mark.parametrize("value", [None, [], {}, "x", [1] * 8, [1] * 9])
def test_other_values_are_no_places(value):
    with pytest.raises(CorruptError):
        Place.from_value(value)


def test_pack_keys():
    pack = new_pack_id()
    key = pack_key("data", pack)
    assert key == f"packs/data/{pack[:2]}/{pack}"
    assert parse_pack_key(key) == ("data", pack)
    for other in (
        "",
        f"packs/data/zz/{pack}",
        f"packs/odd/{pack[:2]}/{pack}",
        key + ".tmp",
        key + "/x",
    ):
        with pytest.raises(InvalidInputError):
            parse_pack_key(other)
    for family, odd in (("data", "../../etc"), ("data", pack.upper()), ("../data", pack)):
        with pytest.raises(InvalidInputError):
            pack_key(family, odd)


def test_a_missing_pack_is_missing(storage):
    reader = PackReader(storage)
    place = Place(new_pack_id(), "data", Kind.CHUNK, 8, 3, 3, 0, bytes(8))
    with pytest.raises(MissingError):
        reader.read(sha256(b"abc"), place, trusted=True)
    with pytest.raises(MissingError):
        reader.read_index("data", new_pack_id())
    with pytest.raises(MissingError):
        list(reader.read_many([(sha256(b"abc"), place)]))


def test_the_format_is_pinned():
    # Every pack ever written is read by these numbers.
    assert (layout.HEADER_BYTES, layout.RECORD_BYTES, layout.TRAILER_BYTES) == (8, 60, 52)
    assert layout.encode_header("meta").hex() == "4148504b01020000"
