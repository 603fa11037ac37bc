"""Changing a tree: the new root for a set of changes, at the cost of the change.

Each level is cut anew from the first page a change falls into until old and new cuttings agree
again; what differs is a set of changes to the level above. Everything streams: in memory are the
paths of one cursor a level, open pages, and a bounded cache. The result is what ``tree.build``
would make of the changed rows, always.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias

from ahstore.codec.digests import sha256
from ahstore.errors import InvalidInputError
from ahstore.ids import PageId
from ahstore.objects.page import (
    KEY,
    MAX_ROWS,
    PAGE_ID,
    CheckRows,
    InnerRow,
    Page,
    PageSink,
    PageSource,
    Row,
    is_boundary,
    make_page,
)
from ahstore.objects.tree import TreeBuilder, build
from ahstore.objects.walk import LevelCursor, PageCache, PageReader

Change: TypeAlias = tuple[str, "Row | None"]
"""A key with the row it is to have, or None: it is to have none."""


def edit(
    source: PageSource,
    root: PageId,
    changes: Iterable[Change],
    sink: PageSink,
    *,
    cache: PageCache | None = None,
    check: CheckRows | None = None,
) -> PageId:
    """Store the pages that differ once ``changes`` are made, and return the new root.

    Args:
        source: reads the pages of the old tree; those put meanwhile are not asked of it.
        root: the old tree.
        changes: keys strictly increasing. To delete what is not there is no error.
        sink: takes new pages, children first.
        cache: decoded pages.
        check: checks the rows of each leaf read, such as ``file.check_rows``.

    Raises:
        InvalidInputError: changes are malformed or out of order.
        CorruptError: a page of the old tree is damaged.
    """
    reader = PageReader(source, cache, check=check)
    top = reader.root(root)
    wanted = _checked(changes)
    if not top.rows:
        puts = (row for _, row in wanted if row is not None)
        first = next(puts, None)
        return root if first is None else build(chain((first,), puts), sink)
    levels = [_Level(reader, root, n, sink) for n in range(top.level + 1)]
    above: Iterator[Change] = wanted
    for level in levels:
        above = level.recut(above)
    return _settle(levels, _top_rows(top.as_row(root), above), reader, sink)


def _checked(changes: Iterable[Change]) -> Iterator[Change]:
    last: str | None = None
    for key, row in changes:
        if type(key) is not str or (
            row is not None and (type(row) is not list or row[:1] != [key])
        ):
            raise InvalidInputError(f"not a change of a row: {key!r:.200}")
        if last is not None and key <= last:
            raise InvalidInputError(f"changes are not in order: {key!r} after {last!r}")
        last = key
        yield key, row


def _top_rows(old: InnerRow, changes: Iterator[Change]) -> Iterator[InnerRow]:
    """Yield the rows of the level above the old root: ``old``, changed."""
    pending: InnerRow | None = old
    for key, row in changes:
        if pending is not None and pending[KEY] <= key:
            if pending[KEY] < key:
                yield pending
            pending = None
        if row is not None:
            yield row
    if pending is not None:
        yield pending


def _settle(
    levels: list[_Level], rows: Iterator[InnerRow], reader: PageReader, sink: PageSink
) -> PageId:
    """Return the root of a tree whose pages at the old root's level are ``rows``."""
    first, second = next(rows, None), next(rows, None)
    if first is None:
        return build((), sink)
    if second is not None:
        builder = TreeBuilder(sink, level=len(levels))
        builder.extend(chain((first, second), rows))
        return builder.finish()
    root: PageId = first[PAGE_ID]
    for level in reversed(levels[1:]):  # the lowest single page is the root
        below = level.rows_of_single_page(root, reader)
        if len(below) > 1:
            break
        root = below[0][PAGE_ID]
    return root


class _Feed:
    """An iterator of changes with a look at the next one."""

    __slots__ = ("_rest", "head")

    def __init__(self, changes: Iterator[Change]) -> None:
        self._rest = changes
        self.head = next(changes, None)

    def take(self) -> Row | None:
        """Return the row of the next change and go on."""
        assert self.head is not None
        row = self.head[1]
        self.head = next(self._rest, None)
        return row

    def give_back(self, changes: list[Change]) -> None:
        """Undo the taking of the last ``changes``."""
        if changes:
            rest = changes[1:] if self.head is None else [*changes[1:], self.head]
            self._rest = chain(rest, self._rest)
            self.head = changes[0]


