"""Marking: from what the cells point to, to every blob that is needed.

Trees are walked a level at a time and each page is read once, however many versions share it. The
sets lie on disk when they are large; only the ids of commits are held in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar, cast

from ahstore.codec import canonical
from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, NotFoundError
from ahstore.hub.evaluation_rows import evaluation_commits
from ahstore.hub.payload import PAYLOAD, record_of
from ahstore.ids import Address, CommitId, PageId, RecordId
from ahstore.objects.chunklist import checked_list
from ahstore.objects.commit import decode
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, REF_BYTES, REFS, check_rows
from ahstore.objects.page import KEY, PAGE_ID, Page, Row, decode_page
from ahstore.packs.place import Kind
from ahstore.upkeep.blobs import BATCH, KEY_BYTES, KIND_BYTE, read_blobs
from ahstore.upkeep.roots import Needs
from ahstore.upkeep.sorted_keys import KeySorter, SortedKeys
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

Leaf: TypeAlias = Callable[[list[Row]], None]
AnyAddress = TypeVar("AnyAddress", bound=Address)

_CHUNK = KIND_BYTE[Kind.CHUNK]
_PAGE = KIND_BYTE[Kind.PAGE]
_COMMIT = KIND_BYTE[Kind.COMMIT]
_RECORD = KIND_BYTE[Kind.RECORD]


class Marker:
    """Collects roots, then walks down from all of them together.

    Args:
        repo: the store.
        scratch: a folder for sets that do not fit in memory; None: the system's.
        known: keys whose whole closure is known to be marked elsewhere: not entered again.
        monitor: is told the pages and commits that were read.
    """

    def __init__(
        self,
        repo: Repository,
        *,
        scratch: str | None = None,
        known: SortedKeys | None = None,
        monitor: Monitor = SILENT,
    ) -> None:
        self._repo = repo
        self._scratch = scratch
        self._known = known
        self._monitor = monitor
        self._needed = KeySorter(KEY_BYTES, scratch)
        self._commits: dict[CommitId, str] = {}
        self._catalogues: dict[PageId, str] = {}
        self._evaluations: dict[PageId, str] = {}
        self._lists: defaultdict[int, KeySorter] = defaultdict(self._new_sorter)
        self.pages_read = 0

    def add(self, needs: Needs, owner: str) -> None:
        """Take what a version of a cell needs; ``owner`` names the cell in errors."""
        for commit in needs.commits:
            self._commits.setdefault(commit, owner)
        if needs.catalogue is not None:
            self._catalogues.setdefault(needs.catalogue, owner)
        if needs.evaluations is not None:
            self._evaluations.setdefault(needs.evaluations, owner)
        self._needed.update(needs.keys)

    def finish(self) -> SortedKeys:
        """Return address and kind of every blob that is needed.

        Raises:
            NotFoundError: something that leads to others is not in the store.
            CorruptError: something that leads to others is damaged.
            Either message names the cell from which it was reached, as far as one can be told.
        """
        self._walk_tree(self._catalogues, self._mark_records)
        self._walk_tree(self._evaluations, self._mark_evaluations)
        self._walk_tree(dict.fromkeys(self._walk_commits(), ""), self._mark_files)
        self._walk_lists()
        return self._needed.finish()

    def _is_known(self, key: bytes) -> bool:
        return self._known is not None and key in self._known

    # Commits.

    def _walk_commits(self) -> list[PageId]:
        """Mark all commits; return the roots of their trees."""
        trees: dict[PageId, None] = {}
        seen: set[CommitId] = set()
        front = self._commits
        while front:
            fresh = [c for c in front if c not in seen and not self._is_known(c + _COMMIT)]
            seen.update(fresh)
            parents: dict[CommitId, str] = {}
            for at in range(0, len(fresh), BATCH):
                self._read_commits(fresh[at : at + BATCH], front, parents, trees)
            front = parents
        return list(trees)

    def _read_commits(
        self,
        ids: Sequence[CommitId],
        owners: dict[CommitId, str],
        parents: dict[CommitId, str],
        trees: dict[PageId, None],
    ) -> None:
        self._needed.update(commit + _COMMIT for commit in ids)
        for address, data in self._read(Kind.COMMIT, ids, owners):
            owner = owners[CommitId(address)]
            self._try(Kind.COMMIT, address, partial(_take, data, owner, parents, trees))

    # Trees.

    def _walk_tree(self, roots: dict[PageId, str], leaf: Leaf) -> None:
        """Mark the pages below ``roots`` and hand the rows of each leaf to ``leaf``.

        Roots first, whatever their level; then level by level from the highest.
        """
        levels: defaultdict[int, KeySorter] = defaultdict(self._new_sorter)
        fresh = [page for page in roots if not self._is_known(page + _PAGE)]
        for at in range(0, len(fresh), BATCH):
            self._read_pages(fresh[at : at + BATCH], None, levels, leaf, roots)
        while levels:
            level = max(levels)
            with levels.pop(level).finish() as below:
                for batch in below.batches(BATCH):
                    self._read_pages(cast("list[PageId]", batch), level, levels, leaf, {})

    def _read_pages(
        self,
        ids: Sequence[PageId],
        level: int | None,
        levels: defaultdict[int, KeySorter],
        leaf: Leaf,
        owners: dict[PageId, str],
    ) -> None:
        self._needed.update(page + _PAGE for page in ids)
        for address, data in self._read(Kind.PAGE, ids, owners):
            enter = partial(self._enter, PageId(address), data, level, levels, leaf)
            self._try(Kind.PAGE, address, enter)
        self.pages_read += len(ids)

    def _enter(
        self,
        page_id: PageId,
        data: bytes,
        level: int | None,
        levels: defaultdict[int, KeySorter],
        leaf: Leaf,
    ) -> Page:
        page = decode_page(data)
        if level is not None and page.level != level:
            raise CorruptError(f"page {page_id.hex()} is not of the level that the page above says")
        if page.level == 0:
            leaf(page.rows)
        else:
            levels[page.level - 1].update(
                row[PAGE_ID] for row in page.rows if not self._is_known(row[PAGE_ID] + _PAGE)
            )
        return page

    def _new_sorter(self) -> KeySorter:
        return KeySorter(32, self._scratch)

    # Leaves.

    def _mark_files(self, rows: list[Row]) -> None:
        check_rows(rows)
        direct = b"".join([row[REFS] for row in rows if not row[FLAGS] >> LEVEL_SHIFT])
        self._mark_chunks(direct)
        for row in rows:
            level = row[FLAGS] >> LEVEL_SHIFT
            if level:
                self._mark_list(level, row[REFS])

    def _mark_list(self, level: int, refs: bytes) -> None:
        ids = [ref.id for ref in checked_list(level, refs, None)]
        self._needed.update(i + _CHUNK for i in ids)
        self._lists[level].update(ids)

    def _mark_chunks(self, refs: bytes) -> None:
        """Mark the chunks of data that packed references name."""
        self._needed.update(refs[at : at + 32] + _CHUNK for at in range(0, len(refs), REF_BYTES))

    def _walk_lists(self) -> None:
        """Mark what is below the lists of long files, each list read once."""
        while self._lists:
            level = max(self._lists)
            with self._lists.pop(level).finish() as lists:
                for batch in lists.batches(BATCH):
                    fresh = [Address(i) for i in batch if not self._is_known(i + _CHUNK)]
                    for address, data in self._read(Kind.CHUNK, fresh, {}):
                        self._try(Kind.CHUNK, address, partial(self._take_list, level, data))

    def _take_list(self, level: int, data: bytes) -> None:
        if level > 1:
            self._mark_list(level - 1, data)
        else:
            checked_list(0, data, None)
            self._mark_chunks(data)

    def _mark_records(self, rows: list[Row]) -> None:
        for row in rows:
            if len(row) > PAYLOAD and type(row[PAYLOAD]) is bytes:
                self._needed.add(record_of(row[PAYLOAD]) + _RECORD)

    def _mark_evaluations(self, rows: list[Row]) -> None:
        self._mark_records(rows)
        inline = {row[KEY]: row[PAYLOAD] for row in rows if type(row[PAYLOAD]) is not bytes}
        large: defaultdict[RecordId, list[str]] = defaultdict(list)
        for row in rows:
            if row[KEY] not in inline:
                large[record_of(row[PAYLOAD])].append(row[KEY])
        for key, value in inline.items():
            self._mark_evaluation(key, value)
        for address, data in self._read(Kind.RECORD, list(large), {}):
            keys = large[RecordId(address)]
            self._try(Kind.RECORD, address, partial(self._mark_evaluation_record, keys, data))

    def _mark_evaluation_record(self, keys: list[str], data: bytes) -> None:
        value = canonical.decode(data)
        for key in keys:
            self._mark_evaluation(key, value)

    def _mark_evaluation(self, key: str, value: Value) -> None:
        for commit in evaluation_commits(key, value):
            self._commits.setdefault(commit, f"evaluation {key[-36:]}")

    def _try(self, kind: Kind, address: Address, action: Callable[[], object]) -> None:  # noqa: ARG002
        """Run ``action``, which takes in one blob."""
        action()

    # Reading.

    def _read(
        self, kind: Kind, ids: Sequence[Address], owners: Mapping[AnyAddress, str]
    ) -> Iterator[tuple[Address, bytes]]:
        try:
            for address, data in read_blobs(self._repo, kind, ids):
                self._monitor.advance(files=1, bytes_=len(data))
                yield address, data
        except (NotFoundError, CorruptError) as error:
            lost = error.details.get("address")
            owner = next((owners[a] for a in owners if a.hex() == lost), None)
            if not owner:
                raise
            raise type(error)(
                f"{owner} needs what can't be read: {error}", **error.details
            ) from error


def _take(data: bytes, owner: str, parents: dict[CommitId, str], trees: dict[PageId, None]) -> None:
    commit = decode(data)
    trees[commit.tree] = None
    for parent in commit.parents:
        parents.setdefault(parent, owner)
