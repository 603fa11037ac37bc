"""Pages for a scan, read ahead: the children of an inner page come in one read where they lie so.

A scan of 30,000 rows visits some 500 pages; read one by one they are as many requests to a bucket.
Pages written together lie together, so those of one parent are mostly one ranged read.
"""

from __future__ import annotations

from itertools import accumulate

from ahstore.errors import NotFoundError
from ahstore.ids import Address, PageId
from ahstore.objects.page import KEY, PAGE_ID, decode_page
from ahstore.objects.tree import after_prefix
from ahstore.packs.place import Kind
from ahstore.versions.repository import Repository

AHEAD_BYTES = 16 * 2**20


class ReadAhead:
    """A source of pages for one scan of the keys that start with ``prefix``, in order."""

    def __init__(self, repo: Repository, prefix: str = "") -> None:
        self._repo = repo
        self._start = prefix
        self._end = after_prefix(prefix)
        self._ahead: dict[Address, bytes] = {}

    def read_page(self, page: PageId) -> bytes:
        """Return a page's bytes, verified; a page is handed out once."""
        data = self._ahead.pop(page, None)
        if data is None:
            data = self._repo.read_page(page)
        self._fetch_children(data)
        return data

    def _fetch_children(self, data: bytes) -> None:
        # Leaves are the many: a page is [level, rows], so its second byte is the level.
        if data[1:2] == b"\x00":
            return
        wanted: list[Address] = []
        before = ""
        for row in decode_page(data).rows:
            if row[KEY] >= self._start and (self._end is None or before < self._end):
                wanted.append(row[PAGE_ID])
            before = row[KEY]
        if len(wanted) > 1:
            self._fetch(wanted)

    def _fetch(self, pages: list[Address]) -> None:
        places = self._repo.index.find_many(Kind.PAGE, pages)
        sizes = accumulate(places[page].raw for page in pages if page in places)
        known = ((page, places[page]) for page in pages if page in places)
        wanted = [item for item, size in zip(known, sizes, strict=True) if size <= AHEAD_BYTES]
        try:
            self._ahead.update(self._repo.packs.read_many(wanted))
        except NotFoundError:
            # A pack was repacked meanwhile. What is missing is then read page by page, the way
            # that looks for the new place.
            return
