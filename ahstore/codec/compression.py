"""Compression of one blob: whether it pays, by which codec, and back again within bounds.

Implements docs/format/packs.md, "Codecs". Arrays of numbers are taken apart before: the first
bytes of all numbers, then the second ones and so on, each such plane compressed by itself, since
exponents repeat where mantissas are noise. A sample decides, so that bytes which can't be
compressed cost next to nothing.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING

from ahstore.errors import CorruptError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor, ZstdDecompressor

RAW = 0
ZSTD = 1
STRIDES = {ZSTD: 1, 2: 2, 3: 4, 4: 8}
"""Codec to the number of planes: the bytes of a number of the arrays that it is made for."""

LEVEL = 1
LEAST_BYTES = 512
"""Shorter blobs are left as they are: a frame saves little of them."""
MOST_BYTES = 2**24
"""Longer ones too, so that nothing unpacks to more than this; chunks are never that long."""

_PROBE_BYTES = 24
_PROBE_MAY_PAY = 17
_LONG_BYTES = 16 * 1024
_LONG_PROBE_BYTES = 512
_LONG_PROBE_MAY_PAY = 212
_SAMPLE_BYTES = 8 * 1024
_GOOD_ENOUGH = 0.5
_BETTER = 0.98

_engines = threading.local()


def compress(data: bytes | memoryview) -> tuple[int, bytes] | None:
    """Return codec and stored bytes, or None if less than a sixteenth would be saved.

    Noise is told by the variety of a few bytes, in a microsecond and without the library: of 24
    random ones 23 differ, of 24 bytes of text 15.
    """
    size = len(data)
    if not LEAST_BYTES <= size <= MOST_BYTES:
        return None
    middle = size >> 1
    if size < _LONG_BYTES:
        probe = bytes(data[middle : middle + _PROBE_BYTES])
        if not probe.isascii() and len(set(probe)) > _PROBE_MAY_PAY:
            return None
    elif len(set(data[middle : middle + _LONG_PROBE_BYTES])) > _LONG_PROBE_MAY_PAY:
        return None
    codec = ZSTD if len(data) <= 2 * _SAMPLE_BYTES else _choose(data)
    if codec is None:
        return None
    stored = _pack(data if codec == ZSTD else bytes(data), STRIDES[codec])
    return (codec, stored) if _saves(len(stored), len(data)) else None


def decompress(codec: int, stored: bytes | memoryview, raw: int) -> bytes:
    """Return the ``raw`` bytes that were compressed; never unpacks more than those.

    Raises:
        CorruptError: there is no such codec, or these bytes are not ``raw`` bytes packed by it.
    """
    stride = STRIDES.get(codec)
    if stride is None or not is_possible(codec, len(stored), raw):
        raise CorruptError(f"{len(stored)} bytes can't be {raw} bytes packed by codec {codec}")
    if stride == 1:
        return _unframe(stored, raw)
    header = struct.Struct(f">{stride}I")
    if len(stored) < header.size:
        raise CorruptError("a compressed blob is too short")
    lengths = header.unpack_from(stored)
    if sum(lengths) + header.size != len(stored):
        raise CorruptError("the planes of a compressed blob are not as long as it says")
    data = bytearray(raw)
    at = header.size
    for plane, length in enumerate(lengths):
        size = (raw - plane + stride - 1) // stride
        data[plane::stride] = _unframe(stored[at : at + length], size)
        at += length
    return bytes(data)


def is_possible(codec: int, stored: int, raw: int) -> bool:
    """Tell whether a blob may have this codec and these lengths in bytes."""
    if codec == RAW:
        return stored == raw
    return codec in STRIDES and 0 < stored < raw and LEAST_BYTES <= raw <= MOST_BYTES


def _choose(data: bytes | memoryview) -> int | None:
    """Return the codec that does best with a sample, None if none does well."""
    start = (len(data) - _SAMPLE_BYTES) // 2
    sample = bytes(data[start : start + _SAMPLE_BYTES])
    best, codec = len(_pack(sample, 1)), ZSTD
    if best > _GOOD_ENOUGH * len(sample):
        for other, stride in STRIDES.items():
            size = len(_pack(sample, stride)) if stride > 1 else best
            if size < _BETTER * best:
                best, codec = size, other
    return codec if _saves(best, len(sample)) else None


def _saves(stored: int, raw: int) -> bool:
    return stored <= raw - raw // 16


def _pack(data: bytes | memoryview, stride: int) -> bytes:
    compress_frame = _compressor().compress
    if stride == 1:
        return compress_frame(data)
    frames = [compress_frame(data[plane::stride]) for plane in range(stride)]
    return struct.pack(f">{stride}I", *map(len, frames)) + b"".join(frames)


def _unframe(frame: bytes | memoryview, size: int) -> bytes:
    import zstandard  # as in _compressor

    try:
        # A frame that tells its own size would be believed: ours don't, a forged one may.
        if zstandard.frame_content_size(frame) != -1:
            raise CorruptError("a compressed blob tells a size, which none of ours does")
        data = _decompressor().decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptError(f"a compressed blob can't be unpacked: {error}") from error
    if len(data) != size:
        raise CorruptError(f"a compressed blob unpacks to {len(data)} bytes instead of {size}")
    return data


def _compressor() -> ZstdCompressor:
    found: ZstdCompressor | None = getattr(_engines, "compressor", None)
    if found is None:
        import zstandard  # only who packs or unpacks pays for it

        found = zstandard.ZstdCompressor(level=LEVEL, write_content_size=False)
        _engines.compressor = found
    return found


def _decompressor() -> ZstdDecompressor:
    found: ZstdDecompressor | None = getattr(_engines, "decompressor", None)
    if found is None:
        import zstandard  # as in _compressor

        found = _engines.decompressor = zstandard.ZstdDecompressor()
    return found
