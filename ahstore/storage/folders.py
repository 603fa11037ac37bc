"""The folders of a local store: opened, made, and durable before anything in them counts.

A file is not safe while a folder above it may vanish in a power loss. So the first durable file
that this process puts in a folder syncs every folder above, whoever made them: another process
may have made one and died before its own sync.
"""

from __future__ import annotations

import os

from ahstore.errors import StorageError

_REMEMBERED_FOLDERS = 65_536
_TRIES = 16


class Folders:
    """Opens the folders of the store at ``root`` and remembers which are known to be durable."""

    def __init__(self, root: str) -> None:
        self._root = root
        # By inode: a folder that was removed and made again has to be synced again.
        self._durable: dict[str, int] = {}

    def open(self, folder: str, *, make: bool) -> int:
        """Return a descriptor of a folder of keys (``"a/b/"``), made first if need be.

        Raises:
            FileNotFoundError: it is not there and ``make`` is not asked for.
            OSError: it can't be made or opened.
        """
        path = self.path(folder)
        for _ in range(_TRIES):
            try:
                return _open(path)
            except FileNotFoundError:
                if not make:
                    raise
            self._make(path)  # and again if someone removes it at once, as ended leases are
        return _open(path)

    def path(self, folder: str) -> str:
        """Return the path of a folder of keys."""
        return f"{self._root}/{folder}"[:-1] if folder else self._root

    def _make(self, path: str) -> None:
        try:
            os.mkdir(path)
        except FileExistsError:
            return
        except FileNotFoundError:
            if path == self._root:
                raise
            parent = os.path.dirname(path)
            if parent == self._root and not os.path.isdir(parent):
                # A store that was removed must not come back as an empty one.
                raise StorageError(f"the store's folder {parent} is gone", path=parent) from None
            self._make(parent)
            self._make(path)

    def make_durable(self, folder: str, fd: int) -> None:
        """Sync what leads to the open folder: the entries in all folders above it.

        Raises:
            OSError: a sync failed.
        """
        synced: dict[str, int] = {}
        inode = os.fstat(fd).st_ino
        # Up to the first folder whose own way up is known to be durable.
        while folder and self._durable.get(folder) != inode:
            synced[folder] = inode
            folder = folder[: folder.rfind("/", 0, -1) + 1]
            inode = sync_folder(self.path(folder))
        if len(self._durable) >= _REMEMBERED_FOLDERS:
            self._durable.clear()
        self._durable.update(synced)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def sync_folder(path: str) -> int:
    """Make the entries of the folder ``path`` durable; return its inode."""
    fd = _open(path)
    try:
        os.fsync(fd)
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def make_root(path: str) -> None:
    """Make the folder of a new store, durable up to the first folder that was there before."""
    missing = []
    above = path
    while not os.path.isdir(above):
        missing.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, exist_ok=True)
    for made in missing:
        sync_folder(os.path.dirname(made))
