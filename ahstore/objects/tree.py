"""Trees: sorted rows in pages that are cut by content. Find, scan, count, build.

The same set of rows gives the same root, whatever the order of edits and whichever the store.
``edit.py`` changes a tree, ``diff.py`` compares two. Implements "Trees" of docs/format/objects.md.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ahstore.errors import InvalidInputError
from ahstore.ids import PageId
from ahstore.objects.page import (
    KEY,
    LEAF_BOUNDARY,
    MAX_ROWS,
    PAGE_ID,
    CheckRows,
    InnerRow,
    Page,
    PageSink,
    PageSource,
    Row,
    encode_page,
    inner_row,
    is_boundary,
    totals,
)
from ahstore.objects.walk import LevelCursor, PageCache, PageReader

__all__ = ["PageCache", "PageSink", "PageSource", "Row", "Tree", "TreeBuilder", "build"]

_MAX_CODE_POINT = 0x10FFFF


class Tree:
    """The rows under one root.

    Rows it returns are shared with the cache: never change them.

    Args:
        source: who reads the pages.
        root: the root page.
        cache: decoded pages, to share among trees; a small one of its own when left out.
        check: checks the rows of each leaf read, such as ``file.check_rows``.
        ahead: makes a source for one scan that reads ahead, of prefix and first key. It is for
            sources that are far away; such a scan leaves the cache alone.
    """

    def __init__(
        self,
        source: PageSource,
        root: PageId,
        *,
        cache: PageCache | None = None,
        check: CheckRows | None = None,
        ahead: Callable[[str, str], PageSource] | None = None,
    ) -> None:
        self.source = source
        self.root = root
        self._check = check
        self._ahead = ahead
        self._reader = PageReader(source, cache, check=check)

    def cursor(self, level: int = 0) -> LevelCursor:
        """Return a cursor over the pages of ``level``, nowhere yet."""
        return LevelCursor(self._reader, self.root, level)

    def find(self, key: str) -> Row | None:
        """Return the row of ``key``, or None."""
        page = self._reader.root(self.root)
        after = None
        while True:
            position = bisect_left(page.keys, key)
            if position == len(page.keys):
                return None
            if page.level == 0:
                return page.rows[position] if page.keys[position] == key else None
            if position:
                after = page.keys[position - 1]
            page = self._reader.child(page.rows[position], page.level, after=after)

    def scan(self, *, prefix: str = "", after: str | None = None) -> Iterator[Row]:
        """Yield the rows whose keys start with ``prefix``, in key order, page by page.

        Args:
            prefix: what keys start with.
            after: only keys greater than this.
        """
        return chain.from_iterable(self.scan_pages(prefix=prefix, after=after))

    def scan_pages(self, *, prefix: str = "", after: str | None = None) -> Iterator[list[Row]]:
        """Yield what ``scan`` does, in lists of a leaf page's rows each (for bulk work)."""
        end = after_prefix(prefix)
        skip_equal = after is not None and after >= prefix
        start = after if after is not None and skip_equal else prefix
        reader = self._reader
        if self._ahead is not None:
            reader = PageReader(self._ahead(prefix, start), check=self._check)
        cursor = LevelCursor(reader, self.root, 0)
        cursor.seek(start)
        while True:
            page = cursor.page
            low = (bisect_right if skip_equal else bisect_left)(page.keys, start)
            high = len(page.keys) if end is None else bisect_left(page.keys, end)
            if low < high:
                yield page.rows if high - low == len(page.rows) else page.rows[low:high]
            if high < len(page.keys) or not cursor.advance():
                return

    def level(self) -> int:
        """Return the level of the root: 0 when it is a leaf."""
        return self._reader.root(self.root).level

    def count(self) -> int:
        """Return the number of rows."""
        return self._reader.root(self.root).count

    def weight(self) -> int:
        """Return the sum of the weights of all rows."""
        return self._reader.root(self.root).weight

    def count_under(self, prefix: str) -> int:
        """Return the number of rows whose keys start with ``prefix``, from a few pages."""
        return self.totals_under(prefix)[0]

    def weight_under(self, prefix: str) -> int:
        """Return the weight of the rows whose keys start with ``prefix``, from a few pages."""
        return self.totals_under(prefix)[1]

    def totals_under(self, prefix: str) -> tuple[int, int]:
        """Return count and weight of the rows whose keys start with ``prefix``."""
        end = after_prefix(prefix)
        root = self._reader.root(self.root)
        count, weight = (root.count, root.weight) if end is None else self._totals_before(end)
        less_count, less_weight = self._totals_before(prefix)
        return count - less_count, weight - less_weight

    def page_ids(
        self, *, enter: Callable[[PageId, int], bool] | None = None
    ) -> Iterator[tuple[PageId, int]]:
        """Yield each page's id and level, parents first. Leaves are not read.

        Args:
            enter: asked about each page; False leaves it and all below out.
        """
        root = self._reader.root(self.root)
        if enter is None or enter(self.root, root.level):
            yield self.root, root.level
            yield from self._page_ids_below(root, None, enter)

    def _page_ids_below(
        self, page: Page, after: str | None, enter: Callable[[PageId, int], bool] | None
    ) -> Iterator[tuple[PageId, int]]:
        level = page.level - 1
        if level < 0:
            return
        for row in page.rows:
            if enter is None or enter(row[PAGE_ID], level):
                yield row[PAGE_ID], level
                if level:
                    child = self._reader.child(row, page.level, after=after)
                    yield from self._page_ids_below(child, after, enter)
            after = row[KEY]

    def _totals_before(self, key: str) -> tuple[int, int]:
        """Return count and weight of the rows with lesser keys."""
        count = weight = 0
        after = None
        page = self._reader.root(self.root)
        while True:
            position = bisect_left(page.keys, key)
            less_weight, less_count = totals(page.level, page.rows[:position])
            weight += less_weight
            count += less_count
            if page.level == 0 or position == len(page.rows):
                return count, weight
            if position:
                after = page.keys[position - 1]
            page = self._reader.child(page.rows[position], page.level, after=after)


