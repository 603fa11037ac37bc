"""The one rule between paths: there is no file where another file has a folder.

Both a batch as large as the tree and one path into a million cost little: the questions are asked
in key order with one cursor, which reads only the leaf pages they fall into.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator, Sequence

from ahstore.objects.page import Page
from ahstore.objects.tree import Tree
from ahstore.objects.walk import LevelCursor


def find_overlap(
    tree: Tree, puts: Sequence[str], deleted: Container[str]
) -> tuple[str, str] | None:
    """Return a file and a path beneath it that would both be there after a change, or None."""
    return next(find_overlaps(tree, puts, deleted), None)


def find_overlaps(
    tree: Tree, puts: Sequence[str], deleted: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield each file with a path beneath it, if both would be there after a change.

    Of a file that many paths are beneath, some of these pairs.

    Args:
        tree: files as they are, free of overlaps.
        puts: paths that are to be there afterwards, ascending.
        deleted: paths that are not to be there afterwards (those in ``puts`` are all the same).
    """
    folders = _folders_of(puts)
    yield from _files_among(puts, folders)
    if tree.count():
        yield from _files_above(tree.cursor(), folders, deleted)
        yield from _files_below(tree.cursor(), puts, deleted)


def find_overlap_among(paths: Sequence[str]) -> tuple[str, str] | None:
    """Return a file and a path beneath it that are both among ``paths``, or None."""
    return next(_files_among(paths, _folders_of(paths)), None)


def _files_among(paths: Sequence[str], folders: dict[str, str]) -> Iterator[tuple[str, str]]:
    return ((path, folders[path]) for path in paths if path in folders)


def _folders_of(paths: Sequence[str]) -> dict[str, str]:
    """Return every folder above the paths, each with one of the paths in it."""
    folders: dict[str, str] = {}
    for path in paths:
        end = path.rfind("/")
        while end > 0 and path[:end] not in folders:
            folders[path[:end]] = path
            end = path.rfind("/", 0, end)
    return folders


def _files_above(
    cursor: LevelCursor, folders: dict[str, str], deleted: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield the files of the tree where the puts need a folder."""
    for folder in sorted(folders):
        cursor.seek(folder)
        keys = cursor.page.keys
        at = bisect_left(keys, folder)
        if at < len(keys) and keys[at] == folder and folder not in deleted:
            yield folder, folders[folder]


def _files_below(
    cursor: LevelCursor, puts: Sequence[str], deleted: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield files of the tree beneath a path where the puts need a file."""
    for path in sorted(path + "/" for path in puts):
        cursor.seek(path)
        for key in _keys_from(cursor, path):
            if not key.startswith(path):
                break
            if key not in deleted:
                yield path[:-1], key


def _keys_from(cursor: LevelCursor, start: str) -> Iterator[str]:
    page: Page = cursor.page
    yield from page.keys[bisect_left(page.keys, start) :]
    while cursor.advance():
        yield from cursor.page.keys
