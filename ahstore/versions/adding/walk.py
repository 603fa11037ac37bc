"""Walking the user's folders: which files go where, streamed in the order of a tree.

Symlinks inside an added folder are followed only to regular files inside it; any other is refused,
as are sockets, pipes and devices. An argument that is itself a symlink is followed: the user named it.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ahstore.errors import InvalidInputError, ObjectNotFoundError, StorageError
from ahstore.names import are_plain_paths, check_object_path
from ahstore.versions.adding.changes import Addition

PATHS_AT_ONCE = 1024


class LocalFile(NamedTuple):
    """A file to add: where it goes, where it is, and its stat when it was walked."""

    path: str
    local: str
    stat: os.stat_result


def walk(additions: Iterable[Addition]) -> list[LocalFile]:
    """Return every file of the additions, sorted by path.

    Raises:
        ObjectNotFoundError: something vanished meanwhile.
        InvalidInputError: a path or kind of file that a commit can't hold, or two for one path.
    """
    found: list[LocalFile] = []
    for addition in additions:
        found.extend(_walk_one(addition))
    found.sort(key=lambda file: file.path)
    _check_paths(found)
    for one, two in itertools.pairwise(found):
        if one.path == two.path and one.local != two.local:
            raise InvalidInputError(
                f"{one.local} and {two.local} would both become {one.path}", path=one.path
            )
    return _without_repeats(found)


def _check_paths(files: list[LocalFile]) -> None:
    """Refuse a path that a commit can't hold; plain ones are told in bulk."""
    for at in range(0, len(files), PATHS_AT_ONCE):
        some = files[at : at + PATHS_AT_ONCE]
        if are_plain_paths([file.path for file in some]):
            continue
        for file in some:
            try:
                check_object_path(file.path)
            except InvalidInputError as error:
                shown = file.local.encode("utf-8", "backslashreplace").decode()
                raise InvalidInputError(f"can't add {shown!r}: {error}", path=shown) from None


def _without_repeats(files: list[LocalFile]) -> list[LocalFile]:
    return [f for i, f in enumerate(files) if i == 0 or f.path != files[i - 1].path]


def _walk_one(addition: Addition) -> Iterator[LocalFile]:
    try:
        if addition.is_folder:
            root = os.path.realpath(addition.local)
            yield from _walk_folder(root, addition.local, addition.path)
        else:
            real = os.path.realpath(addition.local)
            yield _regular(addition.path, real, os.stat(real))
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"no such file: {error.filename}", path=error.filename) from None
    except OSError as error:
        raise StorageError(
            f"can't read {error.filename}: {error.strerror}", path=error.filename
        ) from error


def _walk_folder(root: str, folder: str, path: str) -> Iterator[LocalFile]:
    # An explicit stack: a hostile depth of folders must not exhaust Python's.
    pending = [(folder, path)]
    while pending:
        folder, path = pending.pop()
        prefix = f"{path}/" if path else ""
        with os.scandir(folder) as entries:
            for entry in entries:
                target = prefix + entry.name
                if entry.is_file(follow_symlinks=False):
                    yield LocalFile(target, entry.path, entry.stat(follow_symlinks=False))
                elif entry.is_symlink():
                    yield _linked(root, entry, target)
                elif entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, target))
                else:
                    yield _regular(target, entry.path, entry.stat(follow_symlinks=False))


def _linked(root: str, entry: os.DirEntry[str], target: str) -> LocalFile:
    real = os.path.realpath(entry.path)
    if not real.startswith(root + os.sep):
        raise InvalidInputError(
            f"{entry.path} is a symbolic link out of the folder that is added: "
            "add what it points to, or leave it out",
            path=entry.path,
        )
    if not os.path.isfile(real):
        raise InvalidInputError(
            f"{entry.path} is a symbolic link to something that is not a file: leave it out",
            path=entry.path,
        )
    return _regular(target, real, os.stat(real))


def _regular(path: str, local: str, found: os.stat_result) -> LocalFile:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInputError(f"{local} is not a regular file or folder", path=local)
    return LocalFile(path, local, found)
