"""Searching several segments side by side: the blocks that all of them want come with one call.

Blocks read are kept for a while. A segment that fails is told to the caller; the others go on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ahstore.errors import AhError, CorruptError, UnsupportedError
from ahstore.index.segment import Search, Segment
from ahstore.index.segment_format import Block
from ahstore.storage.contract import MissingError, Range, Storage

CACHED_BLOCKS = 2048
"""Of 10 to 16 KB each."""
MAX_GAP_BYTES = 32 * 1024
MAX_SPAN_BYTES = 4 * 2**20

UNREADABLE = (MissingError, CorruptError, UnsupportedError)
"""What may be wrong with a segment; anything else is the storage's failure."""

Wish = tuple[Segment, Block]


class SegmentSearch:
    """Looks keys up in segments. Threads may share it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self, segments: Sequence[Segment], keys: Sequence[bytes]
    ) -> tuple[dict[Segment, list[bytes]], dict[Segment, AhError]]:
        """Return the records that each segment has of ``keys``, and the segments that failed."""
        found: dict[Segment, list[bytes]] = {}
        failed: dict[Segment, AhError] = {}
        searches = {segment: segment.search(keys) for segment in segments}
        answers: dict[Segment, list[bytes]] = {}
        while searches:
            wishes: dict[Segment, list[Block]] = {}
            for segment, search in searches.items():
                try:
                    wishes[segment] = _next_wishes(search, answers.get(segment))
                except StopIteration as end:
                    found[segment] = end.value
                except CorruptError as error:
                    failed[segment] = error
            blocks = self._fetch([(s, b) for s, wish in wishes.items() for b in wish], failed)
            searches = {s: searches[s] for s in wishes if s not in failed}
            answers = {s: [blocks[s.info.key, b.offset] for b in wishes[s]] for s in searches}
        for segment in failed:
            self._forget(segment)
        return found, failed

    def _fetch(
        self, wishes: list[Wish], failed: dict[Segment, AhError]
    ) -> dict[tuple[str, int], bytes]:
        """Return the blocks by key and offset; who can't be read goes to ``failed``."""
        found: dict[tuple[str, int], bytes] = {}
        missing: list[Wish] = []
        with self._lock:
            for segment, block in wishes:
                name = segment.info.key, block.offset
                known = self._blocks.get(name)
                if known is None:
                    missing.append((segment, block))
                else:
                    self._blocks.move_to_end(name)
                    found[name] = known
        for (segment, block), data in self._read(missing, failed):
            name = segment.info.key, block.offset
            found[name] = data
            with self._lock:
                self._blocks[name] = data
                if len(self._blocks) > CACHED_BLOCKS:
                    self._blocks.popitem(last=False)
        return found

    def _read(
        self, wishes: list[Wish], failed: dict[Segment, AhError]
    ) -> Iterator[tuple[Wish, bytes]]:
        spans = list(_spans(wishes))
        done = 0
        try:
            for data in self._storage.read_ranges(map(_range, spans)):
                yield from _parts(spans[done], data)
                done += 1
            return
        except UNREADABLE:
            pass
        # One of the segments is gone or cut short: what the others say is still good.
        for span in spans[done:]:
            segment = span[0][0]
            if segment not in failed:
                try:
                    data = self._storage.read_range(*_range(span))
                except UNREADABLE as error:
                    failed[segment] = error
                else:
                    yield from _parts(span, data)

    def _forget(self, segment: Segment) -> None:
        with self._lock:
            for name in [name for name in self._blocks if name[0] == segment.info.key]:
                del self._blocks[name]


def _next_wishes(search: Search, answer: list[bytes] | None) -> list[Block]:
    return next(search) if answer is None else search.send(answer)


def _spans(wishes: list[Wish]) -> Iterator[list[Wish]]:
    """Group wishes into ranges worth reading as one."""
    ordered = sorted(wishes, key=lambda wish: (wish[0].info.key, wish[1].offset))
    span = ordered[:1]
    for (segment, block), item in pairwise(ordered):
        after, wanted = item
        if (
            after is segment
            and wanted.offset - (block.offset + block.length) <= MAX_GAP_BYTES
            and wanted.offset + wanted.length - span[0][1].offset <= MAX_SPAN_BYTES
        ):
            span.append(item)
        else:
            yield span
            span = [item]
    if span:
        yield span


def _range(span: list[Wish]) -> Range:
    (segment, first), (_, last) = span[0], span[-1]
    return Range(segment.info.key, first.offset, last.offset + last.length - first.offset)


def _parts(span: list[Wish], data: bytes | memoryview) -> Iterator[tuple[Wish, bytes]]:
    start = span[0][1].offset
    for wish in span:
        at = wish[1].offset - start
        # A view would keep all that was read with it.
        yield wish, bytes(data[at : at + wish[1].length])
