"""Files that have no name yet, and the three ways to give them one that must be free.

Best is ``O_TMPFILE`` and ``link``: nothing is left when the process dies. A file system without
it gets a named temporary file and ``link``, one without hard links ``RENAME_NOREPLACE``. Which of
them works is tried out, not guessed; where none does, the store can't be written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable

from ahstore.errors import UnsupportedError

WRITE_ONCE_MODE = 0o444
_RENAME_NOREPLACE = 1


class Draft(ABC):
    """An open file without a name in the store. ``fd`` is its descriptor, to write and sync."""

    fd: int

    @abstractmethod
    def publish(self, folder_fd: int, name: str) -> None:
        """Give the file its name in the folder.

        Raises:
            FileExistsError: the name is taken (by this very file, if ``landed`` says so).
            OSError: something else went wrong.
        """

    @abstractmethod
    def landed(self) -> bool:
        """Tell, after ``FileExistsError``, whether it was this file after all (NFS does that)."""

    def discard(self) -> None:
        """Close the file and leave nothing behind that has no name in the store."""
        os.close(self.fd)


def open_spare(spare_folder: str, mode: int) -> tuple[str, int]:
    """Return path and descriptor of a new file in the folder of temporary files.

    The folder is made if need be, and the one above it, but not the store's.
    """
    path = os.path.join(spare_folder, secrets.token_hex(16))
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return path, os.open(path, flags, mode)
    except FileNotFoundError:
        make_private(spare_folder)
        return path, os.open(path, flags, mode)


def make_private(folder: str) -> None:
    """Make the folder ``.local/…`` of a store, but not the store's own."""
    for path in (os.path.dirname(folder), folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)


class AnonymousDraft(Draft):
    """A file of ``O_TMPFILE``, named by ``link``."""

    def __init__(self, folder_fd: int) -> None:
        self.fd = os.open(
            ".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, WRITE_ONCE_MODE, dir_fd=folder_fd
        )

    def publish(self, folder_fd: int, name: str) -> None:
        """Link the descriptor to its name."""
        # With dst_dir_fd Python calls linkat with AT_SYMLINK_FOLLOW, as the link in /proc needs.
        os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=folder_fd, follow_symlinks=True)

    def landed(self) -> bool:
        """An anonymous file has no link before it gets its name."""
        return os.fstat(self.fd).st_nlink > 0


class LinkedDraft(Draft):
    """A temporary file with a name, given its own by ``link``."""

    def __init__(self, spare_folder: str) -> None:
        self._path, self.fd = open_spare(spare_folder, WRITE_ONCE_MODE)

    def publish(self, folder_fd: int, name: str) -> None:
        """Link the temporary name to the final one."""
        os.link(self._path, name, dst_dir_fd=folder_fd)

    def landed(self) -> bool:
        """A file that landed has two names."""
        return os.fstat(self.fd).st_nlink > 1

    def discard(self) -> None:
        """Remove the temporary name too."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        super().discard()


class RenamedDraft(LinkedDraft):
    """A temporary file with a name, given its own by ``renameat2(RENAME_NOREPLACE)``."""

    def publish(self, folder_fd: int, name: str) -> None:
        """Rename, refusing to overwrite."""
        rename_without_replacing(self._path, folder_fd, name)

    def landed(self) -> bool:
        """A file that landed has lost its temporary name."""
        return not os.path.exists(self._path)


def rename_without_replacing(source: str, folder_fd: int, name: str) -> None:
    """Rename the file ``source`` to a name in a folder unless that is taken.

    Raises:
        FileExistsError: it is taken.
        OSError: the file system can't do it, or failed.
    """
    import ctypes  # only file systems without hard links need it

    libc = ctypes.CDLL(None, use_errno=True)
    at_cwd = -100
    failed = libc.renameat2(
        at_cwd, os.fsencode(source), folder_fd, os.fsencode(name), _RENAME_NOREPLACE
    )
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), source)


DraftMaker = Callable[[int], Draft]


def draft_makers(spare_folder: str) -> list[DraftMaker]:
    """Return the three ways to start a draft, best first; each takes the folder's descriptor."""
    return [
        AnonymousDraft,
        lambda _folder_fd: LinkedDraft(spare_folder),
        lambda _folder_fd: RenamedDraft(spare_folder),
    ]


def probe(spare_folder: str, makers: list[DraftMaker]) -> DraftMaker:
    """Return the first of ``makers`` that works in the file system of ``spare_folder``.

    Raises:
        UnsupportedError: none does.
        OSError: the disk is full, read-only or the like.
    """
    folder_fd = os.open(spare_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for maker in makers:
            if _publishes_once(maker, folder_fd):
                return maker
    finally:
        os.close(folder_fd)
    raise UnsupportedError(
        f"the file system of {spare_folder} can neither link files nor rename them without "
        "overwriting: a store can't be written there",
        path=spare_folder,
    )


_CAN_NOT = frozenset(
    (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EISDIR, errno.ENOENT, errno.ENOSYS)
) | {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EBADF}


def _publishes_once(maker: DraftMaker, folder_fd: int) -> bool:
    """Tell whether a name is given, and then refused to another file."""
    name = secrets.token_hex(16)
    try:
        _publish_empty(maker, folder_fd, name)
        try:
            _publish_empty(maker, folder_fd, name)
        except FileExistsError:
            return True
        return False
    except OSError as error:
        if error.errno in _CAN_NOT:
            return False
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder_fd)


def _publish_empty(maker: DraftMaker, folder_fd: int, name: str) -> None:
    draft = maker(folder_fd)
    try:
        draft.publish(folder_fd, name)
    finally:
        draft.discard()
