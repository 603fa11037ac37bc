"""What a tree has that other trees have not: its pages, and the chunks of its files.

Pages and list chunks that a base (a tree known to be complete elsewhere) has in the same place are
passed over unread, so the cost follows the difference. Everything that is read is checked: bytes
by SHA-256, pages against the page above, rows as files.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, NotFoundError
from ahstore.ids import Address, ChunkId, PageId
from ahstore.objects.chunklist import checked_list
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, PATH, REFS, ChunkRef, Row, check_rows
from ahstore.objects.page import KEY, PAGE_ID, CheckRows, Page
from ahstore.objects.walk import PageCache, PageReader
from ahstore.packs.place import Kind
from ahstore.versions.repository import Repository

AHEAD_BYTES = 16 * 2**20
BASE_LISTS = 64
"""Lists of a base that are worth reading to pass over lists below; more of them differ anyway."""


class Pages:
    """Pages of the source, as bytes and decoded; those of bases may come from elsewhere.

    Args:
        source: has the new pages.
        other: has the pages of bases that the source may lack, or is nearer; None: the source.
        check: checks the rows of leaves.
    """

    def __init__(
        self, source: Repository, other: Repository | None, *, check: CheckRows | None = check_rows
    ) -> None:
        self._source = source
        self._other = other
        self._bytes: OrderedDict[Address, bytes] = OrderedDict()
        self._held = 0
        cache = PageCache()
        self.new = PageReader(self, cache, check=check)
        self.base = PageReader(_Base(self, other), cache, check=check) if other else self.new

    def read_page(self, page: PageId) -> bytes:
        """Return the bytes of a page, verified, from the source or else from the other place."""
        data = self._bytes.get(page)
        if data is None:
            data = self._read(page)
            self._keep(page, data)
        return data

    def fetch(self, pages: Sequence[PageId]) -> None:
        """Read pages that will be asked for, neighbours by one request."""
        wanted = [page for page in pages if page not in self._bytes]
        if len(wanted) < 2:
            return
        places = self._source.index.look_up(Kind.PAGE, wanted)
        try:
            for page, data in self._source.packs.read_many(places.items(), trusted=False):
                self._keep(page, data)
        except NotFoundError:
            return  # repacked meanwhile: one by one, the way that looks for the new place

    def _read(self, page: PageId) -> bytes:
        try:
            return self._source.read_page(page)
        except NotFoundError:
            if self._other is None:
                raise
            return self._other.read_page(page)

    def _keep(self, page: Address, data: bytes) -> None:
        if page in self._bytes:
            return
        self._bytes[page] = data
        self._held += len(data)
        while self._held > AHEAD_BYTES and len(self._bytes) > 1:
            _, gone = self._bytes.popitem(last=False)
            self._held -= len(gone)


class _Base:
    """Pages of bases: from the other place if it has them, since it is the one that is written to."""

    def __init__(self, pages: Pages, other: Repository) -> None:
        self._pages = pages
        self._other = other

    def read_page(self, page: PageId) -> bytes:
        if self._other.index.find(Kind.PAGE, page) is None:
            return self._pages.read_page(page)
        return self._other.read_page(page)


class _Item(NamedTuple):
    """A page of a base that has not been opened: its keys are in (after, last]."""

    id: PageId
    level: int
    after: str | None
    last: str
    row: Row


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page that no base has. ``base``: rows of bases among its keys, if it is a leaf."""

    id: PageId
    page: Page
    base: list[Row]


def new_pages(pages: Pages, root: PageId, bases: Iterable[PageId]) -> Iterator[NewPage]:
    """Yield the pages under ``root`` that no base has in the same place, parents first.

    Args:
        pages: reads them.
        root: of the tree.
        bases: roots of other trees; the pages they share with this one are not read.

    Raises:
        CorruptError: a page is damaged, or not what the page above says.
        NotFoundError: a page is missing.
    """
    known = list(bases)
    if root in known:
        return
    page = pages.new.root(root)
    items = []
    for base in known:
        top = pages.base.root(base)
        if top.rows:
            items.append(_Item(base, top.level, None, top.keys[-1], top.as_row(base)))
    yield from _below(pages, root, page, None, items)


def _below(
    pages: Pages,
    page_id: PageId,
    page: Page,
    after: str | None,
    items: list[_Item],
) -> Iterator[NewPage]:
    if page.level == 0:
        yield NewPage(page_id, page, _base_rows(pages, items, after, page))
        return
    yield NewPage(page_id, page, [])
    items = _opened(pages, items, page.level - 1, after, page.keys[-1])
    fresh = list(_fresh_rows(page, after, items))
    pages.fetch([row[PAGE_ID] for _, row in fresh])
    for before, row in fresh:
        near = [item for item in items if _overlaps(item, before, row[KEY])]
        below = pages.new.child(row, page.level, after=before)
        yield from _below(pages, row[PAGE_ID], below, before, near)


