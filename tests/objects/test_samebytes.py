"""Where two files may differ is told by their lists, and common lists are not read."""

from __future__ import annotations

import hashlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.objects.chunklist import build
from ahstore.objects.file import ChunkRef
from ahstore.objects.samebytes import Listed, differing


def listed(pages, chunks):
    """A file of these chunks (bytes), stored in ``pages``."""
    refs = [ChunkRef(hashlib.sha256(chunk).digest(), len(chunk)) for chunk in chunks]
    return Listed(*build(refs, pages.put_chunk), pages.read_chunk)


CHUNK = st.builds(
    lambda letter, length: bytes([letter]) * length, st.integers(97, 100), st.integers(1, 5)
)
CHUNKS = st.lists(CHUNK, min_size=1, max_size=12)


@given(a=CHUNKS, b=CHUNKS, data=st.data())
@settings(max_examples=500, deadline=None)
def test_what_is_not_named_is_the_same_and_what_is_certain_differs(new_pages, a, b, data):
    # A span left out would hide a change of a tensor; a wrong "certain" would invent one.
    bytes_a, bytes_b = b"".join(a), b"".join(b)
    start_a = data.draw(st.integers(0, len(bytes_a)))
    start_b = data.draw(st.integers(0, len(bytes_b)))
    length = data.draw(st.integers(0, min(len(bytes_a) - start_a, len(bytes_b) - start_b)))
    pages = new_pages()
    spans = list(differing(listed(pages, a), start_a, listed(pages, b), start_b, length))
    one, other = bytes_a[start_a : start_a + length], bytes_b[start_b : start_b + length]
    at = 0
    for start, size, certain in spans:
        assert start >= at
        assert size > 0
        assert one[at:start] == other[at:start]
        if certain:
            assert one[start : start + size] != other[start : start + size]
        at = start + size
    assert at <= length
    assert one[at:] == other[at:]


@given(st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_long_lists_give_what_their_chunks_give(new_pages, seed, changes):
    rng = random.Random(seed)
    a = [rng.randbytes(rng.randrange(1, 9)) for _ in range(900)]
    b = list(a)
    for _ in range(changes):
        at = rng.randrange(len(b))
        b[at : at + rng.randrange(2)] = [rng.randbytes(rng.randrange(1, 9))]
    bytes_a, bytes_b = b"".join(a), b"".join(b)
    length = min(len(bytes_a), len(bytes_b))
    pages = new_pages()
    at = 0
    for start, size, _ in differing(listed(pages, a), 0, listed(pages, b), 0, length):
        assert bytes_a[at:start] == bytes_b[at:start]
        at = start + size
    assert bytes_a[at:length] == bytes_b[at:length]


def test_only_lists_that_differ_are_read(new_pages):
    # 60,000 chunks: a checkpoint of 17 GB, of which one chunk changed.
    chunks = [b"%08d" % number for number in range(60_000)]
    pages = new_pages()
    before = listed(pages, chunks)
    after = listed(pages, [*chunks[:30_000], b"changed!", *chunks[30_001:]])
    assert before.level >= 2
    pages.forget_counts()
    spans = list(differing(before, 0, after, 0, 8 * len(chunks)))
    assert spans == [(8 * 30_000, 8, True)]
    assert pages.pages_read == 2 * before.level


def test_a_part_that_moved_is_told_by_its_chunks_alone(new_pages):
    # As a tensor behind one that was inserted.
    tensor = [b"%08d" % number for number in range(10)]
    pages = new_pages()
    a, b = listed(pages, [b"head", *tensor]), listed(pages, [b"head", b"inserted", *tensor])
    assert list(differing(a, 4, b, 12, 80)) == []
    # Cut elsewhere it may differ, but nothing says so.
    c = listed(pages, [b"head", b"".join(tensor)])
    assert list(differing(a, 4, c, 4, 80)) == [(0, 80, False)]


def test_a_chunk_that_reaches_out_of_the_range_may_differ_but_is_not_certain(new_pages):
    pages = new_pages()
    a, b = listed(pages, [b"aaaabbbb"]), listed(pages, [b"aaaacccc"])
    assert list(differing(a, 0, b, 0, 4)) == [(0, 4, False)]
    assert list(differing(a, 4, b, 4, 4)) == [(0, 4, False)]
    assert list(differing(a, 0, b, 0, 8)) == [(0, 8, True)]
