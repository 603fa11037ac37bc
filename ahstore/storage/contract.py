"""What the store may ask of a place that keeps files, and what such a place promises.

Implements docs/format/storage.md, "Required operations"; ``ahstore/testing/storage_suite.py`` is
the same in tests, which every backend passes. A file is written once, whole, under a key that
never changes its meaning; hints alone may be overwritten. Promises:

* ``create`` and ``FileWriter.commit``: of all who race for a key exactly one succeeds, over
  processes and machines. Nobody ever sees a part of a file. What was acknowledged as durable
  survives a power loss, with every folder on the way to it.
* an error means that nothing was created, but for ``UnsettledError``: then look.
* reads, listings and ``exists`` see at once whatever was acknowledged to anyone.

What decides anything is the creation of a file; clocks and locks never do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from ahstore.errors import AlreadyExistsError, NotFoundError, StorageError

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self


class MissingError(NotFoundError):
    """There is no file of this key."""

    code = "missing-file"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no {key} in the store", key=key)
        self.key = key


class AlreadyThereError(AlreadyExistsError):
    """The file could not be created: its key is taken, perhaps by this writer's own lost try."""

    code = "file-exists"

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is in the store already", key=key)
        self.key = key


class UnsettledError(StorageError):
    """A creation was sent off and no clear answer came: it may have happened, or happen yet.

    ``durable_if_there`` tells whether a file that is found now can be relied on; after a failed
    fsync it can't.
    """

    code = "storage-unsettled"

    def __init__(self, message: str, *, key: str, durable_if_there: bool = True) -> None:
        super().__init__(message, key=key)
        self.key = key
        self.durable_if_there = durable_if_there


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond the promises.

    Attributes:
        shared_writers: several processes may write at once.
        local_path: the folder of the store on this machine, None if it is elsewhere.
        ordered_listing: a listing costs no more than what is taken from it.
        keeps_folders: a later version of a cell is refused when the cell's folder is gone.
        far: each operation is a request over a network, which takes milliseconds and is paid for:
            what was read is worth keeping, and several requests are made at once.
    """

    shared_writers: bool = True
    local_path: str | None = None
    ordered_listing: bool = False
    keeps_folders: bool = True
    far: bool = False


@dataclass(frozen=True, slots=True)
class FileStat:
    """A stored file's ``size`` in bytes and ``mtime`` in seconds of the storage's clock."""

    size: int
    mtime: float


class Range(NamedTuple):
    """A part of a stored file: ``length`` bytes from ``offset`` on."""

    key: str
    offset: int
    length: int


class FileWriter(ABC):
    """A file being written; it is there at ``commit``, whole, or never.

    As a context manager it aborts unless committed. One thread at a time may use it.
    """

    key: str

    @abstractmethod
    def write(self, data: Buffer) -> None:
        """Append all bytes of ``data``.

        Raises:
            StorageFullError: no space is left; only ``abort`` makes sense now.
            StorageError: the disk failed; likewise.
        """

    def write_all(self, parts: Sequence[bytes | memoryview]) -> None:
        """Append all bytes of all ``parts``; raises as ``write``."""
        self.write(parts[0] if len(parts) == 1 else b"".join(parts))

    @abstractmethod
    def tell(self) -> int:
        """Return the number of bytes written so far."""

    @abstractmethod
    def commit(self) -> None:
        """Publish the file; on return it is complete and durable.

        Raises:
            AlreadyThereError: the key is taken.
            UnsettledError: it may be there or not, and may not be durable.
            StorageError: it is not there.
        """

    @abstractmethod
    def abort(self) -> None:
        """Forget the file; harmless after ``commit`` or another ``abort``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


