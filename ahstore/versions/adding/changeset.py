"""What is asked for against what a tree holds: the edits of the tree and the changes people see."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from ahstore.errors import InvalidInputError
from ahstore.objects.file import PATH, SIZE, Row, same_content
from ahstore.objects.overlap import find_overlap
from ahstore.objects.tree import Tree
from ahstore.versions.adding.changes import Change, Deletion

Edits = list[tuple[str, Row | None]]

# Above this share of the tree's rows one scan is cheaper than a descent for each path.
SCAN_SHARE = 8


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Rows to put, sorted by path, after these deletions."""

    rows: Sequence[Row]
    deletions: Sequence[Deletion]

    @staticmethod
    def exactly(rows: Sequence[Row], gone: Sequence[str]) -> ChangeSet:
        """Return the set that puts ``rows`` and deletes the paths ``gone``."""
        return ChangeSet(
            sorted(rows, key=lambda row: str(row[PATH])), [Deletion(p, False) for p in gone]
        )


def rows_at(tree: Tree, paths: Sequence[str]) -> dict[str, Row]:
    """Return the rows that the tree has at these paths, by path."""
    if len(paths) * SCAN_SHARE > tree.count():
        wanted = set(paths)
        return {row[PATH]: row for row in tree.scan() if row[PATH] in wanted}
    found = ((path, tree.find(path)) for path in paths)
    return {path: row for path, row in found if row is not None}


def compare(tree: Tree, wanted: ChangeSet) -> tuple[Edits, list[Change]]:
    """Return the edits that bring ``tree`` to what is wanted, sorted, and what they mean.

    A row that differs only in mtime is no change.

    Raises:
        InvalidInputError: a file would stand where a folder is, or the other way round.
    """
    old = rows_at(tree, [row[PATH] for row in wanted.rows])
    gone = _deleted(tree, wanted.deletions)
    edits: Edits = []
    changes: list[Change] = []
    for row in wanted.rows:
        path = row[PATH]
        before = old.get(path)
        gone.pop(path, None)
        if before is row or (before is not None and same_content(before, row)):
            continue
        edits.append((path, row))
        if before is None:
            changes.append(Change("added", path, row[SIZE], None))
        else:
            changes.append(Change("modified", path, row[SIZE], before[SIZE]))
    # What was there before can overlap with nothing: only new paths have to be looked at.
    check_overlap(tree, [change.path for change in changes if change.kind == "added"], gone)
    for path, before in gone.items():
        edits.append((path, None))
        changes.append(Change("deleted", path, None, before[SIZE]))
    edits.sort(key=lambda edit: edit[0])
    changes.sort(key=lambda change: change.path)
    return edits, changes


def _deleted(tree: Tree, deletions: Sequence[Deletion]) -> dict[str, Row]:
    gone: dict[str, Row] = {}
    single = [d.path for d in deletions if not d.is_prefix]
    gone.update(rows_at(tree, single) if single else {})
    for deletion in deletions:
        if deletion.is_prefix:
            gone.update((row[PATH], row) for row in tree.scan(prefix=deletion.path))
    return gone


def check_overlap(tree: Tree, puts: Sequence[str], gone: Container[str]) -> None:
    """Refuse a file where another has a folder; ``puts`` sorted, ``gone`` are deleted paths.

    Raises:
        InvalidInputError: names both paths.
    """
    refuse_overlap(find_overlap(tree, puts, gone))


def refuse_overlap(pair: tuple[str, str] | None) -> None:
    """Raise for a file and a path below it, if there is such a pair.

    Raises:
        InvalidInputError: names both paths.
    """
    if pair is not None:
        file, below = pair
        raise InvalidInputError(
            f"{file!r} can't be a file: {below!r} needs a folder of that name", path=file
        )
