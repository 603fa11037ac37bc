"""One file of a target folder: its bytes, its mtime and mode, and only then its name.

In a fresh folder, which nobody sees before all is written, a file is written in place; elsewhere
beside its place and then renamed, so that a former file stays whole until it is replaced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ahstore.versions.restoring.target import Folder, TargetFolder, failed

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_PARTS = 1024
"""Of so many buffers the system takes all at once."""
WRITABLE, READ_ONLY, EXECUTABLE = 0o666, 0o444, 0o111


class TargetFile:
    """A file on its way: ``write_at`` its bytes, then ``commit`` or ``abort``.

    Args:
        target: what the folder belongs to.
        folder: where it goes; held until the file is done with.
        name: its name there.
        executable: whether those who may read it may execute it.
        again: another process may have begun to write it, and has ended.

    Raises:
        StorageError: the file system refused.
    """

    __slots__ = ("_fd", "_folder", "_name", "_part")

    def __init__(
        self,
        target: TargetFolder,
        folder: Folder,
        name: str,
        *,
        executable: bool,
        again: bool = False,
    ) -> None:
        self._folder, self._name = folder, name
        self._part = name if folder.fresh else target.spare_name()
        if again:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part, dir_fd=folder.fd)
        # A descriptor open for writing outlives a mode that forbids it: no chmod is needed.
        mode = (READ_ONLY if target.read_only else WRITABLE) | (EXECUTABLE if executable else 0)
        try:
            self._fd = os.open(self._part, _CREATE, mode, dir_fd=folder.fd)
        except OSError as error:
            raise failed(self._path, error) from error

    @property
    def _path(self) -> str:
        return os.path.join(self._folder.path, self._name)

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError as error:
            raise failed(self._path, error) from error

    def write_at(self, offset: int, parts: Sequence[bytes | memoryview]) -> None:
        """Write bytes from ``offset`` on. Threads may write to several places at once."""
        try:
            for at in range(0, len(parts), _MOST_PARTS):
                some = parts[at : at + _MOST_PARTS]
                size = sum(map(len, some))
                written = os.pwritev(self._fd, some, offset)
                if written < size:
                    self._write_rest(offset + written, some, written)
                offset += size
        except OSError as error:
            raise failed(self._path, error) from error

    def _write_rest(self, offset: int, parts: Sequence[bytes | memoryview], skip: int) -> None:
        for data in parts:
            view = memoryview(data)[skip:]
            skip = max(0, skip - len(data))
            while view:
                written = os.pwrite(self._fd, view, offset)
                offset += written
                view = view[written:]

    def commit(self, mtime_ns: int) -> None:
        """Set the time and put the file in its place, over a former file."""
        try:
            os.utime(self._fd, ns=(mtime_ns, mtime_ns))
            fd, self._fd = self._fd, -1
            os.close(fd)
            if self._part != self._name:
                parent = self._folder.fd
                os.rename(self._part, self._name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError as error:
            raise failed(self._path, error) from error

    def abort(self) -> None:
        """Remove what was written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):
            os.unlink(self._part, dir_fd=self._folder.fd)
