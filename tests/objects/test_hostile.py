"""Pages that lie, in every way: typed errors only, an end, and little memory."""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ahstore.codec import canonical
from ahstore.errors import CorruptError, InvalidInputError, NotFoundError
from ahstore.objects.diff import diff
from ahstore.objects.edit import edit
from ahstore.objects.file import check_rows
from ahstore.objects.overlap import find_overlap
from ahstore.objects.page import MAX_LEVEL, decode_page, encode_page
from ahstore.objects.tree import PageCache, Tree, build

ID = bytes(32)
MIB = 1 << 20


def page_of(level, rows):
    return canonical.encode([level, rows])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [0],
        [0, [], 0],
        ["0", []],
        [True, []],
        [-1, []],
        [0, {}],
        [0, [["a"]]],
        [0, [[]]],
        [0, ["ab"]],
        [0, [b"ab"]],
        [0, [{"a": 1}]],
        [0, [5]],
        [0, [["a", 1], ["a", 1]]],
        [0, [["b", 1], ["a", 1]]],
        [0, [["a", 1], [b"b", 1]]],
        [0, [[b"a", 1], [b"b", 1]]],
        [0, [[1, 1], [2, 1]]],
        [0, [["a", -1]]],
        [0, [["a", 1.0]]],
        [0, [["a", False]]],
        [0, [[f"{number:03}", 1] for number in range(257)]],
        [1, []],
        [1, [["a", 1]]],
        [1, [["a", 1, ID, 1, 1]]],
        [1, [["a", 1, ID[:31], 1]]],
        [1, [["a", 1, "a" * 32, 1]]],
        [1, [["a", 1, ID, 0]]],
        [1, [["a", 1, ID, True]]],
        [1, [["a", 1, ID, 1.0]]],
        [MAX_LEVEL + 1, [["a", 1, ID, 1]]],
    ],
)
def test_what_is_no_page_is_corrupt(value):
    with pytest.raises(CorruptError):
        decode_page(canonical.encode(value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x92\x00\x90\x00",  # a byte too many
        b"\x92\x00\xdc\x00\x00",  # an array longer written than need be
        b"\x92\xcc\x00\x90",
        msgpack.packb([0, [["a", 1, msgpack.ExtType(5, b"x")]]]),
        b"\x92\x00\x91\x93\xa1a\x01\x82\xa1x\x01\xa1x\x02",  # a key twice
        b"\x92\x00\x91\x92\xa1\xff\x01",  # no UTF-8
        b"\x92\x00\x91\x92\xa3\xed\xa0\x80\x01",  # a surrogate
    ],
)
def test_bytes_that_are_not_canonical_are_corrupt(data):
    with pytest.raises(CorruptError):
        decode_page(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 5_000_000,
        b"\x92\x00\xdd\x00\x3f\xff\xf0" + b"\x80" * (4 * MIB - 16),
        b"\x92\x00\x91\x93\xa1a\x01\xdd\x00\x3f\xff\xe0" + b"\x80" * (4 * MIB - 32),
        b"\x92\x00\xdd\xff\xff\xff\xff",
        b"\x92\x00\x91\x92\xdb\xff\xff\xff\xff",
        b"\x92\x00\x91" + b"\x91" * (4 * MIB - 3),
    ],
)
def test_bombs_stay_small(data):
    # 5 MB of empty maps once took 366 MB.
    tracemalloc.start()
    try:
        with pytest.raises(CorruptError):
            decode_page(data)
        assert tracemalloc.get_traced_memory()[1] < 128 * MIB
    finally:
        tracemalloc.stop()


@given(data=st.binary(max_size=120))
@example(data=page_of(0, []))
@settings(max_examples=300)
def test_random_bytes_give_typed_errors_only(data):
    with contextlib.suppress(CorruptError):
        page = decode_page(data)
        assert encode_page(page.level, page.rows) == data


@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3)
)
@settings(max_examples=300)
def test_damaged_pages_give_typed_errors_only(new_pages, file_row, flips):
    pages = new_pages()
    build([file_row(f"{number:05}") for number in range(200)], pages)
    for data in list(pages.data.values()):
        damaged = bytearray(data)
        for at, byte in flips:
            damaged[at % len(damaged)] = byte
        with contextlib.suppress(CorruptError):
            page = decode_page(bytes(damaged))
            if page.level == 0 and page.rows:
                check_rows(page.rows)


def lies(first, second, third, upper):
    """Roots of two levels with exactly one false statement each, about the second leaf."""
    key, weight, page, count = second
    return {
        "last key too small": [first, ["c9", weight, page, count], third],
        "last key too large": [first, [key + "0", weight, page, count], third],
        "weight": [first, [key, weight + 1, page, count], third],
        "count": [first, [key, weight, page, count + 1], third],
        "another page": [first, [key, weight, third[2], count], third],
        "a page of a level too many": [first, [key, weight, upper, count], third],
        "keys of the page before": [],
    }


LIES = list(lies(["b", 1, ID, 1], ["d", 1, ID, 1], ["f", 1, ID, 1], ID))


