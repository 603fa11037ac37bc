"""Segments: what they say against a plain model, what damage does to them, what a look-up costs."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.codec.digests import checksum64, sha256
from ahstore.errors import CorruptError, UnsupportedError
from ahstore.ids import new_pack_id
from ahstore.index import segment_format as layout
from ahstore.index.segment import Segment
from ahstore.index.segment_list import INDEX_CELL, encode_list
from ahstore.index.segment_search import SegmentSearch
from ahstore.index.segment_writer import SegmentInfo, write_segment
from ahstore.index.segments import Segments
from ahstore.packs.place import Kind
from ahstore.storage.cells import Cells
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.recording import RecordingStorage
from tests.index.segment_kit import cover, model_of, write, write_packs


def key_of(kind, blob):
    return bytes([kind]) + sha256(blob)


def segments_of(storage, *infos):
    cells = Cells(storage)
    cells.swap(INDEX_CELL, cells.read(INDEX_CELL).number, encode_list(infos))
    segments = Segments(storage, cells)
    segments.refresh()
    return segments


def random_records(count, seed=0):
    """Sorted records of made-up blobs in one made-up pack, quickly."""
    choose = random.Random(seed)
    pack = bytes.fromhex(new_pack_id())
    return pack.hex(), sorted(
        layout.RECORD.pack(1, choose.randbytes(32), 1, pack, 0, 0, 5, 5, 8 + n, bytes(8))
        for n in range(count)
    )


@pytest.mark.parametrize("count", [1, 127, 128, 129, 128 * 1024, 128 * 1024 + 1])
def test_every_record_is_found_whatever_the_depth(count):
    # The sizes at which a block, a level, and a further level begin.
    storage = MemoryStorage()
    pack, records = random_records(count)
    info = write_segment(storage, [records], [("data", pack)])
    segment = Segment(storage, info)
    keys = [record[: layout.KEY_BYTES] for record in records[:: max(1, count // 500)]]
    keys += [records[0][:33], records[-1][:33]]
    found, failed = SegmentSearch(storage).run([segment], keys)
    assert {record[:33] for record in found[segment]} == set(keys)
    assert not failed
    absent = [bytes([1]) + bytes(32), bytes([1]) + b"\xff" * 32, bytes(33), b"\xff" * 33]
    assert SegmentSearch(storage).run([segment], absent)[0][segment] == []
    assert list(segment.records()) == records
    segment.check()


def test_a_look_up_costs_a_block_a_level():
    # 131,073 records are 10 MB: a cold reader must not fetch them.
    storage = RecordingStorage(MemoryStorage())
    pack, records = random_records(128 * 1024 + 1)
    info = write_segment(storage, [records], [("data", pack)])
    storage.clear()
    segment = Segment(storage, info)
    assert storage.count() == storage.count("read_range") == 1
    assert storage.carried() <= 32 * 1024
    search = SegmentSearch(storage)
    storage.clear()
    search.run([segment], [records[70_000][:33]])
    assert storage.count() == 2
    assert storage.carried() <= 2 * 16 * 1024
    storage.clear()
    search.run([segment], [records[70_000][:33]])
    assert storage.count() == 0


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sets(st.tuples(st.sampled_from(list(Kind)), st.integers(0, 30)), min_size=1), min_size=1
    ),
    st.data(),
)
def test_merging_agrees_with_a_dict(contents, data):
    # Blobs lie in several packs, packs in several segments: no place may be lost in a merge, for
    # gc may take away any of the packs.
    storage = MemoryStorage()
    packs = []
    for content in contents:
        meta = [(kind, n) for kind, n in content if kind is not Kind.CHUNK]
        packs += [
            write(
                storage, [str(n).encode() for k, n in meta if k is kind], kind=kind, family="meta"
            )
            for kind in {k for k, _ in meta}
        ]
        chunks = [str(n).encode() for kind, n in content if kind is Kind.CHUNK]
        if chunks:
            packs.append(write(storage, chunks))
    cut = data.draw(st.integers(0, len(packs)))
    halves = [half for half in (packs[:cut], packs[cut:]) if half]
    parts = [Segment(storage, cover(storage, half)) for half in halves]
    merged = write_segment(
        storage,
        [part.records() for part in [*parts, *parts[:1]]],
        [pack for part in parts for pack in part.packs()],
    )
    model = model_of(packs)
    for segments in (segments_of(storage, merged), segments_of(storage, *(p.info for p in parts))):
        keys = [key_of(kind, str(n).encode()) for kind in Kind for n in range(32)]
        told = segments.find_many(keys)
        assert {key: set(places) for key, places in told.items()} == model
        assert all(len(places) == len(set(places)) for places in told.values())
        assert set(segments.covered()) == {pack.id for pack in packs}
        assert segments.keys_from(bytes([Kind.CHUNK])) == {k for k in model if k[0] == Kind.CHUNK}


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 400))
def test_equal_beginnings_are_told_apart(seed, count):
    # A node knows eight bytes of a key: hostile or unlucky addresses may share them, over blocks.
    choose = random.Random(seed)
    storage = MemoryStorage()
    pack = new_pack_id()
    prefixes = [choose.randbytes(7) for _ in range(2)]
    addresses = {choose.choice(prefixes) + choose.randbytes(25) for _ in range(count)}
    records = sorted(
        layout.RECORD.pack(1, address, 1, bytes.fromhex(pack), 0, 0, 5, 5, 8, bytes(8))
        for address in addresses
    )
    segment = Segment(storage, write_segment(storage, [records], [("data", pack)]))
    keys = [b"\x01" + address for address in addresses]
    found, _ = SegmentSearch(storage).run([segment], [*keys, b"\x01" + prefixes[0] + bytes(25)])
    assert {record[:33] for record in found[segment]} == set(keys)


@pytest.fixture(scope="module")
def whole():
    storage = MemoryStorage()
    packs = write_packs(storage, 40, blobs=10)
    return storage, packs, cover(storage, packs)


def damaged(whole, data):
    storage, packs, info = whole
    copy = MemoryStorage()
    copy._files = {k: v for k, v in storage._files.items() if k != info.key}
    if data is not None:
        copy.create(info.key, data)
    return copy, packs, info


def test_each_flipped_byte_is_noticed(whole):
    # Damage may cost time, never a wrong place: what is told comes from whole blocks only, and a
    # full check names the segment.
    storage, packs, info = whole
    data = storage.read(info.key)
    model = model_of(packs)
    for at in [*range(0, len(data), 97), *range(len(data) - 200, len(data))]:
        bad = bytearray(data)
        bad[at] ^= 0x10
        copy, _, _ = damaged(whole, bytes(bad))
        segments = segments_of(copy, info)
        told = segments.find_many(list(model))
        segments.covered()
        assert all(set(places) == model[key] for key, places in told.items())
        assert at < 8 or segments.unreadable or set(told) == set(model)
        with pytest.raises((CorruptError, UnsupportedError)):
            Segment(copy, info).check()


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 100, -1, -53, -200, -3000])
def test_a_truncated_one_is_left_out(whole, cut):
    storage, packs, info = whole
    copy, _, _ = damaged(whole, storage.read(info.key)[:cut] or b"")
    segments = segments_of(copy, info)
    assert segments.find_many(list(model_of(packs))) == {}
    assert list(segments.unreadable) == [info.id]


def test_one_that_is_gone_or_swapped_is_left_out(whole):
    _storage, _packs, info = whole
    other = MemoryStorage()
    theirs = cover(other, write_packs(other, 40, blobs=10))
    for data in (None, other.read(theirs.key)):
        copy, _, _ = damaged(whole, data)
        segments = segments_of(copy, info)
        assert segments.in_use == ()
        assert list(segments.unreadable) == [info.id]


def test_one_that_fails_while_it_is_asked_leaves_the_others(whole):
    # Copying tools and bit rot hit one file: the other segments go on answering.
    storage = MemoryStorage()
    one, two = write_packs(storage, 1, blobs=200)[0], write(storage, [b"other"])
    bad, good = cover(storage, [one]), cover(storage, [two])
    segments = segments_of(storage, bad, good)
    data = storage.read(bad.key)
    storage.delete(bad.key)
    storage.create(bad.key, data[: layout.HEADER_BYTES] + bytes(100) + data[108:])
    keys = [*model_of([one]), key_of(Kind.CHUNK, b"other")]
    assert key_of(Kind.CHUNK, b"other") in segments.find_many(keys)
    assert list(segments.unreadable) == [bad.id]
    segments = segments_of(storage, bad, good)
    storage.delete(bad.key)
    assert set(segments.find_many(keys)) == {key_of(Kind.CHUNK, b"other")}


def test_odd_values_of_the_index_cell():
    # A cell that can't be understood counts as none: the packs tell the same, more slowly.
    storage = MemoryStorage()
    info = cover(storage, write_packs(storage, 2))
    good = encode_list([info])["segments"][0]
    odd = [
        {},
        {"segments": 1},
        {"segments": [1]},
        {"segments": [good[:3]]},
        {"segments": [[good[0][:5], *good[1:]]]},
        {"segments": [[good[0], good[1] + 1, *good[2:]]]},
        {"segments": [[good[0], -good[1], *good[2:]]]},
        {"segments": [[good[0], good[1], 0, good[3]]]},
        {"segments": [good] * 5000},
    ]
    cells = Cells(storage)
    for value in odd:
        cells.swap(INDEX_CELL, cells.read(INDEX_CELL).number, value)
        segments = Segments(storage, cells)
        assert segments.refresh()
        assert segments.in_use == ()
        assert list(segments.unreadable) == [None]
    cells.kill(INDEX_CELL, cells.read(INDEX_CELL).number)
    segments = Segments(storage, cells)
    segments.refresh()
    assert not segments.unreadable


def test_a_segment_of_a_later_version_is_told(whole):
    storage, _, info = whole
    data = bytearray(storage.read(info.key))
    trailer = layout.TRAILER_BYTES
    head = bytearray(data[-trailer:-12])
    head[-4] = 9
    data[-trailer:] = bytes(head) + checksum64(bytes(head)) + layout.TRAILER_MAGIC
    copy, _, _ = damaged(whole, bytes(data))
    with pytest.raises(UnsupportedError):
        Segment(copy, info)


def test_no_records_make_no_segment():
    storage = MemoryStorage()
    assert write_segment(storage, [[], []], []) is None
    assert list(storage.list("index/")) == []


def test_infos_are_checked_against_the_file(whole):
    storage, _, info = whole
    for odd in (
        SegmentInfo(new_pack_id(), info.size, info.records, info.packs),
        SegmentInfo(info.id, 10, info.records, info.packs),
    ):
        if odd.id != info.id:
            storage.create(odd.key, storage.read(info.key))
        with pytest.raises(CorruptError):
            Segment(storage, odd)
