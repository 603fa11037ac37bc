"""One file on its way into a local store: written, synced, named, and its folder synced.

The order is the promise: the file's bytes and the folders above are durable before the name
appears, and the name is durable before ``commit`` returns. After a failed sync the file is
abandoned, for a second sync may claim success for pages that are lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from ahstore.storage.contract import AlreadyThereError, FileWriter, MissingError, UnsettledError
from ahstore.storage.drafts import Draft, DraftMaker
from ahstore.storage.folders import Folders
from ahstore.storage.oserrors import storage_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What a network file system may answer although it gave the name.
_MAY_HAVE_HAPPENED = frozenset(
    (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EINTR, errno.ECONNRESET)
)

WRITE_BACK_BYTES = 16 * 2**20


class LocalWriter(FileWriter):
    """Writes the file ``key``; ``make`` says whether its folder may be made.

    Raises:
        MissingError: the folder is not there and may not be made.
        OSError: the folder or the file can't be made.
    """

    def __init__(
        self, folders: Folders, maker: DraftMaker, key: str, *, make: bool, durable: bool
    ) -> None:
        self.key = key
        self._folder, self._name = key[: key.rfind("/") + 1], key[key.rfind("/") + 1 :]
        self._folders = folders
        self._make = make
        self._durable = durable
        self._size = 0
        self._started = 0
        self._folder_fd = self._open_folder()
        try:
            self._draft: Draft | None = maker(self._folder_fd)
        except BaseException as error:
            gone = self._folder_is_gone()
            os.close(self._folder_fd)
            if gone and isinstance(error, OSError):
                raise MissingError(key) from None
            raise

    def _folder_is_gone(self) -> bool:
        """Tell whether the folder was removed since it was opened, as an ended lease's is.

        File systems give many names to the error that follows from it.
        """
        return os.fstat(self._folder_fd).st_nlink == 0

    def _open_folder(self) -> int:
        try:
            return self._folders.open(self._folder, make=self._make)
        except FileNotFoundError:
            if self._make:
                raise
            raise MissingError(self.key) from None

    def write(self, data: Buffer) -> None:
        """See ``FileWriter.write``."""
        try:
            self._size += write_all(self._open_draft().fd, data)
        except OSError as error:
            raise storage_error(error, self._path()) from error
        if self._size - self._started >= WRITE_BACK_BYTES:
            self._start_write_back(self._open_draft().fd)

    def _start_write_back(self, fd: int) -> None:
        """Have the system begin with what was written, so that the sync finds little to do.

        Nothing waits for it, and nothing rests on it: what fails there fails the sync.
        """
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, self._started, self._size - self._started, os.POSIX_FADV_DONTNEED)
        self._started = self._size

    def tell(self) -> int:
        """See ``FileWriter.tell``."""
        return self._size

    def commit(self) -> None:
        """See ``FileWriter.commit``."""
        draft = self._open_draft()
        try:
            self._sync_before(draft)
            self._publish(draft)
            self._sync_after()
        finally:
            self.abort()

    def _sync_before(self, draft: Draft) -> None:
        if not self._durable:
            return
        try:
            os.fsync(draft.fd)
            self._folders.make_durable(self._folder, self._folder_fd)
        except OSError as error:
            if self._folder_is_gone():
                raise MissingError(self.key) from None
            raise storage_error(error, self._path()) from error

    def _publish(self, draft: Draft) -> None:
        try:
            draft.publish(self._folder_fd, self._name)
        except FileExistsError:
            if not draft.landed():
                raise AlreadyThereError(self.key) from None
        except OSError as error:
            if self._folder_is_gone():
                raise MissingError(self.key) from None
            failure = storage_error(error, self._path())
            if error.errno in _MAY_HAVE_HAPPENED:
                raise UnsettledError(failure.message, key=self.key) from error
            raise failure from error

    def _sync_after(self) -> None:
        if not self._durable:
            return
        try:
            os.fsync(self._folder_fd)
        except OSError as error:
            message = storage_error(error, self._path()).message
            raise UnsettledError(message, key=self.key, durable_if_there=False) from error

    def abort(self) -> None:
        """See ``FileWriter.abort``."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        # All that counts has been synced or given up: what fails here leaves rubbish at most.
        for close in (draft.discard, lambda: os.close(self._folder_fd)):
            with contextlib.suppress(OSError):
                close()

    def _open_draft(self) -> Draft:
        if self._draft is None:
            raise ValueError(f"the file {self.key} is not being written any more")
        return self._draft

    def _path(self) -> str:
        return os.path.join(self._folders.path(self._folder), self._name)


def write_all(fd: int, data: Buffer) -> int:
    """Write all bytes of ``data`` and return their number; a disk may take them in parts."""
    written = os.write(fd, data)
    size = memoryview(data).nbytes
    if written < size:
        rest = memoryview(data).cast("B")
        while written < size:
            written += os.write(fd, rest[written:])
    return size
