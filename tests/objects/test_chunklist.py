"""Long chunk lists: built, walked, read in part, and refused when they lie."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import CorruptError, InvalidInputError
from ahstore.objects.chunklist import MAX_GROUP, ListBuilder, all_chunks, build, walk
from ahstore.objects.file import ChunkRef, pack_refs


def chunks(count, *, length=None, salt=b""):
    ids = [hashlib.sha256(salt + number.to_bytes(8, "big")).digest() for number in range(count)]
    return [ChunkRef(each, length or 1 + each[0]) for each in ids]


def walked(pages, level, refs, **part):
    return list(walk(level, refs, pages.read_chunk, **part))


def with_starts(refs):
    result, start = [], 0
    for ref in refs:
        result.append((ref, start))
        start += ref.length
    return result


@pytest.mark.parametrize("count", [0, 1, 4, 5, 31, 32, 33, 1000, 40_000])
def test_a_list_comes_back(pages, count):
    refs = chunks(count)
    level, packed = build(refs, pages.put_chunk)
    assert level == (0 if count <= 4 else level or -1)
    assert len(packed) <= 160
    assert walked(pages, level, packed) == with_starts(refs)
    needed = set(all_chunks(level, packed, pages.read_chunk))
    assert needed == {ref.id for ref in refs} | set(pages.data)


@given(
    count=st.integers(5, 800),
    offset=st.integers(0, 120_000),
    length=st.one_of(st.none(), st.integers(0, 5000)),
)
@settings(max_examples=100)
def test_parts_are_found(new_pages, count, offset, length):
    pages, refs = new_pages(), chunks(count)
    level, packed = build(refs, pages.put_chunk)
    end = float("inf") if length is None else offset + length
    expected = [
        (ref, start)
        for ref, start in with_starts(refs)
        if start < end and start + ref.length > offset
    ]
    assert walked(pages, level, packed, offset=offset, length=length) == expected


def test_a_small_part_of_a_long_list_reads_one_list_a_level(pages):
    refs = chunks(100_000, length=1000)
    level, packed = build(refs, pages.put_chunk)
    pages.forget_counts()
    found = walked(pages, level, packed, offset=50_000_500, length=10)
    assert found == [(refs[50_000], 50_000_000)]
    assert pages.pages_read == level == 3


def test_a_part_ends_where_its_neighbours_begin(pages):
    refs = chunks(600, length=10)
    level, packed = build(refs, pages.put_chunk)
    assert walked(pages, level, packed, offset=3000, length=10) == [(refs[300], 3000)]
    assert walked(pages, level, packed, offset=3000, length=0) == []
    assert walked(pages, level, packed, offset=6000) == []


def test_an_insertion_changes_few_lists(pages):
    # Otherwise a changed byte in a large file would rewrite its whole list.
    refs = chunks(40_000)
    build(refs, pages.put_chunk)
    known = set(pages.data)
    build(refs[:20_000] + chunks(1, salt=b"new") + refs[20_000:], pages.put_chunk)
    assert len(set(pages.data) - known) <= 8


@pytest.mark.parametrize("last_byte", [0, 1, 0x80])
def test_equal_chunks_make_short_lists(pages, last_byte):
    # A file of zeros: its chunks are all the same, ending every group or none.
    ref = ChunkRef(bytes(31) + bytes([last_byte]), 1 << 20)
    level, packed = build([ref] * 100_000, pages.put_chunk)
    assert len(pages.data) < 20
    assert sum(1 for _ in walk(level, packed, pages.read_chunk)) == 100_000


@pytest.mark.parametrize(
    "ref", [ChunkRef(b"short", 1), ChunkRef(bytes(32), 0), ChunkRef(bytes(32), -1)]
)
def test_malformed_references_are_refused(pages, ref):
    with pytest.raises(InvalidInputError):
        build([ref], pages.put_chunk)


def test_a_file_too_long_is_refused(pages):
    builder = ListBuilder(pages.put_chunk)
    builder.add(ChunkRef(bytes(32), (1 << 63) - 1))
    with pytest.raises(InvalidInputError):
        builder.add(ChunkRef(bytes(32), 1))


def test_negative_ranges_are_refused(pages):
    with pytest.raises(InvalidInputError):
        walked(pages, 0, b"", offset=-1)
    with pytest.raises(InvalidInputError):
        walked(pages, 0, b"", length=-1)


def test_lists_that_lie_are_corrupt(pages):
    listed = pages.put_chunk(pack_refs(chunks(3, length=10)))
    garbage = pages.put_chunk(b"garbage")
    too_long = pages.put_chunk(pack_refs(chunks(MAX_GROUP + 1, length=10)))
    none = pages.put_chunk(b"")
    itself = pack_refs([ChunkRef(listed, 30)])
    assert len(walked(pages, 1, itself)) == 3
    for level, refs in [
        (1, [ChunkRef(listed, 31)]),
        (1, [ChunkRef(garbage, 7)]),
        (1, [ChunkRef(none, 1)]),
        (1, [ChunkRef(too_long, 10 * MAX_GROUP + 10)]),
        (16, [ChunkRef(listed, 30)]),
        (-1, [ChunkRef(listed, 30)]),
    ]:
        for read in (walk, all_chunks):
            with pytest.raises(CorruptError):
                list(read(level, pack_refs(refs), pages.read_chunk))


@given(lists=st.lists(st.binary(max_size=200), min_size=1, max_size=4), level=st.integers(-2, 18))
def test_damage_gives_typed_errors_only(lists, level):
    def read_chunk(chunk_id):
        return lists[chunk_id[0] % len(lists)]

    for refs in lists:
        try:
            for count, _ in enumerate(walk(level, refs, read_chunk)):
                if count > 1000:
                    break
        except CorruptError:
            pass