class _Level:
    """The pages of one level, cut anew where changes fall."""

    def __init__(self, reader: PageReader, root: PageId, level: int, sink: PageSink) -> None:
        self._reader = reader
        self._cursor = LevelCursor(reader, root, level)
        self._level = level
        self._sink = sink
        self._last_put: tuple[PageId, list[Row]] | None = None

    def recut(self, changes: Iterator[Change]) -> Iterator[Change]:
        """Make the changes to this level, and yield those to the level above."""
        feed = _Feed(changes)
        while feed.head is not None:
            self._cursor.seek(feed.head[0])
            yield from self._recut_until_in_step(feed)

    def rows_of_single_page(self, page_id: PageId, reader: PageReader) -> list[Row]:
        """Return the rows of the one page that this level has after the changes."""
        if self._last_put is not None and self._last_put[0] == page_id:
            return self._last_put[1]
        return reader.page(page_id).rows

    def _recut_until_in_step(self, feed: _Feed) -> Iterator[Change]:
        """Cut from the start of the cursor's page until an old page starts where a new one does."""
        replaced: deque[InnerRow] = deque()  # old pages read, whose rows above are still to go
        rows: list[Row] = []
        more = True
        while more:
            page = self._cursor.page
            replaced.append(self._cursor.row)
            is_last = self._cursor.is_last
            if not rows and (same := _replace(page, feed, to_the_end=is_last)) is not None:
                yield from self._close(same, replaced)
                break
            for row, may_end in _merge(page, feed, to_the_end=is_last):
                rows.append(row)
                if len(rows) == MAX_ROWS or (may_end and is_boundary(row[KEY], self._level)):
                    yield from self._close(rows, replaced)
                    rows = []
            more = bool(rows) and self._cursor.advance()
        if rows:
            yield from self._close(rows, replaced)
        for row in replaced:
            yield row[KEY], None

    def _close(self, rows: list[Row], replaced: deque[InnerRow]) -> Iterator[Change]:
        """Store a page; yield what it changes above, with what older pages before it do."""
        last = rows[-1][KEY]
        while replaced and replaced[0][KEY] < last:
            yield replaced.popleft()[KEY], None
        data, page = make_page(self._level, rows)
        page_id = PageId(sha256(data))
        if replaced and replaced[0][KEY] == last and replaced.popleft()[PAGE_ID] == page_id:
            return
        self._sink.put_page(data)
        self._reader.keep(page_id, page)
        self._last_put = page_id, rows
        yield last, page.as_row(page_id)


def _replace(page: Page, feed: _Feed, *, to_the_end: bool) -> list[Row] | None:
    """Return the rows of ``page`` with its changes if each replaces a row that it has.

    Such a page keeps its keys, and so its place. None: the rows have to be cut anew.
    """
    rows = [*page.rows]
    taken: list[Change] = []
    last = page.keys[-1]
    while feed.head is not None and (to_the_end or feed.head[0] <= last):
        key, row = feed.head
        at = bisect_left(page.keys, key)
        if row is None or at == len(rows) or page.keys[at] != key:
            feed.give_back(taken)
            return None
        rows[at] = row
        taken.append((key, row))
        feed.take()
    return rows


def _merge(page: Page, feed: _Feed, *, to_the_end: bool) -> Iterator[tuple[Row, bool]]:
    """Yield the rows of ``page`` with the changes up to its last key, or with all that are left.

    With each row comes whether a boundary may be after it: inside an old page there was none.
    """
    last = page.keys[-1]
    for old in page.rows:
        key = old[KEY]
        while feed.head is not None and feed.head[0] < key:
            row = feed.take()
            if row is not None:
                yield row, True
        row = old
        if feed.head is not None and feed.head[0] == key:
            row = feed.take()
        if row is not None:
            yield row, key == last
    while to_the_end and feed.head is not None:
        row = feed.take()
        if row is not None:
            yield row, True
