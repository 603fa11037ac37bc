"""Rows of files: views, comparison, checks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import CorruptError
from ahstore.objects import file as files
from ahstore.objects.file import (
    ChunkRef,
    FileEntry,
    check_row,
    check_rows,
    make_flags,
    same_content,
)

MD5 = hashlib.md5(b"").digest()
ID = bytes(range(32))


def row(**changes):
    fields = {
        "path": "a/b.png",
        "size": 7,
        "md5": MD5,
        "mtime_ns": 1_669_891_757_123_456_789,
        "flags": 0,
        "content_type": 6,
        "refs": ID + (7).to_bytes(8, "big"),
    }
    return list((fields | changes).values())


def test_a_row_and_its_view_are_the_same_file():
    entry = FileEntry.from_row(check_row(row(flags=make_flags(executable=True, level=3))))
    assert entry.executable
    assert entry.level == 3
    assert entry.content_type == "image/png"
    assert entry.mtime == 1_669_891_757
    assert entry.checksum == MD5.hex()
    assert entry.chunks == (ChunkRef(ID, 7),)
    assert entry.to_row() == row(flags=0x31)


def test_times_before_1970_round_down():
    assert FileEntry.from_row(row(mtime_ns=-1)).mtime == -1


def test_mtime_and_path_are_no_difference_of_content():
    assert same_content(row(), row(mtime_ns=1, path="other"))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 8},
        {"md5": b"x" * 16},
        {"flags": 1},
        {"flags": 16},
        {"content_type": 7},
        {"refs": bytes(32) + (7).to_bytes(8, "big")},  # an MD5 collision is two files, not one
    ],
)
def test_what_makes_a_difference(change):
    assert not same_content(row(), row(**change))


def test_an_empty_file_has_no_chunks():
    assert FileEntry.from_row(check_row(row(size=0, refs=b""))).chunks == ()


BAD = [
    {"path": "../x"},
    {"path": "/x"},
    {"path": "a//b"},
    {"path": 5},
    {"size": -1, "refs": b""},
    {"size": True, "refs": ID + (1).to_bytes(8, "big")},
    {"size": 8},
    {"size": 0, "refs": ID + bytes(8)},
    {"md5": b"short"},
    {"mtime_ns": 1 << 63},
    {"mtime_ns": 1.5},
    {"flags": 2},
    {"flags": 0x100},
    {"flags": -1},
    {"flags": 0x10, "size": 0, "refs": b""},
    {"content_type": "text"},
    {"content_type": "image/png"},  # would be a second encoding of one type
    {"content_type": -1},
    {"content_type": True},
    {"content_type": None},
    {"refs": b"x"},
    {"refs": "text"},
    {"size": 35, "refs": (ID + (7).to_bytes(8, "big")) * 5},
]


@pytest.mark.parametrize("bad", BAD)
def test_malformed_rows_are_corrupt(bad):
    with pytest.raises(CorruptError):
        check_row(row(**bad))
    # What a page check by columns overlooks reaches the user's disk.
    for page in ([row(**bad)], [row(), row(**bad), row()]):
        with pytest.raises(CorruptError):
            check_rows(page)


@pytest.mark.parametrize("bad", [None, [], {}, row()[:6], [*row(), 1], tuple(row())])
def test_other_things_are_no_rows(bad):
    with pytest.raises(CorruptError):
        check_row(bad)


def test_the_number_of_inline_references_is_part_of_the_format():
    assert files.MAX_INLINE_REFS == 4
    four = row(size=28, refs=(ID + (7).to_bytes(8, "big")) * 4)
    assert check_row(four) is four


PATHS = st.one_of(
    st.lists(st.sampled_from([".", "..", "/", "a", "é", "\n", "\\", "b" * 70, "数" * 90])).map(
        "".join
    ),
    st.text(max_size=5),
)


@given(paths=st.lists(PATHS, min_size=1, max_size=4))
@settings(max_examples=300)
def test_a_page_is_checked_as_its_rows_are(paths):
    page = [row(path=path) for path in paths]
    if all(map(accepts, page)):
        check_rows(page)
    else:
        with pytest.raises(CorruptError):
            check_rows(page)


def accepts(each):
    try:
        check_row(each)
    except CorruptError:
        return False
    return True


def test_pages_of_all_kinds_of_files_pass():
    check_rows([row()] * 3)
    check_rows(
        [row(), row(size=0, refs=b""), row(size=14, refs=row()[6] * 2), row(content_type="a/b")]
    )
