"""Writing into a folder of the user's: never through a symlink, nothing half done under its name.

Everything is opened relative to descriptors (``dir_fd``, ``O_NOFOLLOW``), so that no symlink planted
in the target leads a file elsewhere. A folder that is not there yet is filled under a name of its
own and renamed when all below it is written (docs/decisions/restoring.md); only in folders that
were there does each file take its place by itself (``target_file.py``).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os

from ahstore.errors import InvalidInputError, StorageError, StorageFullError
from ahstore.versions.part_names import draw_part_suffix, part_name

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_CHILD = _OPEN | os.O_NOFOLLOW
READ_ONLY_FOLDER = 0o555


class Folder:
    """A folder that is open to be written to, for as long as somebody holds it.

    Attributes:
        path: for messages.
        fd: its descriptor.
        fresh: nobody else sees it before all is written, so files may be written in place.
    """

    __slots__ = ("_holders", "_name", "_parent", "_stage", "fd", "fresh", "path")

    def __init__(
        self, path: str, fd: int, parent: Folder | None, name: str, *, fresh: bool, stage: str
    ) -> None:
        self.path, self.fd, self.fresh = path, fd, fresh
        self._parent, self._name, self._stage = parent, name, stage
        self._holders = 1
        if parent is not None:
            parent.hold()

    def hold(self) -> None:
        """Keep it open; ``release`` as often."""
        self._holders += 1

    def release(self) -> None:
        """Let go; the last one gives a new folder its name.

        Raises:
            InvalidInputError: something else took the name meanwhile.
            StorageError: the file system refused.
        """
        self._holders -= 1
        if not self._holders:
            self.finish()

    def finish(self) -> None:
        """Give a new folder its name and close it, whoever holds it."""
        fd, self.fd, parent = self.fd, -1, self._parent
        if fd < 0:
            return
        os.close(fd)
        if parent is None:
            return
        try:
            if self._stage:
                _move(parent.fd, self._stage, parent.fd, self._name)
        except OSError as error:
            _remove_tree(os.path.join(parent.path, self._stage))
            raise failed(self.path, error) from error
        finally:
            parent.release()


class TargetFolder:
    """The folder that a commit's objects are written to. Use as a context manager, in one thread.

    Paths must come in order, as a tree gives them: who has left a folder does not come back.
    """

    def __init__(self, path: str, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self.renew_names()
        self._spare = itertools.count(1)
        self._made: list[str] = []
        self._names: list[str] = []
        self._inside_path = ""
        try:
            os.makedirs(path, exist_ok=True)
            # The target itself may be a symlink: the user named it.
            root = Folder(path, os.open(path, _OPEN), None, "", fresh=False, stage="")
        except OSError as error:
            raise failed(path, error) from error
        self._inside = [root]
        self._open: dict[int, Folder] = {}

    def __enter__(self) -> TargetFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._leave(0)
        except Exception:
            if kind is None:
                raise
        finally:
            # After a failure some are held yet: what is whole in them stays, as elsewhere.
            for folder in sorted(self._open.values(), key=lambda f: len(f.path), reverse=True):
                with contextlib.suppress(StorageError, InvalidInputError):
                    folder.finish()
            self._inside[0].finish()
            if self.read_only:
                self._protect()

    def _protect(self) -> None:
        for folder in reversed(self._made):
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(os.path.join(self.path, folder), _OPEN_CHILD)
                try:
                    os.fchmod(fd, READ_ONLY_FOLDER)
                finally:
                    os.close(fd)

    def renew_names(self) -> None:
        """Make spare names differ from those of the process that this one was forked from."""
        self._suffix = draw_part_suffix()

    def spare_name(self) -> str:
        """Return a name that nobody else uses. The real one might be too long with a suffix."""
        return part_name(next(self._spare), self._suffix)

    def enter(self, path: str) -> Folder:
        """Return the folder that an object's path leads to, made if it is not there.

        It is open until the next call; who uses it later holds it.

        Raises:
            InvalidInputError: a symlink or file stands where a folder is needed.
            StorageError: the file system refused.
        """
        parent = path.rpartition("/")[0]
        if parent != self._inside_path:
            names = parent.split("/") if parent else []
            shared = 0
            for entered, wanted in zip(self._names, names, strict=False):
                if entered != wanted:
                    break
                shared += 1
            self._leave(shared)
            try:
                for name in names[shared:]:
                    self._step(name)
            except OSError as error:
                raise failed(os.path.join(self.path, path), error) from error
        return self._inside[-1]

    def _leave(self, keep: int) -> None:
        while len(self._names) > keep:
            self._names.pop()
            self._inside_path = "/".join(self._names)
            self._inside.pop().release()

    def _step(self, name: str) -> None:
        parent = self._inside[-1]
        path = "/".join([*self._names, name])
        folder = self._open_folder(parent, os.path.join(self.path, path), name)
        self._inside.append(folder)
        self._names.append(name)
        self._inside_path = path
        if folder.fresh:
            self._made.append(path)
        # A number is used again once its folder is closed: then the entry is replaced.
        self._open[folder.fd] = folder

    def _open_folder(self, parent: Folder, where: str, name: str) -> Folder:
        if not parent.fresh:
            try:
                fd = os.open(name, _OPEN_CHILD, dir_fd=parent.fd)
                return Folder(where, fd, parent, name, fresh=False, stage="")
            except FileNotFoundError:
                pass
        stage = "" if parent.fresh else self.spare_name()
        # There already: on a disk to which names are one that differ by case.
        with contextlib.suppress(FileExistsError):
            os.mkdir(stage or name, dir_fd=parent.fd)
        fd = os.open(stage or name, _OPEN_CHILD, dir_fd=parent.fd)
        return Folder(where, fd, parent, name, fresh=True, stage=stage)


def _move(source: int, name: str, target: int, new: str) -> None:
    """Rename a new folder; where another process made the same one meanwhile, fill that one."""
    try:
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    with _opened(name, source) as below, _opened(new, target) as there:
        for entry in list(os.scandir(below)):
            if entry.is_dir(follow_symlinks=False):
                _move(below, entry.name, there, entry.name)
            else:
                os.rename(entry.name, entry.name, src_dir_fd=below, dst_dir_fd=there)
    os.rmdir(name, dir_fd=source)


@contextlib.contextmanager
def _opened(name: str, parent: int):  # type: ignore[no-untyped-def]
    fd = os.open(name, _OPEN_CHILD, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _remove_tree(path: str) -> None:
    import shutil  # start-up: only after a failure

    shutil.rmtree(path, ignore_errors=True)


def failed(path: str, error: OSError) -> Exception:
    """Return the typed error for what the file system said about ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"no space left for {path}", path=path)
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return InvalidInputError(
            f"{path}: a link or file stands where a folder is needed", path=path
        )
    if error.errno == errno.EISDIR:
        return InvalidInputError(f"{path}: a folder stands where the file goes", path=path)
    return StorageError(f"can't write {path}: {error.strerror}", path=path)
