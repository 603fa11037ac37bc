"""Trees larger than memory: building, editing, scanning and comparing hold a bounded part."""

from __future__ import annotations

import gc
import hashlib
import threading
import tracemalloc

import pytest

from ahstore.objects.chunklist import ListBuilder
from ahstore.objects.diff import diff
from ahstore.objects.edit import edit
from ahstore.objects.file import ChunkRef
from ahstore.objects.page import decode_page
from ahstore.objects.tree import PageCache, Tree, build

COUNT = 30_000
MIB = 1 << 20
CACHE_BYTES = MIB // 4


class Forgetting:
    """A sink that keeps nothing."""

    def __init__(self):
        self.pages = 0

    def put_page(self, data):
        self.pages += 1
        return hashlib.sha256(data).digest()


def keys():
    return (f"train/{number // 100:05d}/{number:08d}.png" for number in range(COUNT))


@pytest.fixture(scope="module")
def large(new_pages, file_row):
    pages = new_pages()
    return pages, build(map(file_row, keys()), pages)


def peak_of(work):
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def cache():
    return PageCache(limit_bytes=CACHE_BYTES)


def test_the_whole_tree_would_be_seen(large):
    # Five times the bounds below, so that those tests can fail.
    pages, root = large
    assert peak_of(lambda: list(Tree(pages, root).scan())) > 10 * MIB


def test_building_streams(file_row):
    sink = Forgetting()
    assert peak_of(lambda: build(map(file_row, keys()), sink)) < MIB
    assert sink.pages > 400


def test_scanning_streams(large):
    pages, root = large
    assert peak_of(lambda: sum(1 for _ in Tree(pages, root, cache=cache()).scan())) < 1.6 * MIB


def test_editing_streams(large, file_row):
    # A change to each page of a million files must not bring the version into memory.
    pages, root = large
    changes = ((key, file_row(key, salt=b"2")) for at, key in enumerate(keys()) if not at % 20)
    sink = Forgetting()
    assert peak_of(lambda: edit(pages, root, changes, sink, cache=cache())) < 2 * MIB
    assert sink.pages > 400


def test_deleting_all_streams(large):
    pages, root = large
    changes = ((key, None) for key in keys())
    assert peak_of(lambda: edit(pages, root, changes, Forgetting(), cache=cache())) < 2 * MIB


def test_comparing_streams(large, new_pages, file_row):
    pages, root = large
    other = new_pages()
    changes = ((key, file_row(key, salt=b"2")) for at, key in enumerate(keys()) if not at % 20)
    root_2 = edit(pages, root, changes, other)
    other.data = pages.data | other.data

    def compare():
        return sum(1 for _ in diff(pages, root, other, root_2, cache=cache()))

    assert peak_of(compare) < 2 * MIB


def test_a_long_chunk_list_streams():
    builder = ListBuilder(lambda data: hashlib.sha256(data).digest())

    def work():
        for number in range(100_000):
            builder.add(ChunkRef(hashlib.sha256(number.to_bytes(8, "big")).digest(), 1))
        return builder.finish()

    assert peak_of(work) < MIB


def test_an_edit_with_a_tiny_cache_rereads_no_leaf(large, file_row):
    pages, root = large
    pages.forget_counts()
    changes = ((key, file_row(key, salt=b"2")) for at, key in enumerate(keys()) if not at % 20)
    edit(pages, root, changes, Forgetting(), cache=cache())
    leaves = [page for page in pages.reads if not decode_page(pages.data[page]).level]
    assert max(pages.reads[page] for page in leaves) == 1


def test_the_cache_keeps_what_is_used_and_stays_bounded(large):
    pages, root = large
    ids = [page for page, level in Tree(pages, root).page_ids() if not level]
    small = PageCache(limit_bytes=3 * max(len(pages.data[page]) for page in ids))
    small.put(ids[0], None, decode_page(pages.data[ids[0]]))
    for page in ids[1:]:
        small.put(page, None, decode_page(pages.data[page]))
        assert small.find(ids[0], None) is not None
        assert sum(len(pages.data[each]) for each, _ in small._pages) <= small._limit_bytes
    assert small.find(ids[1], None) is None


def test_threads_may_share_a_cache(large):
    pages, root = large
    shared, failures = PageCache(limit_bytes=CACHE_BYTES), []

    def scan():
        if sum(1 for _ in Tree(pages, root, cache=shared).scan()) != COUNT:
            failures.append(1)

    threads = [threading.Thread(target=scan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert shared._bytes == sum(page.size for page in shared._pages.values()) <= CACHE_BYTES
