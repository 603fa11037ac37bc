"""Writing into a folder of the user's: never through a symlink, each file whole or not at all.

Everything is opened relative to descriptors (``dir_fd``, ``O_NOFOLLOW``), so that no symlink planted
in the target leads a file elsewhere. A file is written beside its place and then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterable

from ahstore.errors import InvalidInputError, StorageError, StorageFullError, UnsupportedError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ_ONLY_FILE, READ_ONLY_FOLDER = 0o444, 0o555


class TargetFolder:
    """The folder that a commit's objects are written to. Use as a context manager.

    Paths must come in order, as a tree gives them: only the folders of the last one stay open.
    """

    def __init__(self, path: str, *, read_only: bool) -> None:
        self.path = path
        self._read_only = read_only
        self._suffix = f".{secrets.token_hex(6)}.ahpart"
        self._folders: list[tuple[str, int]] = []
        self._made: list[str] = []
        self._files = 0
        try:
            os.makedirs(path, exist_ok=True)
            # The target itself may be a symlink: the user named it.
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed(path, error) from error

    def __enter__(self) -> TargetFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._keep_open(0)
        if self._read_only:
            for folder in reversed(self._made):
                os.chmod(os.path.join(self.path, folder), READ_ONLY_FOLDER)
        os.close(self._root)

    def create(self, path: str) -> TargetFile:
        """Open a new file for ``path``; it takes its place when committed.

        Raises:
            InvalidInputError: a symlink or file stands where a folder is needed.
            StorageError: the file system refused.
        """
        *folders, name = path.split("/")
        try:
            parent = self._enter(folders)
            # The real name might be too long with a suffix, so the temporary one is its own.
            self._files += 1
            part = f".{self._files}{self._suffix}"
            fd = os.open(part, _CREATE, 0o666, dir_fd=parent)
        except OSError as error:
            raise _failed(os.path.join(self.path, path), error) from error
        return TargetFile(os.path.join(self.path, path), parent, part, name, fd, self._read_only)

    def _enter(self, folders: list[str]) -> int:
        shared = 0
        for (name, _), wanted in zip(self._folders, folders, strict=False):
            if name != wanted:
                break
            shared += 1
        self._keep_open(shared)
        for depth in range(shared, len(folders)):
            parent = self._folders[-1][1] if self._folders else self._root
            try:
                os.mkdir(folders[depth], dir_fd=parent)
                self._made.append("/".join(folders[: depth + 1]))
            except FileExistsError:
                pass
            self._folders.append(
                (folders[depth], os.open(folders[depth], _DIRECTORY, dir_fd=parent))
            )
        return self._folders[-1][1] if self._folders else self._root

    def _keep_open(self, count: int) -> None:
        while len(self._folders) > count:
            os.close(self._folders.pop()[1])


class TargetFile:
    """A file on its way: ``write`` its bytes, then ``commit`` or ``abort``."""

    __slots__ = ("_fd", "_name", "_parent", "_part", "_path", "_read_only")

    def __init__(
        self, path: str, parent: int, part: str, name: str, fd: int, read_only: bool
    ) -> None:
        self._path, self._parent, self._part, self._name = path, parent, part, name
        self._fd, self._read_only = fd, read_only

    def write(self, data: bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _failed(self._path, error) from error

    def commit(self, *, mtime_ns: int, executable: bool) -> None:
        """Set what a commit knows of the file and put it in its place, over a former file."""
        try:
            self._set_mode(executable)
            os.utime(self._fd, ns=(mtime_ns, mtime_ns))
            os.close(self._fd)
            self._fd = -1
            os.rename(self._part, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except OSError as error:
            raise _failed(self._path, error) from error

    def _set_mode(self, executable: bool) -> None:
        if self._read_only:
            os.fchmod(self._fd, READ_ONLY_FILE | (0o111 if executable else 0))
        elif executable:
            mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
            os.fchmod(self._fd, mode | (mode & 0o444) >> 2)

    def abort(self) -> None:
        """Remove what was written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part, dir_fd=self._parent)


def _failed(path: str, error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"no space left for {path}", path=path)
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return InvalidInputError(
            f"{path}: a link or file stands where a folder is needed", path=path
        )
    if error.errno == errno.EISDIR:
        return InvalidInputError(f"{path}: a folder stands where the file goes", path=path)
    return StorageError(f"can't write {path}: {error.strerror}", path=path)


def refuse_collisions(folder: str, paths: Iterable[str]) -> None:
    """Refuse paths that this target can't hold side by side: equal but for case or normal form.

    Raises:
        UnsupportedError: names two of them.
    """
    seen: dict[str, str] = {}
    for path in paths:
        folded = unicodedata.normalize("NFC", path).casefold()
        other = seen.setdefault(folded, path)
        if other != path and _same_place(folder, other, path):
            raise UnsupportedError(
                f"{other!r} and {path!r} would be one file in {folder}: "
                "download to a place that tells their names apart",
                path=path,
            )


def _same_place(folder: str, one: str, two: str) -> bool:
    """Try, with harmless names, whether the target folds case and normal forms."""
    os.makedirs(folder, exist_ok=True)
    stem = f".ahprobe{secrets.token_hex(4)}"
    pairs = [("a", "A")] if one.casefold() == two.casefold() else [("\u00e9", "e\u0301")]
    for a, b in pairs:
        first = os.path.join(folder, stem + a)
        with open(first, "xb"):
            pass
        try:
            if os.path.lexists(os.path.join(folder, stem + b)):
                return True
        finally:
            os.unlink(first)
    return False
