"""Leaves are found by the keys they hold, and known again in any tree that has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.objects.edit import edit
from ahstore.objects.leaves import Leaf, Leaves
from ahstore.objects.tree import Tree, build


def key(number: int) -> str:
    return f"d{number % 7}/f{number:05}"


def all_leaves(tree: Tree) -> dict[str, Leaf]:
    """Return the leaf of each key, as the pages themselves tell."""
    cursor, found = tree.cursor(), {}
    cursor.first()
    while True:
        for each in cursor.page.keys:
            found[each] = Leaf(cursor.page.keys[-1], cursor.row[2])
        if not cursor.advance():
            return found


@pytest.fixture(scope="module", params=[1, 40, 3000])
def stored(request, new_pages):
    pages = new_pages()
    root = build([[k, 1] for k in sorted(map(key, range(request.param)))], pages)
    return pages, root, request.param


@given(numbers=st.lists(st.integers(0, 2999), max_size=60), changed=st.integers(0, 2999))
def test_leaves_of_keys_are_those_that_hold_them(stored, numbers, changed):
    """A leaf too few, and a change in it would be hidden; a leaf too many costs time."""
    pages, root, count = stored
    tree = Tree(pages, root)
    keys = sorted({key(number % count) for number in numbers})
    truth = all_leaves(tree)
    found = Leaves(tree).covering(keys)
    assert found == list(dict.fromkeys(truth[each] for each in keys))
    assert Leaves(tree).has(found)
    other = key(changed % count)
    changed_tree = Tree(pages, edit(pages, root, [(other, [other, 2])], pages))
    assert Leaves(changed_tree).has(found) == (truth[other] not in found)
    gone = Tree(pages, edit(pages, root, [(other, None)], pages))
    assert not Leaves(gone).has([truth[other]])


def test_a_tree_has_no_leaves_of_others(pages):
    empty, one = Tree(pages, build([], pages)), Tree(pages, build([["a", 1]], pages))
    assert Leaves(empty).covering(["a"]) == []
    assert Leaves(empty).has([])
    found = Leaves(one).covering(["a", "b"])
    assert [leaf.last for leaf in found] == ["a"]
    assert not Leaves(empty).has(found)


def test_leaves_are_not_read(pages):
    tree = Tree(pages, build([[k, 1] for k in sorted(map(key, range(3000)))], pages))
    leaves = {leaf.page for leaf in all_leaves(tree).values()}
    pages.forget_counts()
    found = Leaves(Tree(pages, tree.root)).covering(sorted([key(5), key(2500)]))
    assert len(found) == 2
    assert not leaves & set(pages.reads)