@pytest.mark.parametrize("lie", LIES)
def test_each_statement_of_an_inner_row_is_checked(pages, lie):
    # A page that is right by itself but stands in a wrong place hides or doubles files.
    leaves = [[["a", 1], ["b", 1]], [["b5", 1], ["d", 1]], [["e", 1], ["f", 1]]]
    rows = [[r[-1][0], 2, pages.put_page(page_of(0, r)), 2] for r in leaves]
    upper = pages.put_page(page_of(1, [rows[1]]))
    honest = pages.put_page(page_of(1, rows))
    if lie == "keys of the page before":
        overlapping = pages.put_page(page_of(0, [["a", 1], ["d", 1]]))
        root = pages.put_page(page_of(1, [rows[0], ["d", 2, overlapping, 2], rows[2]]))
    else:
        root = pages.put_page(page_of(1, lies(*rows, upper)[lie]))
    assert len(list(Tree(pages, honest).scan())) == 6
    tree = Tree(pages, root)
    for work in (
        lambda: list(tree.scan()),
        lambda: tree.find("c"),
        lambda: tree.totals_under("c"),
        lambda: edit(pages, root, [("c", ["c", 1])], pages),
        lambda: find_overlap(tree, ["c"], ()),
        lambda: list(diff(pages, root, pages, build([["c", 1]], pages))),
    ):
        with pytest.raises(CorruptError):
            work()


class Liar:
    """A source in which ids say nothing of what a page holds; it counts, and forbids too many reads."""

    def __init__(self, pages):
        self.pages = pages
        self.reads = 0

    def read_page(self, page):
        self.reads += 1
        assert self.reads < 20_000
        if page[0] >= len(self.pages):
            raise NotFoundError("no such page")
        return self.pages[page[0]]


KEY = st.text("abc", min_size=1, max_size=2)
MOST = (1 << 64) - 1
COUNT = st.one_of(st.integers(1, 3), st.just(MOST))


@st.composite
def lying_pages(draw):
    """Pages that are well-formed each, and together anything: cycles, gaps, wrong totals."""
    pages = []
    for _ in range(draw(st.integers(2, 6))):
        level = draw(st.integers(0, 3))
        keys = sorted(draw(st.sets(KEY, min_size=1, max_size=5)))
        if level:
            rows = [
                [key, draw(COUNT), bytes([draw(st.integers(0, 6))]) * 32, draw(COUNT)]
                for key in keys
            ]
        else:
            rows = [[key, draw(COUNT), b"payload"] for key in keys]
        pages.append(page_of(level, rows))
    return pages


def truthful(pages):
    """The same pages with keys, weights and counts above corrected where that can be: lies go deeper."""
    fixed = list(pages)
    for index in sorted(range(len(pages)), key=lambda each: canonical.decode(pages[each])[0]):
        level, rows = canonical.decode(fixed[index])
        result = {}
        for row in rows if level else []:
            if row[2][0] < len(fixed):
                below = decode_page(fixed[row[2][0]])
                if below.level == level - 1:
                    told = below.as_row(row[2])
                    row = [min(each, MOST) if type(each) is int else each for each in told]
            result[row[0]] = row
        if level:
            fixed[index] = page_of(level, [result[key] for key in sorted(result)])
    return fixed


def work_on(pages, root, other, key, sink):
    tree = Tree(Liar(pages), root)
    changes = [(key, [key, 1]), (key + "d", None), (key + "e", [key + "e", 1 << 63])]
    return [
        lambda: tree.find(key),
        lambda: list(tree.scan()),
        lambda: list(tree.scan(prefix=key, after=key)),
        lambda: tree.totals_under(key),
        lambda: list(tree.page_ids()),
        lambda: find_overlap(tree, [key, key + "x"], ()),
        lambda: edit(Liar(pages), root, changes, sink),
        lambda: list(diff(Liar(pages), root, Liar(pages), other)),
    ]


@given(pages=lying_pages(), correct=st.booleans(), key=KEY)
@settings(max_examples=200)
def test_lying_trees_give_typed_errors_and_an_end(new_pages, pages, correct, key):
    pages = truthful(pages) if correct else pages
    for root, other in itertools.product((bytes(32), bytes([1]) * 32), repeat=2):
        for work in work_on(pages, root, other, key, new_pages()):
            with contextlib.suppress(CorruptError, NotFoundError, InvalidInputError):
                work()


def test_rows_are_checked_where_a_check_is_asked_for(new_pages, file_row):
    # A path that climbs out must not get past the first look at the tree that holds it.
    pages = new_pages()
    good = build([file_row("a"), file_row("b")], pages)
    evil = build([file_row("../../b")], pages)
    with pytest.raises(CorruptError):
        Tree(pages, evil, check=check_rows).find("../../b")
    with pytest.raises(CorruptError):
        list(Tree(pages, evil, check=check_rows).scan())
    with pytest.raises(CorruptError):
        list(diff(pages, good, pages, evil, check=check_rows))
    with pytest.raises(CorruptError):
        edit(pages, evil, [("a", None)], pages, check=check_rows)
    assert len(list(Tree(pages, good, check=check_rows).scan())) == 2


def test_a_cache_does_not_let_unchecked_pages_pass(new_pages, file_row):
    # Otherwise one reader without a check would open the door for all that share his cache.
    pages = new_pages()
    evil = build([file_row("../../b")], pages)
    plain = Tree(pages, evil)
    assert len(list(plain.scan())) == 1
    cache = PageCache()
    list(Tree(pages, evil, cache=cache).scan())
    with pytest.raises(CorruptError):
        list(Tree(pages, evil, cache=cache, check=check_rows).scan())
