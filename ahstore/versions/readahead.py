"""Pages for a scan, read ahead: what lies below an inner page comes in few large reads.

A scan of 1,000,000 rows visits some 15,000 pages; read one by one they are as many requests to a
bucket. Pages written together lie together, so many come with one ranged read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ahstore.errors import NotFoundError
from ahstore.ids import Address, PageId
from ahstore.objects.page import KEY, PAGE_ID, PageSource, decode_page, is_leaf
from ahstore.objects.tree import after_prefix

AHEAD_BYTES = 16 * 2**20
FIRST_PAGES = 64
MOST_PAGES = 2048
"""How many pages are read ahead at first, since many scans end early; then twice as many, and so on."""


class PagesSource(PageSource, Protocol):
    """Who reads many pages with few requests."""

    def read_pages(self, pages: Sequence[PageId]) -> Iterator[tuple[Address, bytes]]:
        """Yield each distinct page once with its verified bytes, in any order.

        Raises:
            NotFoundError: one is not there.
            CorruptError: one is damaged.
        """
        ...


class ReadAhead:
    """A source of pages for one scan in order.

    Args:
        source: who reads them.
        prefix: only keys that start with it are wanted.
        start: only keys from this one on.
    """

    def __init__(self, source: PagesSource, prefix: str = "", *, start: str = "") -> None:
        self._source = source
        self._start = max(prefix, start)
        self._end = after_prefix(prefix)
        self._ahead: dict[Address, bytes] = {}
        self._later: list[PageId] = []  # in the order of the scan
        self._bytes = 0
        self._pages = FIRST_PAGES

    def read_page(self, page: PageId) -> bytes:
        """Return a page's bytes, verified; what was read ahead is handed out once."""
        if page not in self._ahead and page in self._later:
            self._later = self._later[self._later.index(page) :]
            self._fetch_later()
        data = self._ahead.pop(page, None)
        if data is None:
            data = self._source.read_page(page)
        else:
            self._bytes -= len(data)
        self._fetch_below([data])
        return data

    def _fetch_later(self) -> None:
        """Go on with what there was no room for."""
        room = max(2, self._pages - len(self._ahead))
        wanted, self._later = self._later[:room], self._later[room:]
        self._fetch_below(self._fetch(wanted))

    def _fetch_below(self, level: list[bytes]) -> None:
        """Fetch level by level what is under some pages, as far as the bounds allow."""
        while level:
            children = [child for page in level for child in self._children(page)]
            wanted = [child for child in children if child not in self._ahead]
            if len(wanted) < 2:
                return
            room = max(0, self._pages - len(self._ahead))
            self._later = [*wanted[room:], *self._later]
            level = self._fetch(wanted[:room]) if room > 1 else []

    def _children(self, data: bytes) -> list[PageId]:
        if is_leaf(data):  # the many, which need no decoding
            return []
        found: list[PageId] = []
        before = ""
        for row in decode_page(data).rows:
            if row[KEY] >= self._start and (self._end is None or before < self._end):
                found.append(row[PAGE_ID])
            before = row[KEY]
        return found

    def _fetch(self, pages: list[PageId]) -> list[bytes]:
        fetched: dict[Address, bytes] = {}
        try:
            for page, data in self._source.read_pages(pages):
                self._ahead[page] = fetched[page] = data
                self._bytes += len(data)
                if self._bytes >= AHEAD_BYTES:
                    break
        except NotFoundError:
            return []  # read one by one when the scan comes there, and missed by name
        self._pages = min(MOST_PAGES, 2 * self._pages)
        self._later = [*(page for page in pages if page not in fetched), *self._later]
        return [fetched[page] for page in pages if page in fetched]
