"""Cutting: pinned, independent of how bytes arrive, local in its answer to changes."""

from __future__ import annotations

import hashlib
import random
import sys
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.errors import CorruptError, InvalidInputError, UnsupportedError
from tests.chunks.format_files import safetensors

GOLDEN_FIRST = [278914, 292048, 305716, 477575, 270770, 304431]
GOLDEN_DIGEST = "f797ea9bfbc9d766"
GOLDEN_SMALL = "83e93d23442ab58a"
SMALL = CuttingParameters(nominal=256, min=64, max=1024)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def test_results_are_pinned():
    # Another version of the chunker that cuts elsewhere would end all sharing with what is stored.
    lengths = Cutter(CuttingParameters()).lengths(noise(8 * 2**20))
    assert lengths[:6] == GOLDEN_FIRST
    assert hashlib.sha256(repr(lengths).encode()).hexdigest()[:16] == GOLDEN_DIGEST
    small = Cutter(SMALL).lengths(noise(20_000))
    assert hashlib.sha256(repr(small).encode()).hexdigest()[:16] == GOLDEN_SMALL


@given(st.integers(0, 12_000), st.lists(st.integers(0, 3000), max_size=30), st.integers(0, 9))
def test_blocks_do_not_matter(size, sizes, seed):
    # A file read in other blocks would else be stored twice.
    data = noise(size, seed)
    if seed % 3 == 0:
        data = bytes(size)
    blocks, at = [], 0
    for length in [*sizes, size]:
        blocks.append(data[at : at + length])
        at += length
    chunks = [bytes(c) for c in Cutter(SMALL).cut(blocks)]
    assert b"".join(chunks) == data
    assert [len(c) for c in chunks] == Cutter(SMALL).lengths(data)


@pytest.mark.parametrize("step", [1, 63, 64, 1023, 1024, 1025, 4096])
def test_equal_blocks(step):
    data = noise(30_000)
    blocks = [data[at : at + step] for at in range(0, len(data), step)]
    assert [len(c) for c in Cutter(SMALL).cut(iter(blocks))] == Cutter(SMALL).lengths(data)


def blocks_of(data, sizes):
    at = 0
    for length in [*sizes, len(data)]:
        yield data[at : at + length]
        at += length


BOUNDARIES = st.lists(st.integers(-5, 13_000) | st.integers(0, 130).map(lambda n: n * 100))


@given(
    st.integers(0, 12_000),
    st.lists(st.integers(0, 3000), max_size=30),
    BOUNDARIES,
    st.integers(0, 9),
)
def test_blocks_do_not_matter_with_boundaries(size, sizes, boundaries, seed):
    # Whatever a format says of a file: its bytes come back, in chunks of bounded size.
    data = bytes(size) if seed % 3 == 0 else noise(size, seed)
    chunks = [bytes(c) for c in Cutter(SMALL).cut(blocks_of(data, sizes), boundaries)]
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= SMALL.max for chunk in chunks)
    assert chunks == [bytes(c) for c in Cutter(SMALL).cut([data], boundaries)]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=40), st.integers(0, 9))
def test_between_ends_a_file_is_cut_as_if_it_stood_alone(lengths, seed):
    # Equal tensors in two files must give equal chunks, wherever they stand.
    data = noise(sum(lengths), seed)
    edges = list(accumulate(lengths))
    parts, start = [], 0
    for at, before, after in zip(edges, lengths, [*lengths[1:], 0], strict=True):
        if before >= SMALL.min or after >= SMALL.min or at == len(data):
            parts.append(data[start:at])
            start = at
    cutter = Cutter(SMALL)
    alone = [bytes(c) for part in parts for c in cutter.cut([part])]
    assert [bytes(c) for c in cutter.cut(blocks_of(data, [5, 900] * 9), edges)] == alone


def test_many_small_parts_do_not_make_small_chunks():
    data = noise(400_000)
    cutter = Cutter(SMALL)
    assert list(cutter.cut([data], range(10, 400_001, 10))) == list(cutter.cut([data]))
    mixed = list(accumulate([300, 10, 10, 10] * 1000))
    chunks = len(list(cutter.cut([data], mixed)))
    assert chunks <= 2 * 330_000 / SMALL.min
    assert cutter.lengths(data[: cutter.smallest]) == [cutter.smallest]
    assert len(list(cutter.cut([data[:64]], [8, 30, 60, 64]))) == 1
    assert len(list(cutter.cut([data[:64]], [8, 30]))) == 1


