"""Damaged, truncated, swapped and hostile packs: found, named, never wrong bytes."""

from __future__ import annotations

import os
import shutil
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec.digests import checksum64, sha256
from ahstore.errors import CorruptError, StorageError, UnsupportedError
from ahstore.ids import new_pack_id
from ahstore.packs import format as layout
from ahstore.packs.place import MAX_BLOB_BYTES, Kind, Place, pack_key
from ahstore.packs.reader import PackReader
from ahstore.packs.writer import PackWriter
from ahstore.storage.contract import AlreadyThereError
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.local import LocalStorage
from ahstore.storage.memory import MemoryStorage

BLOBS = [b"first blob", b"", b"a page's bytes" * 3, bytes(range(40))]
KINDS = [Kind.CHUNK, Kind.CHUNK, Kind.PAGE, Kind.RECORD]


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "store")


@pytest.fixture
def storage(folder):
    return LocalStorage(folder, create=True)


def write(storage, blobs=BLOBS, kinds=KINDS, family="meta"):
    writer = PackWriter(storage, family)
    for kind, blob in zip(kinds, blobs, strict=True):
        writer.add(kind, sha256(blob), blob)
    return writer.finish()


def read_all(storage, pack):
    """Return all blobs through every check there is."""
    reader = PackReader(storage)
    reader.check_header(pack.family, pack.id)
    return dict(reader.read_many(reader.read_index(pack.family, pack.id)))


def path_of(folder, pack):
    path = os.path.join(folder, pack_key(pack.family, pack.id))
    os.chmod(path, 0o600)
    return path


def test_every_flipped_bit_is_found(folder, storage):
    # Bit rot anywhere in a pack must be told, and must never be handed out as data.
    pack = write(storage)
    whole = read_all(storage, pack)
    reader = PackReader(storage)
    fd = os.open(path_of(folder, pack), os.O_RDWR)
    for bit in range(8 * pack.size):
        byte = os.pread(fd, 1, bit // 8)
        os.pwrite(fd, bytes([byte[0] ^ 1 << bit % 8]), bit // 8)
        with pytest.raises((CorruptError, UnsupportedError)):
            read_all(storage, pack)
        for address, place in pack.entries:
            try:
                data = reader.read(address, place, trusted=True)
            except CorruptError as error:
                assert error.details["pack"] == pack.id  # noqa: PT017
                assert address.hex() in str(error)  # noqa: PT017
                assert str(place.offset) in str(error)  # noqa: PT017
            else:
                assert data == whole[address]
        os.pwrite(fd, byte, bit // 8)
    os.close(fd)
    assert read_all(storage, pack) == whole


def test_every_truncation_and_any_addition_is_found(folder, storage):
    pack = write(storage)
    path = path_of(folder, pack)
    with open(path, "rb") as file:
        data = file.read()
    for damaged in [*(data[:n] for n in range(len(data))), data + b"\0", data + data]:
        with open(path, "wb") as file:
            file.write(damaged)
        with pytest.raises(CorruptError, match=pack.id):
            PackReader(storage).read_index(pack.family, pack.id)


def test_swapped_packs_are_found(folder, storage):
    one, other = write(storage), write(storage, [b"x"], [Kind.CHUNK])
    shutil.copyfile(path_of(folder, other), path_of(folder, one))
    with pytest.raises(CorruptError, match=other.id):
        PackReader(storage).read_index("meta", one.id)
    address, place = one.entries[0]
    with pytest.raises(CorruptError):
        PackReader(storage).read(address, place, trusted=True)


def test_a_pack_in_the_other_family_is_found(folder, storage):
    pack = write(storage)
    os.makedirs(os.path.join(folder, os.path.dirname(pack_key("data", pack.id))))
    shutil.copyfile(path_of(folder, pack), os.path.join(folder, pack_key("data", pack.id)))
    with pytest.raises(CorruptError):
        PackReader(storage).read_index("data", pack.id)
    with pytest.raises(CorruptError):
        PackReader(storage).check_header("data", pack.id)


def test_forged_bytes_pass_only_for_a_trusted_chunk(storage):
    # XXH3 can be forged: bytes from elsewhere, and all that is parsed, need their SHA-256.
    address, forged = sha256(b"the true bytes"), b"the false bytes"
    for kind in Kind:
        writer = PackWriter(storage, "data")
        writer.add(kind, address, forged)
        place = writer.finish().entries[0][1]
        reader = PackReader(storage)
        with pytest.raises(CorruptError):
            reader.read(address, place, trusted=False)
        with pytest.raises(CorruptError):
            list(reader.read_many([(address, place)], trusted=False))
        if kind is Kind.CHUNK:
            assert reader.read(address, place, trusted=True) == forged
        else:
            with pytest.raises(CorruptError):
                reader.read(address, place, trusted=True)


def test_a_truncated_pack_gives_what_it_has_and_names_the_rest(folder, storage):
    pack = write(storage)
    ordered = sorted(pack.entries, key=lambda entry: entry[1].offset)
    os.truncate(path_of(folder, pack), ordered[-1][1].offset + 3)
    found = []
    with pytest.raises(CorruptError, match=ordered[-1][0].hex()):
        found.extend(a for a, _ in PackReader(storage).read_many(pack.entries))
    found = []
    try:
        for address, _ in PackReader(storage).read_many(pack.entries):
            found.append(address)
    except CorruptError:
        pass
    assert len(found) == len(ordered) - 1


def forge(storage, records, *, count=None, offset=None, body=b"x" * 100):
    """Publish a pack whose checksums are all right and whose index says whatever is given."""
    pack = new_pack_id()
    index = b"".join(records)
    start = layout.HEADER_BYTES + len(body)
    trailer = layout.encode_trailer(pack, "data", start if offset is None else offset, index)
    if count is not None:
        head = bytearray(trailer[: -struct.calcsize(">8s4s")])
        head[8:12] = struct.pack(">I", count)
        trailer = bytes(head) + checksum64(bytes(head)) + layout.TRAILER_MAGIC
    storage.create(pack_key("data", pack), layout.encode_header("data") + body + index + trailer)
    return pack


def record(address=b"a" * 32, kind=1, codec=0, zero=0, stored=10, raw=10, offset=8, check=bytes(8)):
    return layout.RECORD.pack(address, kind, codec, zero, stored, raw, offset, check)


def test_what_forge_makes_by_default_is_accepted():
    storage = MemoryStorage()
    pack = forge(storage, [record(), record(kind=2), record(address=b"b" * 32, offset=98)])
    assert len(PackReader(storage).read_index("data", pack)) == 3


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record(kind=0)],
        [record(kind=5)],
        [record(codec=1)],
        [record(codec=1, raw=511)],
        [record(codec=4, raw=2**24 + 1)],
        [record(codec=5, raw=1000)],
        [record(codec=1, raw=1000, stored=0)],
        [record(codec=1, kind=2, raw=1000)],
        [record(codec=1, kind=4, raw=1000)],
        [record(zero=1)],
        [record(raw=11)],
        [record(stored=2**31, raw=2**31)],
        [record(stored=MAX_BLOB_BYTES, raw=MAX_BLOB_BYTES)],
        [record(offset=7)],
        [record(offset=99)],
        [record(offset=2**63)],
        [record(offset=2**64 - 5)],
        [record(), record()],
        [record(kind=2), record(kind=1)],
        [record(address=b"b" * 32), record(address=b"a" * 32)],
    ],
)
def test_indexes_that_make_no_sense_are_corrupt(records):
    # Their checksums are right: only the checks of their content keep a reader within bounds.
    storage = MemoryStorage()
    with pytest.raises(CorruptError):
        PackReader(storage).read_index("data", forge(storage, records))


