"""A part's values as raw bytes, in blocks: as they lie in the file, or decompressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ahstore.chunks.formats.reading import NotThisFormatError
from ahstore.objects.parts.part import Part
from ahstore.versions.comparing.content import BLOCK_BYTES, Content

_ALWAYS_BYTES = 2**30
_MOST_TIMES = 200


class Cut(NamedTuple):
    """A part, the file it is in, and that file's row groups if it has them."""

    content: Content
    part: Part
    group_rows: tuple[int, ...] = ()


def raw_blocks(cut: Cut, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Yield values' bytes from ``start`` on, all or ``length`` of them, in blocks of ``BLOCK_BYTES``.

    Raises:
        NotThisFormatError: they can't be decompressed, are not as many as the header says, or are so
            many more than what is stored that nobody stored them in earnest.
    """
    part = cut.part
    ((offset, stored),) = part.ranges
    assert part.raw_bytes is not None
    if length is None:
        length = part.raw_bytes - start
    if part.coding == "raw":
        yield from cut.content.blocks(offset + start, length)
        return
    if part.raw_bytes > max(_ALWAYS_BYTES, stored * _MOST_TIMES):
        raise NotThisFormatError("it is compressed beyond belief")
    inflated = _inflated(cut.content.blocks(offset, stored))
    yield from _cut_out(inflated, part.skip + start, length)


def _inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for block in blocks:
            data = block
            while data and not inflater.eof:
                yield inflater.decompress(data, BLOCK_BYTES)
                data = inflater.unconsumed_tail
    except zlib.error as error:
        raise NotThisFormatError("it can't be decompressed") from error
    yield inflater.flush()


def _cut_out(blocks: Iterator[bytes], skip: int, length: int) -> Iterator[bytes]:
    """Yield ``length`` bytes behind the first ``skip``, in blocks of ``BLOCK_BYTES``."""
    held = bytearray()
    for block in blocks:
        passed = min(skip, len(block))
        skip -= passed
        held += block[passed:]
        while length and len(held) >= min(BLOCK_BYTES, length):
            size = min(BLOCK_BYTES, length)
            yield bytes(held[:size])
            del held[:size]
            length -= size
        if not length:
            return
    if length:
        raise NotThisFormatError("it is shorter than its header says")
