"""Bodies of answers; ranges of files, several on their way at once, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from ahstore.storage.buffers import LARGE_BYTES, large_buffer
from ahstore.storage.contract import Range

IN_FLIGHT = 8
IN_FLIGHT_BYTES = 48 * 2**20

Start = Callable[[Range], "Future[bytes | memoryview]"]

_PIECE_BYTES = 256 * 1024


async def receive_all(stream: Any) -> bytes:
    """Return all of a body."""
    data: bytes = await stream.read()
    return data


def receive(length: int) -> Callable[[Any], Awaitable[bytes | memoryview]]:
    """Return what reads a body that is to have ``length`` bytes; a large one into one buffer.

    It returns fewer bytes or more if the body has fewer or more.
    """
    if length < LARGE_BYTES:
        return receive_all

    async def receive_large(stream: Any) -> bytes | memoryview:
        buffer, size = large_buffer(length), 0
        while piece := await stream.read(_PIECE_BYTES):
            end = size + len(piece)
            if end > length:  # not the range that was asked for
                return b"".join((buffer[:size], piece))
            buffer[size:end] = piece
            size = end
        return buffer[:size].toreadonly()

    return receive_large


def read_ahead(ranges: Iterable[Range], start: Start) -> Iterator[bytes | memoryview]:
    """Yield the bytes of each range; ``start`` begins to fetch one.

    Some are on their way while the caller is busy with one: at most ``IN_FLIGHT``, and unless a
    single range is larger, ``IN_FLIGHT_BYTES``.
    """
    waiting: deque[tuple[int, Future[bytes | memoryview]]] = deque()
    size = 0
    source = iter(ranges)
    try:
        for wanted in source:
            while waiting and (len(waiting) >= IN_FLIGHT or size + wanted.length > IN_FLIGHT_BYTES):
                length, future = waiting.popleft()
                size -= length
                yield future.result()
            waiting.append((wanted.length, start(wanted)))
            size += wanted.length
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        for _, future in waiting:
            future.cancel()
