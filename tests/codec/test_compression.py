"""Compression: what pays is compressed and comes back, what does not costs nothing, bombs fail."""

from __future__ import annotations

import contextlib
import random
import struct
import subprocess
import sys
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec.compression import (
    LEAST_BYTES,
    MOST_BYTES,
    RAW,
    STRIDES,
    ZSTD,
    compress,
    decompress,
    is_possible,
)
from ahstore.errors import CorruptError

SIZE = 256 * 1024


def noise(size=SIZE, seed=1):
    return random.Random(seed).randbytes(size)


def numbers(code, count, scale=1.0, seed=2):
    rng = random.Random(seed)
    return struct.pack(f"<{count}{code}", *(rng.gauss(0, scale) for _ in range(count)))


def halves(data):
    """Return bf16 numbers: the upper halves of float32 ones."""
    return b"".join(data[at + 2 : at + 4] for at in range(0, len(data), 4))


TEXT = b"".join(b"%d,%d,row %d\n" % (n, n * n % 997, n % 10) for n in range(12_000))


@pytest.mark.parametrize(
    ("data", "codec", "most"),
    [
        (TEXT, ZSTD, 0.4),
        (bytes(SIZE), ZSTD, 0.01),
        (numbers("f", SIZE // 4, 0.02), 3, 0.86),
        (halves(numbers("f", SIZE // 2, 0.02)), 2, 0.72),
        (numbers("d", SIZE // 8), 4, 0.90),
    ],
    ids=["text", "zeros", "float32", "bf16", "float64"],
)
def test_what_pays_is_compressed(data, codec, most):
    found, stored = compress(memoryview(data))
    assert found == codec
    assert len(stored) < most * len(data)
    assert decompress(found, stored, len(data)) == data


@pytest.mark.parametrize("size", [0, 1, 300, 4096, 70_000, SIZE, 2**20])
def test_noise_is_left_alone(size):
    assert all(compress(noise(size, seed)) is None for seed in range(5))


def test_noise_that_starts_like_text_is_left_alone():
    # The sample may be wrong: what decides in the end is what was saved.
    for size in (1000, 100_000):
        data = bytearray(noise(size))
        data[size // 2 - 300 : size // 2 + 300] = b"a" * 600 if size > 1000 else bytes(600)
        packed = compress(bytes(data))
        assert packed is None or len(packed[1]) <= len(data) * 15 // 16


@given(st.binary(max_size=64), st.integers(0, 4000), st.integers(1, 9))
def test_whatever_is_compressed_comes_back(seed, size, repeats):
    data = (seed * size)[: 40_000 + repeats] + seed
    packed = compress(data)
    if packed is not None:
        codec, stored = packed
        assert is_possible(codec, len(stored), len(data))
        assert len(stored) <= len(data) - len(data) // 16
        assert decompress(codec, stored, len(data)) == data


@pytest.mark.parametrize("codec", sorted(STRIDES))
@pytest.mark.parametrize("extra", range(8))
def test_lengths_need_not_be_multiples_of_a_number(codec, extra):
    # Files are cut by content, in the middle of numbers too.
    data = numbers("f", 1000, 0.001)[extra:].replace(b"\x80", b"\0") + bytes(1000)
    packed = planes(data, STRIDES[codec])
    assert decompress(codec, packed, len(data)) == data


def planes(data, stride):
    """Pack as docs/format/packs.md says, with nothing of the code under test."""
    engine = zstandard.ZstdCompressor(level=1, write_content_size=False)
    frames = [engine.compress(data[n::stride]) for n in range(stride)]
    if stride == 1:
        return frames[0]
    return b"".join(struct.pack(">I", len(f)) for f in frames) + b"".join(frames)


@pytest.mark.parametrize("codec", sorted(STRIDES))
def test_a_blob_that_unpacks_to_more_or_less_is_corrupt(codec):
    data = bytes(5000)
    stored = planes(data, STRIDES[codec])
    assert decompress(codec, stored, len(data)) == data
    for raw in (4999, 5001, 1000, 100_000, MOST_BYTES):
        with pytest.raises(CorruptError):
            decompress(codec, stored, raw)


@pytest.mark.parametrize("codec", sorted(STRIDES))
def test_bombs_stop_at_the_length_in_the_index(codec):
    # A few bytes that unpack to gigabytes would kill whoever reads a store made by someone else.
    stored = planes(bytes(200 * 2**20), STRIDES[codec])
    tracemalloc.start()
    with pytest.raises(CorruptError):
        decompress(codec, stored, 1_000_000)
    with pytest.raises(CorruptError):
        decompress(codec, stored, 200 * 2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_frame_that_promises_gigabytes_is_not_believed():
    # zstandard allocates what a frame says of its own size before it unpacks anything.
    frame = zstandard.ZstdCompressor().compress(bytes(600))
    header = frame[:4] + bytes([0b11100000]) + struct.pack("<Q", 2**40)
    for forged in (frame, header + frame[6:]):
        tracemalloc.start()
        with pytest.raises(CorruptError):
            decompress(ZSTD, forged, 600)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


@pytest.mark.parametrize("codec", sorted(STRIDES))
def test_additions_cuts_and_empty_blobs_are_corrupt(codec):
    data = TEXT[:6000]
    stored = planes(data, STRIDES[codec])
    for odd in (b"", stored[:-1], stored[:3], stored + b"\0", stored + stored, b"x" * 50):
        with pytest.raises(CorruptError):
            decompress(codec, odd, len(data))


@pytest.mark.parametrize("codec", sorted(STRIDES))
def test_flipped_bits_never_escape_as_another_error(codec):
    data = TEXT[:2000]
    stored = bytearray(planes(data, STRIDES[codec]))
    for at in range(0, 8 * min(len(stored), 400), 3):
        stored[at // 8] ^= 1 << at % 8
        try:
            found = decompress(codec, bytes(stored), len(data))
        except CorruptError:
            pass
        else:
            assert len(found) == len(data)
        stored[at // 8] ^= 1 << at % 8


@given(st.binary(max_size=600), st.integers(0, 8), st.integers(0, 5000))
def test_any_bytes_are_corrupt_or_as_long_as_told(stored, codec, raw):
    with contextlib.suppress(CorruptError):
        assert len(decompress(codec, stored, raw)) == raw


def test_which_lengths_can_be():
    assert is_possible(RAW, 10, 10)
    assert not is_possible(RAW, 10, 11)
    assert is_possible(ZSTD, 100, LEAST_BYTES)
    assert not is_possible(ZSTD, 100, LEAST_BYTES - 1)
    assert not is_possible(ZSTD, 0, LEAST_BYTES)
    assert not is_possible(ZSTD, LEAST_BYTES, LEAST_BYTES)
    assert is_possible(4, 100, MOST_BYTES)
    assert not is_possible(4, 100, MOST_BYTES + 1)
    assert not is_possible(5, 100, 1000)


def test_noise_does_not_load_the_library():
    # Most commands neither pack nor unpack anything; starting them must not pay for it.
    code = (
        "import sys, random; from ahstore.codec.compression import compress;"
        "r = random.Random(1); [compress(r.randbytes(4096)) for _ in range(2000)];"
        "print('zstandard' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
