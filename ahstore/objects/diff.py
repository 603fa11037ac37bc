"""Comparing two trees: only pages that differ are read, whatever the trees' size.

Both sides are walked in key order. A page that both have is passed over unread; a page is opened
only when the other side has nothing left before it that could make it a common one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from ahstore.ids import PageId
from ahstore.objects.page import KEY, PAGE_ID, CheckRows, Page, PageSource, Row
from ahstore.objects.walk import PageCache, PageReader


def diff(
    source_a: PageSource,
    root_a: PageId,
    source_b: PageSource,
    root_b: PageId,
    *,
    low: str = "",
    high: str | None = None,
    cache: PageCache | None = None,
    check: CheckRows | None = None,
) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows that differ, in key order: (only in a, None), (None, only in b), or (a, b).

    Pages that hold no key of the range are not read, whether they differ or not.

    Args:
        source_a: reads the pages of the first tree.
        root_a: the first tree.
        source_b: reads the pages of the second tree.
        root_b: the second tree.
        low: only keys from this one on.
        high: only keys before this one; None: there is no such bound.
        cache: decoded pages, for both.
        check: checks the rows of each leaf read, such as ``file.check_rows``.

    Raises:
        CorruptError: a page is damaged.
    """
    if root_a == root_b:
        return
    cache = PageCache() if cache is None else cache
    a = _Side(PageReader(source_a, cache, check=check), root_a, low, high)
    b = _Side(PageReader(source_b, cache, check=check), root_b, low, high)
    while not (a.done or b.done):
        if a.level == 0 and b.level == 0:
            yield from _compare_leaves(a, b)
        elif a.level == b.level and a.head[PAGE_ID] == b.head[PAGE_ID]:
            a.skip()
            b.skip()
        elif a.level == b.level:
            # What ends first, the other side can't have any more.
            (a if a.head[KEY] <= b.head[KEY] else b).open()
        elif a.level > b.level:
            if b.is_before(a):
                yield from ((None, row) for row in b.take(1))
            else:
                a.open()
        elif a.is_before(b):
            yield from ((row, None) for row in a.take(1))
        else:
            b.open()
    while not a.done:
        yield from ((row, None) for row in a.take())
    while not b.done:
        yield from ((None, row) for row in b.take())


def _compare_leaves(a: _Side, b: _Side) -> Iterator[tuple[Row | None, Row | None]]:
    """Merge the rest of two open leaf pages until one is used up."""
    rows_a, rows_b = a.rest(), b.rest()
    i = j = 0
    while i < len(rows_a) and j < len(rows_b):
        row_a, row_b = rows_a[i], rows_b[j]
        key_a, key_b = row_a[KEY], row_b[KEY]
        if key_a == key_b:
            i += 1
            j += 1
            if row_a != row_b:
                yield row_a, row_b
        elif key_a < key_b:
            i += 1
            yield row_a, None
        else:
            j += 1
            yield None, row_b
    a.skip(i)
    b.skip(j)


class _Side:
    """One tree on the way: the path of open pages, and what comes next.

    What lies before ``low`` is passed over unopened, and nothing is left from ``high`` on.

    Attributes:
        head: the next row; that of an unopened page if ``level`` is 1 or more.
        level: of the page that ``head`` stands in.
        done: nothing is left; ``head`` and ``level`` mean nothing any more.
        after: the last key passed.
    """

    __slots__ = ("_high", "_low", "_path", "_reader", "after", "done", "head", "level")

    def __init__(self, reader: PageReader, root: PageId, low: str, high: str | None) -> None:
        self._reader = reader
        self._low = low
        self._high = high
        self._path: list[tuple[Page, int]] = [(reader.root(root), 0)]
        self.after: str | None = None
        self._look()

    def is_before(self, other: _Side) -> bool:
        """Tell whether ``head`` ends before anything that the other side has left."""
        return other.after is not None and bool(self.head[KEY] <= other.after)

    def rest(self) -> list[Row]:
        """Return ``head`` and the rows after it in its page."""
        page, position = self._path[-1]
        if self._high is not None and page.keys[-1] >= self._high:
            return page.rows[position : bisect_left(page.keys, self._high)]
        return page.rows[position:] if position else page.rows

    def skip(self, count: int = 1) -> None:
        """Go past ``head`` and more rows of its page, unopened."""
        page, position = self._path[-1]
        if count:
            position += count
            self.after = page.keys[position - 1]
            self._path[-1] = page, position
            self._look()

    def open(self) -> None:
        """Go into the page that ``head`` stands for."""
        page, position = self._path[-1]
        child = self._reader.child(self.head, page.level, after=self.after)
        self._path[-1] = page, position + 1
        self._path.append((child, 0))
        self._look()

    def take(self, limit: int | None = None) -> list[Row]:
        """Open a page, or go past rows of a leaf, all or ``limit``, and return them."""
        if self.level:
            self.open()
            return []
        rows = self.rest()[:limit]
        self.skip(len(rows))
        return rows

    def _look(self) -> None:
        while self._path:
            page, position = self._path[-1]
            if position < len(page.rows) and page.keys[position] < self._low:
                position = bisect_left(page.keys, self._low)
                self.after = page.keys[position - 1]
                self._path[-1] = page, position
            if position < len(page.rows):
                break
            self._path.pop()
        self.done = not self._path or self._is_past(page, position)
        if not self.done:
            self.head = page.rows[position]
            self.level = page.level

    def _is_past(self, page: Page, position: int) -> bool:
        if self._high is None:
            return False
        if page.level == 0:
            return page.keys[position] >= self._high
        # A page's keys are greater than the last one before it.
        return self.after is not None and self.after >= self._high
