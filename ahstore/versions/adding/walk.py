"""Walking the user's folders: which files go where, and their stamps, a folder at a time.

Symlinks inside an added folder are followed only to regular files inside it; any other is refused,
as are sockets, pipes and devices. An argument that is itself a symlink is followed: the user named it.
What is done to each file is one system call and as little as Python can do; with many files a
second process does half of that.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple

from ahstore.errors import InvalidInputError, ObjectNotFoundError, StorageError
from ahstore.index.stamps import STAMP_BYTES, Stamp, pack, stamp, unpack
from ahstore.names import check_object_path
from ahstore.versions.adding.changes import Addition
from ahstore.versions.crew import processes, run_shares
from ahstore.versions.part_names import SUFFIX as PART_SUFFIX
from ahstore.versions.part_names import is_part_name

SHARE_FROM_FILES = 8192
_PLAIN_LENGTH = 63
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LocalFile(NamedTuple):
    """A file to add: where it goes, where it is, and its stamp when it was walked."""

    path: str
    local: str
    stat: Stamp


@dataclass(slots=True)
class LocalFolder:
    """The regular files that lie directly in one folder.

    Attributes:
        local: where it is.
        prefix: what its files' paths start with: "", or a path and ``/``.
        names: of the files, as the system lists them.
        stamps: theirs, packed.
    """

    local: str
    prefix: str
    names: list[str]
    stamps: bytes = b""

    def file(self, at: int) -> LocalFile:
        """Return the file at a place in ``names``."""
        name = self.names[at]
        return LocalFile(
            self.prefix + name, os.path.join(self.local, name), unpack(self.stamps, at)
        )


@dataclass(slots=True)
class Walked:
    """All files of some additions; no two have the same path.

    Attributes:
        folders: those with files, by prefix.
        singles: files that were named, or that links inside a folder lead to, by path.
    """

    folders: list[LocalFolder] = field(default_factory=list)
    singles: list[LocalFile] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(folder.names) for folder in self.folders) + len(self.singles)

    def paths(self) -> list[str]:
        """Return the paths of all files, sorted."""
        found = [file.path for file in self.singles]
        for folder in self.folders:
            found += [folder.prefix + name for name in folder.names]
        return sorted(found)


def walk(
    additions: Iterable[Addition], *, left_out: Callable[[str], None] = lambda _: None
) -> Walked:
    """Return every file of the additions.

    What a download that was killed has left in an added folder is no file of the user's, and is
    left out: ``left_out`` is told where it is. Who names it himself gets it.

    Raises:
        ObjectNotFoundError: something vanished meanwhile.
        InvalidInputError: a path or kind of file that a commit can't hold, or two for one path.
    """
    found = Walked()
    try:
        for addition in additions:
            _walk_one(addition, found, left_out)
        found.folders.sort(key=lambda folder: folder.prefix)
        found.singles.sort(key=lambda file: file.path)
        _check_paths(found)
        _without_repeats(found)
        _stamp_all(found.folders)
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"no such file: {error.filename}", path=error.filename) from None
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"can't read {error.filename}: {error.strerror}", path=error.filename
        ) from error
    return found


def _walk_one(addition: Addition, found: Walked, left_out: Callable[[str], None]) -> None:
    if addition.is_folder:
        root = os.path.realpath(addition.local)
        for folder in _walk_folder(root, addition.local, addition.path, found.singles, left_out):
            found.folders.append(folder)
        return
    local, there = addition.local, os.lstat(addition.local)
    if stat.S_ISLNK(there.st_mode):
        local = os.path.realpath(local)
        there = os.stat(local)
    found.singles.append(_regular(addition.path, local, there))


def _walk_folder(
    root: str,
    folder: str,
    path: str,
    singles: list[LocalFile],
    left_out: Callable[[str], None],
) -> Iterator[LocalFolder]:
    # An explicit stack: a hostile depth of folders must not exhaust Python's.
    pending = [(folder, path)]
    while pending:
        folder, path = pending.pop()
        prefix = f"{path}/" if path else ""
        names = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
                elif entry.is_symlink():
                    singles.append(_linked(root, entry, prefix + entry.name))
                elif entry.is_dir(follow_symlinks=False):
                    if is_part_name(entry.name):
                        left_out(entry.path)
                    else:
                        pending.append((entry.path, prefix + entry.name))
                else:
                    raise _not_regular(entry.path)
        if PART_SUFFIX in "/".join(names):
            for name in filter(is_part_name, names):
                left_out(os.path.join(folder, name))
            names = [name for name in names if not is_part_name(name)]
        if names:
            yield LocalFolder(folder, prefix, names)


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
        raise _not_regular(local)
    return LocalFile(path, local, stamp(found))


def _not_regular(local: str) -> InvalidInputError:
    return InvalidInputError(f"{local} is not a regular file or folder", path=local)


# Paths.


def _check_paths(found: Walked) -> None:
    """Refuse a path that a commit can't hold; plain names are told in bulk."""
    for file in found.singles:
        _check_path(file.path, file.local)
    for folder in found.folders:
        names = folder.names
        longest = max(names, key=len)
        joined = "".join(names)
        # No system lists empty names, dots alone or slashes.
        plain = joined.isascii() and joined.isprintable() and "\\" not in joined
        for name in (longest,) if plain and len(longest) <= _PLAIN_LENGTH else names:
            _check_path(folder.prefix + name, os.path.join(folder.local, name))


