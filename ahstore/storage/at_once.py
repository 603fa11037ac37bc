"""Small reads of a storage far away, many under way at once.

Their number is bounded, and so is what is held of their answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from ahstore.storage.contract import Storage

AT_ONCE = 16
"""So many operations are under way at once, and so many answers more are held at most."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def each(
    storage: Storage, work: Callable[[Item], Answer], items: Iterable[Item]
) -> Iterator[tuple[Item, Answer]]:
    """Yield each item with ``work(item)``, in the order given; what is raised ends it.

    If the storage is far away threads work on the items that come next. ``items`` is drawn from as
    answers are taken.
    """
    if not storage.capabilities.far:
        yield from ((item, work(item)) for item in items)
        return
    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:
        yield from ((item, work(item)) for item in first)
        return
    from concurrent.futures import ThreadPoolExecutor  # start-up: for stores far away only

    threads = ThreadPoolExecutor(AT_ONCE, "ahstore-reads")
    try:
        ahead = deque((item, threads.submit(work, item)) for item in first)
        ahead.extend((item, threads.submit(work, item)) for item in islice(rest, 2 * AT_ONCE - 2))
        while ahead:
            item, answer = ahead.popleft()
            ahead.extend((item, threads.submit(work, item)) for item in islice(rest, 1))
            yield item, answer.result()
    finally:
        threads.shutdown(cancel_futures=True)