def _fresh_rows(
    page: Page, after: str | None, items: list[_Item]
) -> Iterator[tuple[str | None, Row]]:
    """Yield the rows of an inner page that stand for no page of a base, each with the key before it.

    A row that names a base's page but says other things of it is fresh: then it is looked at.
    """
    known = {item.id: item for item in items if item.level == page.level - 1}
    for row in page.rows:
        item = known.get(row[PAGE_ID])
        if item is None or item.row != row or not _begins_within(item, after):
            yield after, row
        after = row[KEY]


def _begins_within(item: _Item, after: str | None) -> bool:
    """Say whether all keys of a base's page are surely greater than ``after``."""
    return after is None or (item.after is not None and item.after >= after)


def _opened(
    pages: Pages, items: list[_Item], level: int, after: str | None, last: str
) -> list[_Item]:
    """Return the items with those above ``level`` opened, as far as they lie in (after, last]."""
    found: list[_Item] = []
    waiting = list(items)
    while waiting:
        item = waiting.pop()
        if item.level <= level:
            found.append(item)
            continue
        before = item.after
        for row in pages.base.page(item.id).rows:
            child = _Item(row[PAGE_ID], item.level - 1, before, row[KEY], row)
            before = row[KEY]
            if _overlaps(child, after, last):
                waiting.append(child)
    return found


def _overlaps(item: _Item, after: str | None, last: str) -> bool:
    return (after is None or item.last > after) and (item.after is None or item.after < last)


def _base_rows(pages: Pages, items: list[_Item], after: str | None, page: Page) -> list[Row]:
    if not items or not page.rows:
        return []
    leaves = _opened(pages, items, 0, after, page.keys[-1])
    return [row for leaf in leaves for row in pages.base.page(leaf.id).rows]


class Lists:
    """The chunks that files need, their lists included, without those that a base file has.

    Args:
        source: reads list chunks.
        other: has the lists of bases that the source may lack.
        take: called with each list chunk that is needed, and its bytes.
    """

    def __init__(
        self,
        source: Repository,
        other: Repository | None,
        take: Callable[[ChunkId, bytes], None],
    ) -> None:
        self._source = source
        self._other = other
        self._take = take
        self._done: set[tuple[ChunkId, int, int]] = set()

    def chunks(self, leaf: NewPage) -> Iterator[ChunkRef]:
        """Yield the chunks that the files of a leaf need; their lists are taken on the way.

        Raises:
            CorruptError: a list is damaged, or covers other bytes than is said above it.
            NotFoundError: a list is missing.
        """
        same = {(row[FLAGS] >> LEVEL_SHIFT, row[REFS]) for row in leaf.base}
        by_path = {row[PATH]: row for row in leaf.base}
        for row in leaf.page.rows:
            level, refs = row[FLAGS] >> LEVEL_SHIFT, row[REFS]
            if (level, refs) in same:
                continue
            listed = checked_list(level, refs, None)
            if not level:
                yield from listed
                continue
            base = by_path.get(row[PATH])
            known = self._base_list(base, level) if base else []
            yield from self._below(listed, level, known)

    def _base_list(self, row: Row, level: int) -> list[ChunkRef]:
        """Return the references of a base file at ``level``, none if it has no such level."""
        found = row[FLAGS] >> LEVEL_SHIFT
        refs = checked_list(found, row[REFS], None)
        while found > level:
            refs, found = self._expand(refs, found), found - 1
        return refs if found == level else []

    def _below(self, refs: list[ChunkRef], level: int, base: list[ChunkRef]) -> Iterator[ChunkRef]:
        known = set(base)
        fresh = [ref for ref in refs if ref not in known]
        if not level:
            yield from fresh
            return
        gone = [ref for ref in base if ref not in set(refs)]
        below = self._expand(gone, level)
        for ref in fresh:
            # A hostile file may name one list any number of times, at each of its levels.
            key = (ref.id, level, ref.length)
            if key not in self._done:
                data = read_chunk(self._source, ref.id)
                listed = checked_list(level - 1, data, ref.length)
                self._take(ref.id, data)
                yield from self._below(listed, level - 1, below)
                self._done.add(key)

    def _expand(self, refs: list[ChunkRef], level: int) -> list[ChunkRef]:
        """Return what base lists list; nothing when they are too many to be worth it."""
        if len(refs) > BASE_LISTS:
            return []
        found = []
        for ref in refs:
            found += checked_list(level - 1, self._read_base(ref.id), ref.length)
        return found

    def _read_base(self, chunk: ChunkId) -> bytes:
        if self._other is not None and self._other.index.find(Kind.CHUNK, chunk) is not None:
            return read_chunk(self._other, chunk)
        return read_chunk(self._source, chunk)


def read_chunk(repo: Repository, chunk: ChunkId) -> bytes:
    """Return a chunk that is about to be parsed, checked by its SHA-256.

    Raises:
        CorruptError: its bytes are not those of its id.
        NotFoundError: it is missing.
    """
    data = repo.read_chunk(chunk)
    if sha256(data) != chunk:
        raise CorruptError(f"chunk {chunk.hex()} is damaged", address=chunk.hex())
    return data
