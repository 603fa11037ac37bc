"""Ranges of files, several on their way at once, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

from ahstore.storage.contract import Range

IN_FLIGHT = 8
IN_FLIGHT_BYTES = 48 * 2**20

Start = Callable[[Range], "Future[bytes]"]


def read_ahead(ranges: Iterable[Range], start: Start) -> Iterator[bytes]:
    """Yield the bytes of each range; ``start`` begins to fetch one.

    Some are on their way while the caller is busy with one: at most ``IN_FLIGHT``, and unless a
    single range is larger, ``IN_FLIGHT_BYTES``.
    """
    waiting: deque[tuple[int, Future[bytes]]] = deque()
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