def _check_path(path: str, local: str) -> None:
    try:
        check_object_path(path)
    except InvalidInputError as error:
        shown = local.encode("utf-8", "backslashreplace").decode()
        raise InvalidInputError(f"can't add {shown!r}: {error}", path=shown) from None


def _without_repeats(found: Walked) -> None:
    """Keep one of what was added twice; refuse two files for one path.

    Only where two groups of files have one prefix can two of them have one path.
    """
    prefixes = [folder.prefix for folder in found.folders]
    alone = len({*prefixes}) == len(prefixes)
    if alone and not found.singles:
        return
    known: dict[str, str] = {}
    shared = {p for p, q in pairwise(prefixes) if p == q}
    shared.update(file.path[: file.path.rfind("/") + 1] for file in found.singles)
    for folder in found.folders:
        if folder.prefix in shared:
            folder.names = [
                name
                for name in folder.names
                if _is_new(known, folder.prefix + name, os.path.join(folder.local, name))
            ]
    found.folders = [folder for folder in found.folders if folder.names]
    found.singles = [file for file in found.singles if _is_new(known, file.path, file.local)]


def _is_new(known: dict[str, str], path: str, local: str) -> bool:
    other = known.setdefault(path, local)
    if other is local:
        return True
    if os.path.realpath(other) != os.path.realpath(local):
        raise InvalidInputError(f"{other} and {local} would both become {path}", path=path)
    return False


# Stamps.


def _stamp_all(folders: Sequence[LocalFolder]) -> None:
    ends = [*accumulate(len(folder.names) for folder in folders)]
    if len(folders) < 2 or ends[-1] < SHARE_FROM_FILES or processes() == 1:
        for folder in folders:
            folder.stamps = _stamps(folder)
        return
    half = next(at for at, end in enumerate(ends) if 2 * end >= ends[-1])
    half = min(half + 1, len(folders) - 1)
    first, rest = folders[:half], folders[half:]
    with closing(mmap.mmap(-1, (ends[-1] - ends[half - 1]) * STAMP_BYTES)) as memory:

        def stamp_first() -> None:
            for folder in first:
                folder.stamps = _stamps(folder)

        def stamp_rest() -> None:
            memory.seek(0)
            for folder in rest:
                memory.write(_stamps(folder))

        for share in run_shares([stamp_first, stamp_rest]):
            share()
        memory.seek(0)
        for folder in rest:
            folder.stamps = memory.read(len(folder.names) * STAMP_BYTES)


def _stamps(folder: LocalFolder) -> bytes:
    fd = os.open(folder.local, _FOLDER_FLAGS)
    try:
        look = partial(os.stat, dir_fd=fd, follow_symlinks=False)
        return pack(map(look, folder.names))
    except FileNotFoundError as error:
        path = os.path.join(folder.local, os.fsdecode(error.filename or ""))
        raise FileNotFoundError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
