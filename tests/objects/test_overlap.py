"""No file where another has a folder, asked cheaply."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.objects.overlap import find_overlap
from ahstore.objects.tree import Tree, build

PATHS = st.sets(st.lists(st.sampled_from("ab-0"), min_size=1, max_size=3).map("/".join), max_size=6)


def tree_of(pages, paths):
    return Tree(pages, build([[path, 1] for path in sorted(paths)], pages))


def conflicts(paths):
    return {(a, b) for a in paths for b in paths if b.startswith(a + "/")}


@pytest.mark.parametrize(
    ("present", "puts", "deleted", "expected"),
    [
        ([], ["a", "a/b"], [], ("a", "a/b")),
        ([], ["a", "a-b", "a/b"], [], ("a", "a/b")),
        ([], ["a", "a-b", "ab/c"], [], None),
        (["a"], ["a/b/c"], [], ("a", "a/b/c")),
        (["a"], ["a/b/c"], ["a"], None),
        (["a/b/c"], ["a"], [], ("a", "a/b/c")),
        (["a/b/c"], ["a"], ["a/b/c"], None),
        (["a/b", "a/c"], ["a"], ["a/b"], ("a", "a/c")),
        (["a/b"], ["a/b"], [], None),
        (["a/b"], ["a/c"], [], None),
        (["a.x", "a0"], ["a"], [], None),
    ],
)
def test_overlaps(pages, present, puts, deleted, expected):
    assert find_overlap(tree_of(pages, present), puts, set(deleted)) == expected


@given(present=PATHS, puts=PATHS, deleted=PATHS)
@settings(max_examples=400)
def test_overlaps_are_found_as_by_comparing_all(new_pages, present, puts, deleted):
    present = {path for path in present if not any(path.startswith(p + "/") for p in present)}
    after = (present - deleted) | puts
    found = find_overlap(tree_of(new_pages(), present), sorted(puts), deleted)
    assert (found in conflicts(after)) if found else not conflicts(after)


def test_one_path_into_many_reads_a_few_pages(pages):
    tree = tree_of(pages, (f"dir{number % 300:03d}/{number:06d}" for number in range(100_000)))
    for path, expected in [
        ("dir007/new", None),
        ("new/a/b/c", None),
        ("dir007", ("dir007", "dir007/000007")),
        ("dir007/000007/x", ("dir007/000007", "dir007/000007/x")),
    ]:
        pages.forget_counts()
        assert find_overlap(tree, [path], frozenset()) == expected
        assert pages.pages_read <= 8


def test_a_batch_as_large_as_the_tree_reads_each_page_once(new_pages):
    pages = new_pages()
    paths = [f"dir{number % 300:03d}/{number:06d}" for number in range(30_000)]
    tree = tree_of(pages, paths)
    pages.forget_counts()
    assert find_overlap(tree, sorted(paths), frozenset()) is None
    assert max(pages.reads.values()) == 1
