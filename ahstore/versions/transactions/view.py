"""A tree with changes laid over it: what a transaction sees, and that its paths fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ahstore.errors import InvalidInputError
from ahstore.names import check_object_path
from ahstore.objects.file import PATH, Row
from ahstore.objects.tree import Tree
from ahstore.versions.adding.changes import Deletion
from ahstore.versions.adding.changeset import ChangeSet


class View:
    """The rows of ``base`` as the changes so far have left them."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._changes: dict[str, Row | None] = {}
        self._folders: Counter[str] = Counter()  # of the rows put, how many are below each

    def find(self, path: str) -> Row | None:
        """Return the row of ``path``, or None."""
        if path in self._changes:
            return self._changes[path]
        return self._base.find(path)

    def scan(self, *, prefix: str = "") -> Iterator[Row]:
        """Yield the rows whose paths start with ``prefix``, by path; no changes meanwhile."""
        changed = sorted(path for path in self._changes if path.startswith(prefix))
        at = 0
        for row in self._base.scan(prefix=prefix):
            while at < len(changed) and changed[at] < row[PATH]:
                yield from self._changed(changed[at])
                at += 1
            if at < len(changed) and changed[at] == row[PATH]:
                yield from self._changed(changed[at])
                at += 1
            else:
                yield row
        for path in changed[at:]:
            yield from self._changed(path)

    def put(self, row: Row) -> None:
        """Let ``row`` be at its path.

        Raises:
            InvalidInputError: the path is none of an object's, or there is a folder at it, or
                a file where it needs a folder.
        """
        path = row[PATH]
        self.check_place(path)
        if self._changes.get(path) is None:
            self._folders.update(_folders_of(path))
        self._changes[path] = row

    def check_place(self, path: str) -> None:
        """Refuse a path at which no object can be put; see `put`."""
        check_object_path(path)
        for folder in _folders_of(path):
            if self._folders[folder] > 0:
                break  # another is below it, so it and all above are folders
            if self.find(folder) is not None:
                raise InvalidInputError(f"{path!r} needs a folder where {folder!r} is an object")
        if self._folders[path] > 0 or next(self._remaining(path + "/"), None) is not None:
            raise InvalidInputError(f"{path!r} is a folder, and can't be an object too")

    def delete(self, path: str) -> None:
        """Let nothing be at ``path``."""
        if self._changes.get(path) is not None:
            self._folders.subtract(_folders_of(path))
        self._changes[path] = None

    def changes(self) -> ChangeSet:
        """Return what was put and deleted, to be applied to whatever head there is."""
        puts = [row for _, row in sorted(self._changes.items()) if row is not None]
        gone = [Deletion(path, False) for path, row in self._changes.items() if row is None]
        return ChangeSet(puts, gone)

    def _changed(self, path: str) -> Iterator[Row]:
        row = self._changes[path]
        if row is not None:
            yield row

    def _remaining(self, prefix: str) -> Iterator[str]:
        """Yield the paths of the base that start so and were not deleted."""
        for row in self._base.scan(prefix=prefix):
            if self._changes.get(row[PATH], row) is not None:
                yield row[PATH]


def _folders_of(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)
