"""Editing a tree gives what building it anew would give, and costs what changed."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import CorruptError, InvalidInputError
from ahstore.objects.edit import edit
from ahstore.objects.page import decode_page
from ahstore.objects.tree import Tree, build


def hash_bits(key):
    return int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")


def trailing_levels(key):
    """How many levels end after the key."""
    bits, level = hash_bits(key), 0
    while not bits >> (250 - 6 * level) & 63:
        level += 1
    return level


# Keys by how many levels they end: random edits of few keys thus reach every case of the rule.
POOL = [f"k{number:06d}" for number in range(40_000)]
PLAIN = [key for key in POOL if not trailing_levels(key)]
ENDS = [key for key in POOL if trailing_levels(key) == 1]
HIGH_ENDS = [key for key in POOL if trailing_levels(key) >= 2]


def key_sets(max_size=60):
    """Sets of keys in which page ends of one or more levels are common."""
    mixed = st.one_of(
        st.sampled_from(PLAIN[:200]), st.sampled_from(ENDS[:100]), st.sampled_from(HIGH_ENDS)
    )
    return st.sets(mixed, max_size=max_size)


def rows_of(contents):
    return [[key, contents[key], b"payload"] for key in sorted(contents)]


def apply(contents, changes):
    result = dict(contents)
    for key, row in changes:
        if row is None:
            result.pop(key, None)
        else:
            result[key] = row[1]
    return result


def check_edit(new_pages, contents, changes):
    """Edit a tree of ``contents``; the result equals a build, and can be read."""
    old, new, expected = new_pages(), new_pages(), new_pages()
    root = build(rows_of(contents), old)
    result = edit(old, root, changes, new)
    wanted = apply(contents, changes)
    assert result == build(rows_of(wanted), expected)
    assert result in new.data or result in old.data
    both = new_pages()
    both.data = old.data | new.data
    assert list(Tree(both, result).scan()) == rows_of(wanted)
    return old, new


def random_changes(random_, contents, pool, count):
    keys = sorted(random_.sample(pool, count))
    return [(key, None if random_.random() < 0.4 else [key, 7, b"payload"]) for key in keys]


@given(before=key_sets(), puts=key_sets(), deletes=key_sets(), weight=st.integers(0, 3))
@settings(max_examples=400)
def test_an_edit_equals_a_build(new_pages, before, puts, deletes, weight):
    contents = dict.fromkeys(before, 1)
    changes = dict.fromkeys(deletes) | {key: [key, weight, b"payload"] for key in puts}
    check_edit(new_pages, contents, sorted(changes.items()))


@given(before=key_sets(), after=key_sets())
@settings(max_examples=200)
def test_deleting_all_and_putting_others_equals_a_build(new_pages, before, after):
    changes = dict.fromkeys(before) | {key: [key, 1, b"payload"] for key in after}
    check_edit(new_pages, dict.fromkeys(before, 1), sorted(changes.items()))


@given(data=st.data(), size=st.integers(200, 1100))
@settings(max_examples=25)
def test_edits_of_runs_without_page_ends_equal_a_build(new_pages, data, size):
    # Such runs are cut every 256 rows from their start: an insertion moves every cut after it.
    contents = dict.fromkeys(PLAIN[: 2 * size : 2], 1)
    for few in (PLAIN[: 2 * size], ENDS[:40]):
        keys = data.draw(st.sets(st.sampled_from(few), max_size=6))
        changes = [
            (key, data.draw(st.sampled_from([None, [key, 2, b"payload"]]))) for key in sorted(keys)
        ]
        check_edit(new_pages, contents, changes)
        contents = apply(contents, changes)


@pytest.mark.parametrize("seed", range(2))
def test_edits_of_large_trees_equal_a_build(new_pages, seed):
    random_ = random.Random(seed)
    contents = dict.fromkeys(random_.sample(POOL, 12_000), 1)
    for count in (1, 2, 30, 1000, 9_000):
        check_edit(new_pages, contents, random_changes(random_, contents, POOL, count))
    # Very skewed: one end only, one stretch only, all of it, all but one.
    keys = sorted(contents)
    start = random_.randrange(6_000)
    for stretch in (keys[:500], keys[-500:], keys[start : start + 3000], keys, keys[1:], keys[:-1]):
        check_edit(new_pages, contents, [(key, None) for key in stretch])
    growth = [(f"{key}+", [f"{key}+", 1, b"payload"]) for key in keys[start : start + 3000]]
    check_edit(new_pages, contents, growth)
    check_edit(new_pages, dict.fromkeys(keys[:3], 1), [(key, [key, 1, b"payload"]) for key in keys])


def test_a_tree_grows_from_nothing_and_shrinks_to_nothing_one_by_one(new_pages):
    # Every height of root is passed on the way up and on the way down.
    keys = ENDS[:40] + HIGH_ENDS + PLAIN[:100]
    random.Random(1).shuffle(keys)
    pages, contents = new_pages(), {}
    root = empty = build([], pages)
    for key in keys:
        contents[key] = 1
        root = edit(pages, root, [(key, [key, 1, b"payload"])], pages)
        assert root == build(rows_of(contents), new_pages())
    random.Random(2).shuffle(keys)
    for key in keys:
        del contents[key]
        root = edit(pages, root, [(key, None)], pages)
        assert root == build(rows_of(contents), new_pages())
    assert root == empty


@given(order=st.permutations(HIGH_ENDS[:4] + ENDS[:8] + PLAIN[:8]), batch=st.integers(1, 6))
@settings(max_examples=50)
def test_the_order_of_edits_does_not_matter(new_pages, order, batch):
    # The promise that makes equal versions compare in one step.
    pages = new_pages()
    root = build([], pages)
    for start in range(0, len(order), batch):
        changes = [(key, [key, 1, b"payload"]) for key in sorted(order[start : start + batch])]
        root = edit(pages, root, changes, pages)
    assert root == build(rows_of(dict.fromkeys(order, 1)), new_pages())


def test_a_change_that_changes_nothing_writes_nothing(new_pages):
    contents = dict.fromkeys(POOL[:5000], 1)
    same = [(key, [key, 1, b"payload"]) for key in POOL[:5000:50]]
    absent = [(f"{key}+", None) for key in POOL[:5000:50]]
    for changes in ([], same, absent):
        _, new = check_edit(new_pages, contents, changes)
        assert new.writes == []


def test_only_new_pages_are_written_and_each_once(new_pages):
    random_ = random.Random(3)
    contents = dict.fromkeys(POOL[:20_000], 1)
    for count in (1, 10, 300):
        old, new = check_edit(
            new_pages, contents, random_changes(random_, contents, POOL[:20_000], count)
        )
        assert len(set(new.writes)) == len(new.writes)
        assert not set(new.writes) & set(old.data)


def test_one_change_among_200_000_costs_a_few_pages(pages, file_row):
    # The promise "cost follows the change": what a commit of one file into a large version costs.
    keys = [f"train/{number % 200:03d}/{number:07d}.png" for number in range(200_000)]
    root = build([file_row(key) for key in sorted(keys)], pages)
    random_ = random.Random(4)
    for _ in range(100):
        key = random_.choice(keys)
        new = f"{key}.new"
        kinds = [(key, None), (key, file_row(key, salt=b"2")), (new, file_row(new))]
        for change in kinds:
            pages.forget_counts()
            assert edit(pages, root, [change], pages) != root
            assert pages.pages_read <= 10
            assert len(pages.writes) <= 10
            assert pages.bytes_written <= 64_000


@pytest.mark.parametrize(
    "changes",
    [
        [("b", None), ("a", None)],
        [("a", None), ("a", None)],
        [("a", ["b", 1])],
        [("a", [])],
        [("a", ["a"])],
        [("a", ("a", 1))],
        [("a", {"a": 1})],
        [(None, None)],
        [(b"a", None)],
        [("a", ["a", -1])],
        [("\ud800", ["\ud800", 1])],
        [("a", ["a", 1, object()])],
    ],
)
@pytest.mark.parametrize("keys", [[], ["c"], POOL[:2000]])
def test_malformed_changes_are_refused(pages, changes, keys):
    root = build(rows_of(dict.fromkeys(keys, 1)), pages)
    with pytest.raises(InvalidInputError):
        edit(pages, root, changes, pages)


def test_a_page_in_a_wrong_place_is_noticed(pages):
    # A page swapped for another would silently lose rows from the version made of it.
    root = build(rows_of(dict.fromkeys(POOL[:2000], 1)), pages)
    first, second = decode_page(pages.data[root]).rows[:2]
    pages.data[first[2]], pages.data[second[2]] = pages.data[second[2]], pages.data[first[2]]
    with pytest.raises(CorruptError):
        edit(pages, root, [(POOL[0], None)], pages)
