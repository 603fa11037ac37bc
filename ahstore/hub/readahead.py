"""Pages for a scan, read ahead: what lies below an inner page comes in few large reads.

A scan of 30,000 rows visits some 500 pages; read one by one they are as many requests to a bucket.
Pages written together lie together, so many come with one ranged read.
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
        self._bytes = 0

    def read_page(self, page: PageId) -> bytes:
        """Return a page's bytes, verified; what was read ahead is handed out once."""
        data = self._ahead.pop(page, None)
        if data is None:
            data = self._repo.read_page(page)
        else:
            self._bytes -= len(data)
        self._fetch_below(data)
        return data

    def _fetch_below(self, data: bytes) -> None:
        """Fetch level by level what is under a page, as far as the bound allows."""
        level = [data]
        while level:
            children = [child for page in level for child in self._children(page)]
            wanted = [child for child in children if child not in self._ahead]
            if len(wanted) < 2:
                return
            level = self._fetch(wanted)

    def _children(self, data: bytes) -> list[Address]:
        # Leaves are the many and need no decoding: a page is [level, rows], its level a byte.
        if data[1:2] == b"\x00":
            return []
        found: list[Address] = []
        before = ""
        for row in decode_page(data).rows:
            if row[KEY] >= self._start and (self._end is None or before < self._end):
                found.append(row[PAGE_ID])
            before = row[KEY]
        return found

    def _fetch(self, pages: list[Address]) -> list[bytes]:
        places = self._repo.index.find_many(Kind.PAGE, pages)
        known = [(page, places[page]) for page in pages if page in places]
        sizes = accumulate((place.raw for _, place in known), initial=self._bytes)
        wanted = [item for item, before in zip(known, sizes, strict=False) if before < AHEAD_BYTES]
        try:
            fetched = dict(self._repo.packs.read_many(wanted))
        except NotFoundError:
            # A pack was repacked meanwhile. What is missing is then read page by page, the way
            # that looks for the new place.
            return []
        self._ahead.update(fetched)
        self._bytes += sum(map(len, fetched.values()))
        return list(fetched.values())
