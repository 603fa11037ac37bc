"""Trees: found, scanned, counted and built as a plain sorted list would be."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import CorruptError, InvalidInputError, NotFoundError
from ahstore.objects.page import MAX_ROWS, decode_page, is_boundary
from ahstore.objects.tree import Tree, after_prefix, build

KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), unique=True)


def rows_of(keys):
    return [[key, index % 7, index] for index, key in enumerate(sorted(keys))]


def numbered(count, form="dir%03d/file-%07d.png"):
    return sorted(form % (i % 97, i) for i in range(count))


@given(keys=KEYS, probes=KEYS)
def test_small_trees_answer_like_a_list(new_pages, keys, probes):
    pages, rows = new_pages(), rows_of(keys)
    tree = Tree(pages, build(rows, pages))
    assert list(tree.scan()) == rows
    assert tree.count() == len(rows)
    assert tree.weight() == sum(row[1] for row in rows)
    by_key = {row[0]: row for row in rows}
    for probe in [*probes, *keys]:
        assert tree.find(probe) == by_key.get(probe)
        for prefix in (probe, probe[:1]):
            expected = [row for row in rows if row[0].startswith(prefix)]
            assert list(tree.scan(prefix=prefix)) == expected
            assert tree.count_under(prefix) == len(expected)
            assert tree.weight_under(prefix) == sum(row[1] for row in expected)
            later = [row for row in expected if row[0] > probe]
            assert list(tree.scan(prefix=prefix, after=probe)) == later


def test_a_tree_of_several_levels_answers_like_a_list(pages):
    rows = rows_of(numbered(30_000))
    tree = Tree(pages, build(rows, pages))
    assert decode_page(pages.data[tree.root]).level >= 2
    assert list(tree.scan()) == rows
    assert tree.count() == len(rows)
    for at in range(0, len(rows), 997):
        row = rows[at]
        assert tree.find(row[0]) == row
        assert tree.find(row[0] + "!") is None
        assert next(tree.scan(after=row[0])) == rows[at + 1]
    for prefix in ("dir000/", "dir05", "dir096/", "d", "", "zzz", "a"):
        expected = [row for row in rows if row[0].startswith(prefix)]
        assert list(tree.scan(prefix=prefix)) == expected
        assert tree.totals_under(prefix) == (len(expected), sum(row[1] for row in expected))


def test_counts_under_a_prefix_read_a_few_pages(pages):
    tree = Tree(pages, build(rows_of(numbered(30_000)), pages))
    pages.forget_counts()
    assert tree.count_under("dir050/") == 309
    assert pages.pages_read <= 6


def test_listing_a_folder_reads_its_pages_only(pages):
    tree = Tree(pages, build(rows_of(numbered(30_000)), pages))
    pages.forget_counts()
    assert len(list(tree.scan(prefix="dir050/"))) == 309
    assert pages.pages_read <= 14


def test_pages_are_listed_parents_first_without_reading_leaves(pages):
    tree = Tree(pages, build(rows_of(numbered(30_000)), pages))
    inner = sum(1 for data in pages.data.values() if decode_page(data).level)
    pages.forget_counts()
    listed = list(tree.page_ids())
    assert {page for page, _ in listed} == set(pages.data)
    assert all(decode_page(pages.data[page]).level == level for page, level in listed)
    assert pages.pages_read == inner
    assert list(tree.page_ids(enter=lambda page, level: page == tree.root)) == [listed[0]]


def test_pages_end_where_the_rule_says(pages):
    # A rule that drifted would make every store's roots differ from those made before.
    build(rows_of(numbered(30_000)), pages)
    by_level = {}
    for data in pages.data.values():
        page = decode_page(data)
        by_level.setdefault(page.level, []).append(page)
    for level, found in by_level.items():
        for page in sorted(found, key=lambda page: page.keys)[:-1]:
            inside, last = page.keys[:-1], page.keys[-1]
            assert not any(rule(key, level) for key in inside)
            assert rule(last, level) or len(page.keys) == MAX_ROWS


def rule(key, level):
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(key.encode()).digest())
    return bits[6 * level : 6 * level + 6] == "000000"


def test_boundaries_beyond_the_hash_are_none():
    assert not any(is_boundary(f"{i}", 42) for i in range(2000))
    assert all(is_boundary(f"{i}", 41) == rule(f"{i}", 41) for i in range(2000))


def test_runs_without_boundary_are_cut_every_256(pages):
    keys = [key for key in numbered(1000) if not rule(key, 0)]
    root = decode_page(pages.data[build(rows_of(keys), pages)])
    assert [row[3] for row in root.rows] == [256, 256, 256, len(keys) - 768]


def test_the_empty_tree(pages):
    root = build([], pages)
    tree = Tree(pages, root)
    assert decode_page(pages.data[root]).level == 0
    assert list(tree.scan()) == []
    assert tree.find("") is None
    assert tree.totals_under("") == (0, 0)
    assert list(tree.page_ids()) == [(root, 0)]


@pytest.mark.parametrize(
    "rows",
    [
        [["b", 0], ["a", 0]],
        [["a", 0], ["a", 0]],
        [["a", -1]],
        [["a", True]],
        [["a", 1.0]],
        [["a"]],
        [[]],
        [5],
        ["ab"],
        [{0: "a", 1: 1}],
        [{"a": 1}],
        [[b"a", 0]],
        [("a", 0)],
        [["\ud800", 0]],
        [["a", 0, {1: 2}]],
        [["a", 0, object()]],
        [["a", 1 << 64]],
        [["a", 0, b"x" * (5 << 20)]],
        [["a", 0, [[]] * (2 << 20)]],
        [["a", (1 << 63)], *[[f"k{i:04}", 1 << 63] for i in range(600)]],
    ],
)
def test_malformed_rows_are_refused(pages, rows):
    with pytest.raises(InvalidInputError):
        build(rows, pages)


def test_a_missing_page_is_said_to_be_missing(pages):
    with pytest.raises(NotFoundError):
        Tree(pages, b"x" * 32).find("a")


def test_after_prefix_is_the_least_greater_string():
    assert after_prefix("") is None
    assert after_prefix("a/") == "a0"
    assert after_prefix("a\U0010ffff") == "b"
    assert after_prefix("\U0010ffff") is None


def test_a_root_with_a_single_page_below_is_refused(pages):
    # Two roots for one set of files would break "equal versions have equal roots".
    leaf = build([["a", 1]], pages)
    from ahstore.codec import canonical

    root = pages.put_page(canonical.encode([1, [["a", 1, leaf, 1]]]))
    with pytest.raises(CorruptError):
        list(Tree(pages, root).scan())
