"""The same promises with a coarser rule: pages so small that few keys make trees of many levels.

With 64 rows a page, random tests rarely see what happens at three levels at once. Here a page ends
after every second key on average and after four at most, so that every few edits merge, split, grow
and shrink several levels.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.objects import edit as edits
from ahstore.objects import page, tree
from ahstore.objects.diff import diff
from ahstore.objects.edit import edit
from ahstore.objects.page import decode_page
from ahstore.objects.tree import Tree, build

KEYS = [f"{number:03}" for number in range(300)]
CONTENTS = st.dictionaries(st.sampled_from(KEYS[:80]), st.integers(0, 1), max_size=70)
CHANGES = st.dictionaries(st.sampled_from(KEYS[:80]), st.sampled_from([None, 0, 1]), max_size=20)


@pytest.fixture(scope="module", autouse=True)
def small_pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "BITS_PER_LEVEL", 1)
        patch.setattr(page, "LEAF_BOUNDARY", 128)
        patch.setattr(tree, "LEAF_BOUNDARY", 128)
        patch.setattr(tree, "MAX_ROWS", 4)
        patch.setattr(edits, "MAX_ROWS", 4)
        yield


def rows_of(contents):
    return [[key, contents[key]] for key in sorted(contents)]


def changes_of(changes):
    return [
        (key, None if value is None else [key, value]) for key, value in sorted(changes.items())
    ]


def applied(contents, changes):
    result = contents | changes
    return {key: value for key, value in result.items() if value is not None}


def check(new_pages, contents, changes):
    pages = new_pages()
    root = build(rows_of(contents), pages)
    old_pages = set(pages.data)
    pages.forget_counts()
    result = edit(pages, root, changes_of(changes), pages)
    wanted = applied(contents, changes)
    expected = new_pages()
    assert result == build(rows_of(wanted), expected)
    assert not set(pages.writes) & old_pages
    unneeded = [decode_page(pages.data[each]) for each in set(pages.writes) - set(expected.data)]
    # A tree that loses levels may leave one page a level, of one row, that its root doesn't need.
    assert all(len(each.rows) == 1 for each in unneeded)
    assert len({each.level for each in unneeded}) == len(unneeded)
    assert list(Tree(pages, result).scan()) == rows_of(wanted)
    differing = [
        (
            [key, contents[key]] if key in contents else None,
            [key, wanted[key]] if key in wanted else None,
        )
        for key in sorted(contents.keys() | wanted.keys())
        if contents.get(key) != wanted.get(key)
    ]
    assert list(diff(pages, root, pages, result)) == differing
    return pages, root


@given(contents=CONTENTS, changes=CHANGES)
@settings(max_examples=500)
def test_edit_and_diff(new_pages, contents, changes):
    check(new_pages, contents, changes)


def test_trees_here_are_tall(new_pages):
    pages, root = check(new_pages, dict.fromkeys(KEYS, 1), {"0": 1})
    assert decode_page(pages.data[root]).level >= 5


@pytest.mark.parametrize("seed", range(3))
def test_random_edits(new_pages, seed):
    random_ = random.Random(seed)
    for _ in range(60):
        keys = random_.sample(KEYS, random_.randrange(len(KEYS)))
        contents = dict.fromkeys(keys, 1)
        touched = random_.sample(KEYS, random_.choice([1, 2, 5, 50, 300]))
        start = random_.randrange(len(KEYS))
        changes = {key: random_.choice([None, 1, 2]) for key in touched}
        check(new_pages, contents, changes)
        check(new_pages, contents, dict.fromkeys(KEYS[start : start + 100]))


@given(changes=st.lists(CHANGES, max_size=6))
@settings(max_examples=100)
def test_a_history_of_edits(new_pages, changes):
    pages, contents = new_pages(), {}
    root = build([], pages)
    for change in changes:
        root = edit(pages, root, changes_of(change), pages)
        contents = applied(contents, change)
        assert root == build(rows_of(contents), new_pages())
