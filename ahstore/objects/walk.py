"""Reading pages: a bounded cache of decoded ones, checks between levels, and a cursor.

A page that is right by itself may still not belong where its parent puts it; ``PageReader`` checks
that. Rows and pages handed out are shared with the cache and must not be changed.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict

from ahstore.errors import CorruptError
from ahstore.ids import PageId
from ahstore.objects.page import (
    COUNT,
    KEY,
    PAGE_ID,
    WEIGHT,
    CheckRows,
    InnerRow,
    Page,
    PageSource,
    decode_page,
)

DEFAULT_CACHE_BYTES = 8 * 1024 * 1024


class PageCache:
    """Decoded pages, the least recently used dropped first. Threads may share one.

    Args:
        limit_bytes: bound of the encoded sizes together; decoded pages take about four times that.
    """

    def __init__(self, *, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[PageId, CheckRows | None], Page] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, page_id: PageId, check: CheckRows | None) -> Page | None:
        """Return the page if it is here, having passed ``check``."""
        with self._lock:
            page = self._pages.get((page_id, check))
            if page is not None:
                self._pages.move_to_end((page_id, check))
            return page

    def put(self, page_id: PageId, check: CheckRows | None, page: Page) -> None:
        """Keep ``page``, which has passed ``check``; others may have to go."""
        with self._lock:
            if (page_id, check) not in self._pages:
                self._pages[page_id, check] = page
                self._bytes += page.size
            while self._bytes > self._limit_bytes and len(self._pages) > 1:
                _, gone = self._pages.popitem(last=False)
                self._bytes -= gone.size


class PageReader:
    """Pages of one source, decoded, checked and cached."""

    def __init__(
        self,
        source: PageSource,
        cache: PageCache | None = None,
        *,
        check: CheckRows | None = None,
    ) -> None:
        self._source = source
        self._check = check
        self._cache = PageCache() if cache is None else cache

    def root(self, page_id: PageId) -> Page:
        """Return the root page of a tree.

        Raises:
            CorruptError: it is no page, or none that may be a root.
            NotFoundError: it is not there.
        """
        page = self.page(page_id)
        if page.level and len(page.rows) == 1:
            raise CorruptError(f"tree {page_id.hex()}: its root has a single page below")
        return page

    def child(self, row: InnerRow, level: int, *, after: str | None) -> Page:
        """Return the page that ``row``, found in a page of ``level``, points to.

        Args:
            row: the parent's row.
            level: the parent's level.
            after: all keys of the page are greater; None: there is no such bound.

        Raises:
            CorruptError: it is not the page that the row describes.
            NotFoundError: it is not there.
        """
        page = self.page(row[PAGE_ID])
        if (
            page.level != level - 1
            or page.count != row[COUNT]
            or page.keys[-1] != row[KEY]
            or page.weight != row[WEIGHT]
            or (after is not None and page.keys[0] <= after)
        ):
            raise CorruptError(f"page {row[PAGE_ID].hex()} is not what the page above says")
        return page

    def keep(self, page_id: PageId, page: Page) -> None:
        """Take a page that was just made, so that it need not be read; its rows are checked too."""
        if self._check is not None and page.level == 0 and page.rows:
            self._check(page.rows)
        self._cache.put(page_id, self._check, page)

    def page(self, page_id: PageId) -> Page:
        """Return a page by itself, unchecked against a parent."""
        page = self._cache.find(page_id, self._check)
        if page is None:
            page = decode_page(self._source.read_page(page_id))
            if self._check is not None and page.level == 0 and page.rows:
                self._check(page.rows)
            self._cache.put(page_id, self._check, page)
        return page


class LevelCursor:
    """A place among the pages of one level of a tree, which moves in key order.

    It holds the path from the root only. It is nowhere until ``first`` or ``seek`` is called.
    """

    def __init__(self, reader: PageReader, root: PageId, level: int) -> None:
        self._reader = reader
        self._root = root
        self._level = level
        self._path = [reader.root(root)]  # from the root down
        self._positions: list[int] = []  # in each page of the path but the last
        self._bounds: list[str | None] = [None]  # what the keys of each page are greater than

    @property
    def page(self) -> Page:
        """The page here. Empty only if the tree is."""
        return self._path[-1]

    @property
    def after(self) -> str | None:
        """The last key before this page."""
        return self._bounds[-1]

    @property
    def row(self) -> InnerRow:
        """The row of the level above that stands for this page. The tree is not empty."""
        if self._positions:
            return self._path[-2].rows[self._positions[-1]]
        return self.page.as_row(self._root)

    @property
    def is_last(self) -> bool:
        """Whether no page of this level follows."""
        return all(
            position == len(page.rows) - 1
            for page, position in zip(self._path, self._positions, strict=False)
        )

    def first(self) -> None:
        """Go to the first page."""
        while self._positions:
            self._pop()
        self._descend(None)

    def seek(self, key: str) -> None:
        """Go to the first page whose last key is ``key`` or greater, else to the last page."""
        while len(self._path) > 1 and not self._covers(key):
            self._pop()
        self._descend(key)

    def advance(self) -> bool:
        """Go to the next page; stay and return False if there is none."""
        if self.is_last:
            return False
        while True:
            position = self._positions[-1]
            self._pop()
            if position + 1 < len(self.page.rows):
                break
        self._push(position + 1)
        self._descend(None)
        return True

    def _covers(self, key: str) -> bool:
        after = self._bounds[-1]
        return key <= self._path[-1].keys[-1] and (after is None or key > after)

    def _descend(self, key: str | None) -> None:
        while (page := self._path[-1]).level > self._level:
            position = 0 if key is None else bisect_left(page.keys, key)
            self._push(min(position, len(page.rows) - 1))

    def _push(self, position: int) -> None:
        page = self._path[-1]
        after = page.keys[position - 1] if position else self._bounds[-1]
        self._path.append(self._reader.child(page.rows[position], page.level, after=after))
        self._positions.append(position)
        self._bounds.append(after)

    def _pop(self) -> None:
        self._path.pop()
        self._positions.pop()
        self._bounds.pop()
