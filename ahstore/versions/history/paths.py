"""Parts of a tree that a path names: an object, what is below a folder, or both.

And whether two trees differ there, told from the pages that differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ahstore.ids import PageId
from ahstore.names import check_object_path
from ahstore.objects.diff import diff
from ahstore.objects.file import Row, check_rows, same_content
from ahstore.objects.tree import Tree, after_prefix
from ahstore.versions.repository import Repository

Pair = tuple[Row | None, Row | None]


@dataclass(frozen=True, slots=True)
class PathRange:
    """The paths from ``low`` on and before ``high``; None: there is no such bound."""

    low: str
    high: str | None

    @property
    def is_object(self) -> bool:
        """Whether only one path lies in it."""
        return self.high == self.low + "\0"

    def rows(self, tree: Tree) -> Iterator[Row]:
        """Yield the rows of a tree that lie in it, in order."""
        if self.is_object:
            row = tree.find(self.low)
            yield from () if row is None else (row,)
        else:
            yield from tree.scan(prefix=self.low)

    def count(self, tree: Tree) -> int:
        """Return how many rows of a tree lie in it, from a few pages."""
        return sum(1 for _ in self.rows(tree)) if self.is_object else tree.count_under(self.low)

    def holds(self, tree: Tree) -> bool:
        """Say whether any row of a tree lies in it."""
        return next(self.rows(tree), None) is not None

    def __contains__(self, path: str) -> bool:
        return self.low <= path and (self.high is None or path < self.high)


ALL = PathRange("", None)


def path_ranges(path: str) -> tuple[PathRange, ...]:
    """Return what ``path`` names: ``a/b`` the object and all below, ``a/b/`` all below, "" all.

    Raises:
        InvalidInputError: it can be neither an object's path nor a folder's.
    """
    if not path:
        return (ALL,)
    check_object_path(path.removesuffix("/"))
    below = PathRange(path.removesuffix("/") + "/", after_prefix(path.removesuffix("/") + "/"))
    return (below,) if path.endswith("/") else (PathRange(path, path + "\0"), below)


def changed_rows(
    repo: Repository, old: PageId, new: PageId, ranges: Iterable[PathRange] = (ALL,)
) -> Iterator[Pair]:
    """Yield the rows by which two trees differ in these ranges; a differing mtime is nothing."""
    for each in ranges:
        for before, after in diff(
            repo,
            old,
            repo,
            new,
            low=each.low,
            high=each.high,
            cache=repo.page_cache,
            check=check_rows,
        ):
            if before is None or after is None or not same_content(before, after):
                yield before, after


def differ(repo: Repository, old: PageId, new: PageId, ranges: Sequence[PathRange]) -> bool:
    """Say whether two trees differ in one of these ranges; only pages that differ are read."""
    return old != new and next(changed_rows(repo, old, new, ranges), None) is not None
