"""A diff is what comparing row by row gives, and reads only what differs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import CorruptError
from ahstore.objects.diff import diff
from ahstore.objects.edit import edit
from ahstore.objects.page import decode_page, is_boundary
from ahstore.objects.tree import build

POOL = [f"k{number:06d}" for number in range(40_000)]
ENDS = [key for key in POOL if is_boundary(key, 0)]
PLAIN = POOL[:300]


def rows_of(contents):
    return [[key, contents[key], b"payload"] for key in sorted(contents)]


def naive(a, b):
    return [
        (
            [key, a[key], b"payload"] if key in a else None,
            [key, b[key], b"payload"] if key in b else None,
        )
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def check_diff(new_pages, a, b):
    pages_a, pages_b = new_pages(), new_pages()
    root_a, root_b = build(rows_of(a), pages_a), build(rows_of(b), pages_b)
    assert list(diff(pages_a, root_a, pages_b, root_b)) == naive(a, b)
    return pages_a, pages_b


CONTENTS = st.dictionaries(
    st.one_of(st.sampled_from(PLAIN), st.sampled_from(ENDS)), st.integers(0, 1), max_size=80
)


@given(a=CONTENTS, b=CONTENTS)
@settings(max_examples=300)
def test_a_diff_equals_comparing_row_by_row(new_pages, a, b):
    check_diff(new_pages, a, b)


@given(a=CONTENTS, change=CONTENTS, gone=CONTENTS)
@settings(max_examples=300)
def test_a_diff_of_near_trees_equals_comparing_row_by_row(new_pages, a, change, gone):
    b = {key: value for key, value in (a | change).items() if key not in list(gone)[:5]}
    check_diff(new_pages, a, b)


KEYS = st.one_of(st.sampled_from(PLAIN), st.sampled_from(ENDS), st.just(""), st.just("z"))


@given(a=CONTENTS, change=CONTENTS, gone=CONTENTS, low=KEYS, high=st.none() | KEYS)
@settings(max_examples=300)
def test_a_diff_of_a_range_is_that_part_of_the_diff(new_pages, a, change, gone, low, high):
    b = {key: value for key, value in (a | change).items() if key not in list(gone)[:5]}
    pages_a, pages_b = new_pages(), new_pages()
    root_a, root_b = build(rows_of(a), pages_a), build(rows_of(b), pages_b)

    def inside(pair):
        key = (pair[0] or pair[1])[0]
        return low <= key and (high is None or key < high)

    found = list(diff(pages_a, root_a, pages_b, root_b, low=low, high=high))
    assert found == [pair for pair in naive(a, b) if inside(pair)]


def test_what_differs_outside_a_range_is_not_read(pages):
    keys = POOL[:20_000]
    old = build(rows_of(dict.fromkeys(keys, 1)), pages)
    changed = {key: 2 for number, key in enumerate(keys) if number % 3 == 0 and key < "k010000"}
    new = build(rows_of(dict.fromkeys(keys, 1) | changed), pages)
    pages.forget_counts()
    assert list(diff(pages, old, pages, new, low="k015000", high="k015001")) == []
    assert pages.pages_read <= 6
    pages.forget_counts()
    found = list(diff(pages, old, pages, new, low="k000300", high="k000301"))
    assert [(a[0], b[1]) for a, b in found] == [("k000300", 2)]
    assert pages.pages_read <= 8


@pytest.mark.parametrize("seed", range(2))
def test_diffs_of_large_trees(new_pages, seed):
    random_ = random.Random(seed)
    a = dict.fromkeys(random_.sample(POOL, 12_000), 1)
    for count in (1, 10, 500, 9_000):
        b = dict(a)
        for key in random_.sample(POOL, count):
            if random_.random() < 0.5:
                b[key] = random_.randrange(3)
            else:
                b.pop(key, None)
        check_diff(new_pages, a, b)
    keys = sorted(a)
    for part in (keys[:5000], keys[5000:], keys[3000:6000], keys[:1], []):
        check_diff(new_pages, a, dict.fromkeys(part, 1))
        check_diff(new_pages, dict.fromkeys(part, 1), a)


def test_equal_trees_are_told_without_reading(pages):
    root = build(rows_of(dict.fromkeys(POOL, 1)), pages)
    pages.forget_counts()
    assert list(diff(pages, root, pages, root)) == []
    assert pages.pages_read == 0


def test_one_change_among_200_000_reads_a_few_pages(new_pages, file_row):
    # The promise of a fast diff: it must not grow with the version.
    pages = new_pages()
    keys = [f"train/{number % 200:03d}/{number:07d}.png" for number in range(200_000)]
    root = build([file_row(key) for key in sorted(keys)], pages)
    random_ = random.Random(4)
    for _ in range(60):
        key = random_.choice(keys)
        new = f"{key}.new"
        kinds = [(key, None), (key, file_row(key, salt=b"2")), (new, file_row(new))]
        for change in kinds:
            other = edit(pages, root, [change], pages)
            for one, two in ((root, other), (other, root)):
                pages.forget_counts()
                assert len(list(diff(pages, one, pages, two))) == 1
                assert pages.pages_read <= 20


def test_a_diff_reads_what_differs_and_little_more(new_pages):
    # Insertions that end pages shift neighbours: common pages must still be passed over.
    random_ = random.Random(5)
    a = dict.fromkeys(POOL, 1)
    for changes in (10, 100):
        b = a | {f"{key}+": 1 for key in random_.sample(POOL, changes)}
        pages_a, pages_b = check_diff(new_pages, a, b)
        differing = len(pages_a.data.keys() ^ pages_b.data.keys())
        read = pages_a.pages_read + pages_b.pages_read
        assert read <= differing + changes / 5 + 4


def test_a_page_in_a_wrong_place_is_noticed(pages):
    root = build(rows_of(dict.fromkeys(POOL[:2000], 1)), pages)
    other = build(rows_of(dict.fromkeys(POOL[:2001], 2)), pages)
    first, second = decode_page(pages.data[root]).rows[:2]
    pages.data[first[2]], pages.data[second[2]] = pages.data[second[2]], pages.data[first[2]]
    with pytest.raises(CorruptError):
        list(diff(pages, root, pages, other))