@pytest.mark.parametrize("count", [0, 1, 3, 2**24, 2**32 - 1])
@pytest.mark.parametrize("offset", [None, 0, 8, 2**40, 2**64 - 1])
def test_trailers_that_do_not_fit_are_corrupt(count, offset):
    storage = MemoryStorage()
    pack = forge(storage, [record(), record(address=b"b" * 32)], count=count, offset=offset)
    with pytest.raises(CorruptError):
        PackReader(storage).read_index("data", pack)


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_corrupt(data, ending):
    storage = MemoryStorage()
    pack = new_pack_id()
    storage.create(pack_key("data", pack), data + (layout.TRAILER_MAGIC if ending else b""))
    with pytest.raises((CorruptError, UnsupportedError)):
        PackReader(storage).read_index("data", pack)


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=32, max_size=32),
            st.integers(0, 255),
            st.integers(0, 1),
            st.integers(0, 2**32 - 1) | st.integers(0, 100),
            st.integers(0, 2**64 - 1) | st.integers(0, 200),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_accepted_indexes_stay_within_their_pack(fields):
    storage = MemoryStorage()
    records = [
        record(address=a, kind=k, codec=c, stored=n, raw=n, offset=o) for a, k, c, n, o in fields
    ]
    pack = forge(storage, records)
    try:
        entries = PackReader(storage).read_index("data", pack)
    except CorruptError:
        return
    for _, place in entries:
        assert place.offset >= layout.HEADER_BYTES
        assert place.offset + place.stored <= layout.HEADER_BYTES + 100


def test_places_beyond_the_end_are_corrupt():
    # A hostile locator in a cell: bounded, and told as what it is.
    storage = MemoryStorage()
    pack = write(storage)
    address, place = pack.entries[0]
    for odd in (
        place._replace(offset=2**47),
        place._replace(offset=pack.size, stored=1, raw=1),
        place._replace(stored=10**6, raw=10**6),
    ):
        with pytest.raises(CorruptError):
            PackReader(storage).read(address, Place.from_value(odd.to_value()), trusted=True)


@pytest.mark.parametrize("op", ["new_file", "write", "commit"])
def test_a_failed_write_leaves_no_pack(op):
    # A pack that was not acknowledged must not be pointed to by anyone: error, and no file.
    inner = MemoryStorage()
    storage = FaultyStorage(inner)
    storage.fail(op)
    with pytest.raises(StorageError):
        write(storage, [b"x" * 3_000_000], [Kind.CHUNK])
    assert list(inner.list("packs/")) == []


def test_a_pack_that_could_not_be_read_is_not_published(monkeypatch):
    # A slip in the writer must fail the commit, not surface as damage a year later.
    storage = MemoryStorage()
    writer = PackWriter(storage, "data")
    writer.add(Kind.CHUNK, sha256(b"x"), b"x")
    monkeypatch.setattr(layout, "encode_trailer", lambda *_: bytes(layout.TRAILER_BYTES))
    with pytest.raises(CorruptError):
        writer.finish()
    assert list(storage.list("packs/")) == []


def test_a_pack_never_replaces_another():
    # Ids are random: if one is drawn twice all the same, the first pack must win.
    storage = MemoryStorage()
    writer = PackWriter(storage, "data")
    writer.add(Kind.CHUNK, sha256(b"x"), b"x")
    storage.create(pack_key("data", writer.id), b"other")
    with pytest.raises(AlreadyThereError):
        writer.finish()
    assert storage.read(pack_key("data", writer.id)) == b"other"
