"""Pages, chunks and rows kept in memory, with what was read and written counted."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from ahstore.errors import NotFoundError


class MemoryPages:
    """A page source and sink; also gives and takes chunks."""

    def __init__(self):
        self.data = {}
        self.reads = Counter()
        self.writes = []

    def read_page(self, page):
        self.reads[page] += 1
        if page not in self.data:
            raise NotFoundError(f"no page {page.hex()}")
        return self.data[page]

    def put_page(self, data):
        address = hashlib.sha256(data).digest()
        self.data[address] = data
        self.writes.append(address)
        return address

    read_chunk = read_page
    put_chunk = put_page

    def forget_counts(self):
        self.reads.clear()
        self.writes.clear()

    @property
    def pages_read(self):
        return sum(self.reads.values())

    @property
    def bytes_written(self):
        return sum(len(self.data[page]) for page in self.writes)


@pytest.fixture(scope="session")
def new_pages():
    """The class: ``new_pages()`` is an empty memory."""
    return MemoryPages


@pytest.fixture
def pages():
    return MemoryPages()


@pytest.fixture(scope="session")
def file_row():
    """Rows that look like files' rows, different for each path and ``salt``."""

    def make(path, *, size=1000, salt=b""):
        digest = hashlib.sha256(path.encode() + salt).digest()
        refs = digest + size.to_bytes(8, "big")
        return [path, size, digest[:16], 1_700_000_000_000_000_000, 0, 6, refs]

    return make