def after_prefix(prefix: str) -> str | None:
    """Return the least string greater than all that start with ``prefix``; None: there is none."""
    stem = prefix.rstrip(chr(_MAX_CODE_POINT))
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None


def build(rows: Iterable[Row], sink: PageSink) -> PageId:
    """Store the tree of ``rows`` and return its root. Streams.

    Args:
        rows: ``[key, weight, *payload]``, keys strictly increasing by code point.
        sink: takes the pages, children first.

    Raises:
        InvalidInputError: a row is malformed or out of order.
    """
    builder = TreeBuilder(sink)
    builder.extend(rows)
    return builder.finish()


class TreeBuilder:
    """Cuts ascending rows into pages of one level, and of the levels above as they are needed.

    A level above comes to be with the second page, so the root is the lowest single page.
    """

    def __init__(self, sink: PageSink, *, level: int = 0) -> None:
        self._sink = sink
        self._level = level
        self._open: list[Row] = []
        self._last: str | None = None
        self._first_page: InnerRow | None = None
        self._above: TreeBuilder | None = None

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows, each key greater than those before."""
        if self._level:
            for row in rows:
                self._add(row, is_boundary(row[KEY], self._level))
            return
        sha256 = hashlib.sha256  # the rule of level 0 by hand: this loop sees every row of a tree
        for row in rows:
            try:
                ends = sha256(row[KEY].encode()).digest()[0] < LEAF_BOUNDARY
            except (AttributeError, TypeError, LookupError, UnicodeEncodeError) as error:
                raise InvalidInputError(f"not a key: {error}") from error
            self._add(row, ends)

    def finish(self) -> PageId:
        """Store what is open and return the root."""
        if self._open or self._first_page is None:
            self._close()
        if self._above is not None:
            return self._above.finish()
        assert self._first_page is not None
        root: PageId = self._first_page[PAGE_ID]
        return root

    def _add(self, row: Row, ends: bool) -> None:
        key = row[KEY]
        if self._last is not None and key <= self._last:
            raise InvalidInputError(f"rows are not in order: {key!r} after {self._last!r}")
        self._last = key
        self._open.append(row)
        if ends or len(self._open) == MAX_ROWS:
            self._close()

    def _close(self) -> None:
        rows = self._open
        page_id = self._sink.put_page(encode_page(self._level, rows))
        self._open = []
        row = inner_row(self._level, rows, page_id)
        if self._first_page is None:
            self._first_page = row
            return
        if self._above is None:
            self._above = TreeBuilder(self._sink, level=self._level + 1)
            self._above.extend([self._first_page])
        self._above.extend([row])
