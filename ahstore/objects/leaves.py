"""Which leaf pages of a tree hold some keys, and whether another tree has these very pages.

A leaf's id is the hash of its rows: a tree that has the leaf has all of its rows. Only the pages
one level up are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ahstore.ids import PageId
from ahstore.objects.page import KEY, PAGE_ID, InnerRow
from ahstore.objects.tree import Tree


class Leaf(NamedTuple):
    """A leaf page: the last of its keys, by which it is found, and its id."""

    last: str
    page: PageId


class Leaves:
    """The leaves of one tree, looked up by key; quickest when keys ascend."""

    def __init__(self, tree: Tree) -> None:
        self._root = tree.root
        self._cursor = tree.cursor(min(tree.level(), 1))

    def covering(self, keys: Sequence[str]) -> list[Leaf]:
        """Return the leaves in which ``keys``, ascending, stand or would stand."""
        found: list[Leaf] = []
        at = 0
        while at < len(keys):
            row = self._find(keys[at])
            if row is None:
                break
            found.append(Leaf(row[KEY], PageId(row[PAGE_ID])))
            at = bisect_left(keys, row[KEY], at)
            at += at < len(keys) and keys[at] == row[KEY]
        return found

    def has(self, leaves: Iterable[Leaf]) -> bool:
        """Say whether all of these are leaves of this tree."""
        for last, page in leaves:
            row = self._find(last)
            if row is None or row[KEY] != last or row[PAGE_ID] != page:
                return False
        return True

    def _find(self, key: str) -> InnerRow | None:
        """Return the row of the leaf where ``key`` would stand; None if it is after all others."""
        cursor = self._cursor
        cursor.seek(key)
        page = cursor.page
        if page.level == 0:
            row = page.as_row(self._root) if page.rows else None
            return row if row is not None and key <= row[KEY] else None
        at = bisect_left(page.keys, key)
        return page.rows[at] if at < len(page.rows) else None