def test_sizes_keep_their_bounds():
    params = CuttingParameters()
    for data in (noise(16 * 2**20), bytes(5 * 2**20)):
        lengths = Cutter(params).lengths(data)
        assert sum(lengths) == len(data)
        assert all(params.min <= length <= params.max for length in lengths[:-1])
        assert 0 < lengths[-1] <= params.max


def test_small_files_are_one_chunk():
    cutter = Cutter(CuttingParameters())
    assert cutter.lengths(noise(cutter.smallest)) == [cutter.smallest]
    assert list(cutter.cut([])) == []
    assert list(cutter.cut([b"", b""])) == []
    assert cutter.lengths(b"") == []
    assert [bytes(c) for c in cutter.cut([b"x"])] == [b"x"]


def test_a_change_is_local():
    data = noise(32 * 2**20)
    changed = data[: 9 * 2**20] + noise(12_345, 2) + data[9 * 2**20 :]
    cutter = Cutter(CuttingParameters())
    before = {hashlib.sha256(c).digest() for c in cutter.cut([data])}
    new = sum(len(c) for c in cutter.cut([changed]) if hashlib.sha256(c).digest() not in before)
    assert new < 12_345 + 2 * 2**20


def test_memory_is_bounded_by_block_and_largest_chunk():
    # A file of any size passes: what the cutter keeps must not grow with it.

    def blocks():
        for _ in range(40):
            yield noise(2**20)

    held = max(len(chunk.obj) for chunk in Cutter(CuttingParameters()).cut(blocks()))
    assert held <= 2 * 2**20


def test_a_reused_buffer_does_not_leak_into_earlier_chunks():
    # A caller who reads into one buffer must get the same chunks as one who does not.
    data = noise(50_000)
    buffer = bytearray(700)

    def blocks():
        for at in range(0, len(data), 700):
            part = data[at : at + 700]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]

    assert b"".join(bytes(c) for c in Cutter(SMALL).cut(blocks())) == data


def test_parameters_come_back():
    for params in (CuttingParameters(), SMALL):
        assert CuttingParameters.from_value(params.to_value()) == params


def test_the_rule_of_parts_belongs_to_the_store():
    # Two programs that cut one file differently would each see the other's version as changed.
    data = safetensors({"a": noise(70_000), "b": noise(80_000)})
    older = {k: v for k, v in CuttingParameters().to_value().items() if k != "formats"}
    without = Cutter(CuttingParameters.from_value(older))
    found = Cutter(CuttingParameters()).boundaries(lambda at, n: data[at : at + n], len(data))
    assert len(found) == 3
    assert without.boundaries(lambda at, n: data[at : at + n], len(data)) == ()


def test_small_files_are_not_looked_at():
    data = safetensors({"a": noise(30_000), "b": noise(30_000)})
    cutter = Cutter(CuttingParameters())
    assert cutter.boundaries(lambda at, n: pytest.fail("read"), len(data)) == ()


def test_parameters_are_checked():
    good = CuttingParameters().to_value()
    with pytest.raises(UnsupportedError):
        CuttingParameters.from_value({**good, "algorithm": "rabin"})
    with pytest.raises(UnsupportedError, match="upgrade"):
        CuttingParameters.from_value({**good, "formats": 2})
    for bad in (
        None,
        {**good, "formats": -1},
        {**good, "formats": None},
        {},
        [],
        {**good, "nominal": 1000},
        {**good, "nominal": "262144"},
        {**good, "min": True},
        {**good, "max": 2**40},
        {**good, "normalization": 9},
        {**good, "extra": 1},
        {k: v for k, v in good.items() if k != "max"},
    ):
        with pytest.raises(CorruptError):
            CuttingParameters.from_value(bad)
    with pytest.raises(InvalidInputError):
        CuttingParameters(min=2**20, max=2**20)


def test_the_slow_fallback_is_refused(monkeypatch):
    # It cuts at a hundredth of the speed and says so only in a warning.
    for name in [n for n in sys.modules if n.startswith("pyfastcdc")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyfastcdc.cy", None)
    with pytest.raises(UnsupportedError, match="compiled"):
        Cutter(CuttingParameters()).lengths(b"x" * 100)