class Storage(ABC):
    """A place that keeps files. Threads may share one; a fork may go on using it.

    Every method raises ``InvalidInputError`` for what is not a key (or a folder) of a store, and
    ``StorageError`` when the disk or the bucket fails.
    """

    url: str
    capabilities: Capabilities

    @abstractmethod
    def create(self, key: str, data: bytes, *, durable: bool = True) -> None:
        """Create the file ``key`` if it is not there yet.

        Args:
            key: where.
            data: the whole content.
            durable: False: it may be lost or damaged by a power loss (never by a killed process).

        Raises:
            AlreadyThereError: the key is taken.
            MissingError: a cell's version other than number 0, and the cell's folder is gone.
            StorageFullError: no space is left; nothing was created.
            UnsettledError: it may have been created.
        """

    @abstractmethod
    def new_file(self, key: str) -> FileWriter:
        """Return a writer for a large file that must not be there yet."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the whole content.

        Raises:
            MissingError: there is no such file.
        """

    @abstractmethod
    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset`` on.

        Raises:
            MissingError: there is no such file.
            CorruptError: the file is shorter than that.
        """

    def read_ranges(self, ranges: Iterable[Range]) -> Iterator[bytes | memoryview]:
        """Yield the bytes of each range, in the order asked for; those of large ones may be views.

        ``ranges`` is drawn from as the answers are taken. A backend that is far away reads ahead,
        several ranges at once and some tens of megabytes at most; what is read ahead of an answer
        that is never taken is in vain. The first error ends the iteration.

        Raises:
            MissingError, CorruptError: as ``read_range``, in place of the range's bytes.
        """
        for key, offset, length in ranges:
            yield self.read_range(key, offset, length)

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Tell whether the file is there."""

    @abstractmethod
    def stat(self, key: str) -> FileStat:
        """Return size and time.

        Raises:
            MissingError: there is no such file.
        """

    @abstractmethod
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> Iterator[str]:
        """Yield the keys of all files under the folder ``prefix`` (``"a/b/"``), sorted.

        Args:
            prefix: the folder; ``""`` is the store.
            after: only keys that sort after this one.
            limit: at most so many.
        """

    @abstractmethod
    def list_folders(self, prefix: str) -> Iterator[str]:
        """Yield the names of the folders directly in the folder ``prefix``, sorted.

        A folder whose last file has gone may be among them for a while.
        """

    @abstractmethod
    def newest_version(self, folder: str, *, at_least: int = -1) -> int:
        """Return the highest version number in a cell's folder, -1 if it has none.

        Args:
            folder: the cell's folder.
            at_least: a number known to be taken. It spares a backend the listing; if it has gone
                since (an ended lease), the answer may be this number all the same.
        """

    @abstractmethod
    def replace(self, key: str, data: bytes) -> None:
        """Create or overwrite a hint at one stroke; it may be lost by a power loss."""

    @abstractmethod
    def hollow(self, key: str, data: bytes) -> None:
        """Put ``data`` in place of an old version of a cell, at one stroke and durably.

        Only gc may do it, to a version that is not the newest, and the number stays taken all the
        while. Whoever reads meanwhile gets the old body or the new one.

        Raises:
            MissingError: there is no such version.
            InvalidInputError: the key is not that of a cell's version, or a lease's.
            StorageError: it failed; the old body is there, or the new one.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a file that may go away; it is no error if it is not there."""

    def clean_leftovers(self, older_than: float) -> int:  # noqa: ARG002
        """Remove what writers that died left behind: drafts, uploads that were never finished.

        Args:
            older_than: only what was begun before this time, by the storage's clock.

        Returns:
            How many were removed. A backend whose writers leave nothing has nothing to do.
        """
        return 0

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a courtesy lock among the processes of this machine, which saves retries.

        The wait is bounded: after some seconds the block runs without the lock. Correctness never
        rests on it.
        """

    @abstractmethod
    def now(self) -> float:
        """Return the seconds since 1970 by the clock that stamps ``stat().mtime``."""

    def location(self, key: str) -> str:
        """Return where the file ``key`` lies, as other tools would name the place."""
        return f"{self.url}/{key}"

    def close(self) -> None:  # noqa: B027  (most backends hold nothing)
        """Release what is held; further use is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
