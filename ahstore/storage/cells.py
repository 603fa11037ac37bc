"""Cells: names whose value changes, each a row of numbered versions that are written once.

Implements docs/format/cells.md. To create the next number is compare-and-swap, the one primitive
by which anything happens in a store. What the values mean is left to those who own the cells.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError
from ahstore.storage.cell_creation import Creation, load_body, load_version
from ahstore.storage.cell_version import (
    NEVER_MADE,
    NONCE_BYTES,
    Cell,
    CellConflictError,
    CellState,
    CellVersion,
    cell_folder,
    decode_version,
    encode_version,
)
from ahstore.storage.contract import MissingError, Storage
from ahstore.storage.paths import LEASE_FOLDER, unescape, version_name, version_number

__all__ = ["NEVER_MADE", "Cell", "CellConflictError", "CellState", "CellVersion", "Cells"]

_REMEMBERED_CELLS = 65_536
_KEPT_BODIES = 1024
_KEPT_BODY_BYTES = 16 * 1024
_LISTED_AT_ONCE = 1000
_RESEND_SECONDS = (0.0, 0.05, 0.2, 0.8, 2.0)


class Cells:
    """Reads and swaps the cells of one storage. Threads may share it.

    Args:
        storage: where they are.
        pause: sleeps between the tries to settle a lost reply; tests pass their own.
        on_read: is told the folder of a cell and its newest version at each ``read``.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        pause: Callable[[float], None] = time.sleep,
        on_read: Callable[[str, CellVersion], None] | None = None,
    ) -> None:
        self.storage = storage
        self._pause = pause
        self._on_read = on_read
        self._seen: dict[str, int] = {}
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._look = threading.local()

    @contextlib.contextmanager
    def one_look(self) -> Iterator[None]:
        """In the block this thread looks at each cell once: what it saw stands until the end.

        For finding a way through several cells, which may cross one twice. Each is as it was at
        some time since the block began; over a network each further look would be a request.
        """
        if getattr(self._look, "seen", None) is not None:  # inside a longer look
            yield
            return
        self._look.seen = {}
        try:
            yield
        finally:
            self._look.seen = None

    def read(self, cell: Cell, *, at_least: int = -1) -> CellVersion:
        """Return the newest version; ``NEVER_MADE`` if there is none.

        Args:
            cell: which.
            at_least: a number known to be taken. What this object saw before it knows itself.

        Raises:
            CorruptError: the version is damaged.
        """
        seen: dict[str, CellVersion] | None = getattr(self._look, "seen", None)
        if seen is None:
            return self._read_newest(cell.folder, at_least)
        if cell.folder not in seen:
            seen[cell.folder] = self._read_newest(cell.folder, at_least)
        return seen[cell.folder]

    def _read_newest(self, folder: str, at_least: int) -> CellVersion:
        known = max(at_least, self._seen.get(folder, -1))
        while True:
            number = self.storage.newest_version(folder, at_least=known)
            if number < 0:
                return NEVER_MADE
            try:
                version = self._load_newest(folder, number)
            except MissingError:
                # Only the records of leases go away. Look again without the hint.
                self._seen.pop(folder, None)
                if known < 0:
                    return NEVER_MADE
                known = -1
                continue
            self._remember(folder, number)
            if self._on_read is not None:
                self._on_read(folder, version)
            return version

    def read_version(self, cell: Cell, number: int) -> CellVersion:
        """Return the version of this number.

        Raises:
            MissingError: it is not there.
            CorruptError: it is damaged.
        """
        return self._load(cell.folder, number)

    def read_at(self, folder: str, number: int) -> CellVersion:
        """Return the version of this number of the cell with this folder; raises as above."""
        return self._load(folder, number)

    def history(self, cell: Cell) -> Iterator[CellVersion]:
        """Yield all versions, newest first, down to the first that gc has emptied.

        What lies below an emptied version has expired, emptied or not.

        Raises:
            CorruptError: one is damaged.
            MissingError: one is not there.
        """
        newest = self.read(cell)
        if newest.number < 0:
            return
        yield newest
        folder = cell.folder
        for number in range(newest.number - 1, -1, -1):
            version = self._load(folder, number)
            yield version
            if version.state is CellState.EMPTIED:
                return

    def swap(
        self,
        cell: Cell,
        expected: int,
        value: dict[str, Value],
        *,
        durable: bool = True,
        settle: bool = True,
    ) -> CellVersion:
        """Create version ``expected + 1`` and return it; this is the commit point.

        Args:
            cell: which.
            expected: the number of the newest version the caller has read; -1: there was none.
            value: the new value; it has to be encodable.
            durable: False for what need not survive a power loss.
            settle: False: a lost reply is not looked into, nor anything sent twice.

        Raises:
            CellConflictError: the number is taken by someone else, or the cell's folder is gone.
            OutcomeUnknownError: no answer came and none could be had; ``details`` has ``cell``,
                ``number`` and ``nonce``. A lease that covers it must not be ended.
            StorageError: it failed, and nothing was created.
        """
        return self._append(cell, expected, CellState.LIVE, value, durable=durable, settle=settle)

    def kill(self, cell: Cell, expected: int, why: dict[str, Value] | None = None) -> CellVersion:
        """Append a tombstone after version ``expected``; raises what ``swap`` does.

        ``why`` stands in it for those who may bring the cell back.
        """
        return self._append(cell, expected, CellState.DEAD, why or {})

    def fence(self, cell: Cell) -> CellVersion:
        """Append a version that changes nothing, so that whoever read before loses.

        One attempt is enough, won or lost: either way the number that a slow writer would take is
        taken. Returns the version that took it. A cell never made gets version 0, "absent".

        Raises:
            OutcomeUnknownError, StorageError: as ``swap``.
        """
        newest = self.read(cell)
        try:
            return self._append(cell, newest.number, newest.state, newest.value)
        except CellConflictError:
            return self.read(cell, at_least=newest.number)

    def hollow(self, cell: Cell, version: CellVersion) -> None:
        """Take the value of an old version away; number, nonce and time stay as they were.

        For gc alone, and never the newest version. Durable on return.

        Raises:
            InvalidInputError: the version is the newest.
            StorageError: it failed; the version is as it was, or emptied.
        """
        folder, number = cell.folder, version.number
        if self._seen.get(folder, -1) <= number:  # what was seen is no more than a lower bound
            newest = self.storage.newest_version(folder, at_least=number)
            if newest <= number:
                raise InvalidInputError(f"version {number} of {cell} is the newest")
            self._remember(folder, newest)
        emptied = replace(version, state=CellState.EMPTIED, value={})
        key = cell.folder + version_name(version.number)
        self.storage.hollow(key, encode_version(cell.folder, emptied))

    def list(self, kind: str, *key: str) -> Iterator[Cell]:
        """Yield the cells of a kind whose key starts with these parts, dead ones too."""
        prefix = cell_folder(kind, key)
        for rest in self._leaves(prefix):
            yield Cell(kind, (*key, *map(unescape, rest)))

    def list_newest(self, kind: str, *key: str) -> Iterator[tuple[Cell, int]]:
        """Yield what ``list`` does, each with the number of its newest version.

        Unlike ``list``, which looks into each folder, it lists the versions of all cells one after
        the other: a thousand with a request, where that counts.
        """
        prefix = cell_folder(kind, key)
        folder, in_folder, after = "", 0, ""
        while True:
            for found in self.storage.list(prefix, after=after):
                start, _, name = found.rpartition("/")
                if start == folder:
                    in_folder += 1
                    if in_folder < _LISTED_AT_ONCE:
                        continue
                    # Versions are hex digits: past those of this cell at one stroke.
                    after = folder + "/~"
                    break
                folder, in_folder = start, 1
                parts = folder[len(prefix) :].split("/")
                yield Cell(kind, (*key, *map(unescape, parts))), version_number(name)
            else:
                return
            folder = ""

    def forget(self, cell: Cell) -> None:
        """Forget what was seen of a cell whose record was removed."""
        self._seen.pop(cell.folder, None)
        self._bodies.pop(cell.folder, None)

    def _leaves(self, prefix: str) -> Iterator[tuple[str, ...]]:
        """Yield, as parts relative to ``prefix``, the folders that hold versions."""
        for name in self.storage.list_folders(prefix):
            folder = f"{prefix}{name}/"
            first = next(self.storage.list(folder, limit=1), None)
            if first is None:
                continue
            if "/" not in first[len(folder) :]:
                yield (name,)
                continue
            for rest in self._leaves(folder):
                yield (name, *rest)

    def _append(
        self,
        cell: Cell,
        expected: int,
        state: CellState,
        value: dict[str, Value],
        *,
        durable: bool = True,
        settle: bool = True,
    ) -> CellVersion:
        version = CellVersion(
            number=expected + 1,
            state=state,
            value=value,
            nonce=secrets.token_bytes(NONCE_BYTES),
            time=self.storage.now(),
        )
        creation = Creation(self.storage, cell, version, durable=durable)
        if getattr(self._look, "seen", None) is not None:
            self._look.seen.pop(cell.folder, None)
        try:
            creation.run(_RESEND_SECONDS if settle else (), pause=self._pause)
        except CellConflictError as error:
            if error.vanished:
                self.forget(cell)
            else:
                self._remember(cell.folder, version.number)
            raise
        self._remember(cell.folder, version.number)
        self._keep_body(cell.folder, version.number, creation.body)
        return version

    def _load_newest(self, folder: str, number: int) -> CellVersion:
        """Return a version out of memory if it was read or written here before.

        A number means one body for ever, but those of leases, whose records are removed. Kept is
        only what took a request, of storages that are far away.
        """
        kept = self._bodies.get(folder)
        if kept is not None and kept[0] == number:
            return decode_version(folder, number, kept[1])
        body, version = load_body(self.storage, folder, number)
        self._keep_body(folder, number, body)
        return version

    def _keep_body(self, folder: str, number: int, body: bytes) -> None:
        if (
            not self.storage.capabilities.far
            or folder.startswith(LEASE_FOLDER)
            or len(body) > _KEPT_BODY_BYTES
        ):
            return
        if len(self._bodies) >= _KEPT_BODIES:
            self._bodies.clear()
        self._bodies[folder] = number, body

    def _load(self, folder: str, number: int) -> CellVersion:
        return load_version(self.storage, folder, number)

    def _remember(self, folder: str, number: int) -> None:
        if folder.startswith(LEASE_FOLDER):
            return  # read afresh each time: what matters of a lease is that it is still there
        if len(self._seen) >= _REMEMBERED_CELLS:
            self._seen.clear()
        if number > self._seen.get(folder, -1):
            self._seen[folder] = number
