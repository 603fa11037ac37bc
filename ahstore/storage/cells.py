"""Cells: names whose value changes, each a row of numbered versions that are written once.

Implements docs/format/cells.md. To create the next number is compare-and-swap, the one primitive
by which anything happens in a store. A version carries its writer's nonce, so that a lost reply
is settled by reading back. What the values mean is left to those who own the cells.
"""

from __future__ import annotations

import enum
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ahstore.codec.canonical import Value, decode, encode
from ahstore.codec.envelope import seal, unseal
from ahstore.errors import ConflictError, CorruptError, OutcomeUnknownError, StorageError
from ahstore.storage.contract import AlreadyThereError, MissingError, Storage, UnsettledError
from ahstore.storage.paths import LEASE_FOLDER, escape, unescape, version_name

ENVELOPE_KIND = b"CELL"
FORMAT = 1
NONCE_BYTES = 16

_REMEMBERED_CELLS = 65_536
_RESEND_SECONDS = (0.0, 0.05, 0.2, 0.8, 2.0)


class CellState(enum.Enum):
    """What a version says of its cell; the value is how it is stored."""

    LIVE = "live"
    DEAD = "dead"
    """A tombstone: the cell was deleted. It may live again at a higher number."""
    ABSENT = "absent"
    """Never made, or fenced before it was: reads as not found, and does not take the name."""
    EMPTIED = "emptied"
    """An old version whose value gc took away; never the newest."""


class CellConflictError(ConflictError):
    """Another writer took the number: read the cell again. ``cell`` and ``number`` say which."""

    code = "cell-conflict"

    def __init__(self, cell: Cell, number: int) -> None:
        super().__init__(f"another writer changed {cell} first", cell=str(cell), number=number)
        self.cell = cell
        self.number = number


@dataclass(frozen=True, slots=True)
class Cell:
    """The name of a cell: its kind, and one or more parts. All of a kind have as many parts."""

    kind: str
    key: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The folder of its versions, ``cells/<kind>/<part>…/``."""
        return _folder(self.kind, self.key)

    def __str__(self) -> str:
        return "/".join((self.kind, *self.key))


def _folder(kind: str, key: tuple[str, ...]) -> str:
    return "/".join(("cells", escape(kind), *map(escape, key), ""))


@dataclass(frozen=True, slots=True)
class CellVersion:
    """One version of a cell; number -1 stands for a cell that was never made.

    Attributes:
        number: its place in the row, from 0.
        state: what it says of the cell.
        value: the value, empty unless ``LIVE``. Not to be changed by who reads it.
        nonce: its writer's, unique to this version.
        time: when it was written, in seconds by the storage's clock; it decides nothing.
    """

    number: int
    state: CellState
    value: dict[str, Value]
    nonce: bytes
    time: float


NEVER_MADE = CellVersion(number=-1, state=CellState.ABSENT, value={}, nonce=b"", time=0.0)


class Cells:
    """Reads and swaps the cells of one storage. Threads may share it.

    ``pause`` sleeps between the tries to settle a lost reply; tests pass their own.
    """

    def __init__(self, storage: Storage, *, pause: Callable[[float], None] = time.sleep) -> None:
        self.storage = storage
        self._pause = pause
        self._seen: dict[str, int] = {}

    def read(self, cell: Cell, *, at_least: int = -1) -> CellVersion:
        """Return the newest version; ``NEVER_MADE`` if there is none.

        Args:
            cell: which.
            at_least: a number known to be taken. What this object saw before it knows itself.

        Raises:
            CorruptError: the version is damaged.
        """
        folder = cell.folder
        known = max(at_least, self._seen.get(folder, -1))
        while True:
            number = self.storage.newest_version(folder, at_least=known)
            if number < 0:
                return NEVER_MADE
            try:
                version = self._load(folder, number)
            except MissingError:
                # Only the records of leases go away. Look again without the hint.
                self._seen.pop(folder, None)
                if known < 0:
                    return NEVER_MADE
                known = -1
                continue
            self._remember(folder, number)
            return version

    def read_version(self, cell: Cell, number: int) -> CellVersion:
        """Return the version of this number.

        Raises:
            MissingError: it is not there.
            CorruptError: it is damaged.
        """
        return self._load(cell.folder, number)

    def history(self, cell: Cell) -> Iterator[CellVersion]:
        """Yield all versions, newest first.

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
            yield self._load(folder, number)

    def swap(
        self, cell: Cell, expected: int, value: dict[str, Value], *, durable: bool = True
    ) -> CellVersion:
        """Create version ``expected + 1`` and return it; this is the commit point.

        Args:
            cell: which.
            expected: the number of the newest version the caller has read; -1: there was none.
            value: the new value; it has to be encodable.
            durable: False for what need not survive a power loss.

        Raises:
            CellConflictError: the number is taken by someone else, or the cell's folder is gone.
            OutcomeUnknownError: no answer came and none could be had; ``details`` has ``cell``,
                ``number`` and ``nonce``. A lease that covers it must not be ended.
            StorageError: it failed, and nothing was created.
        """
        return self._append(cell, expected, CellState.LIVE, value, durable=durable)

    def kill(self, cell: Cell, expected: int) -> CellVersion:
        """Append a tombstone after version ``expected``; raises what ``swap`` does."""
        return self._append(cell, expected, CellState.DEAD, {})

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

    def list(self, kind: str, *key: str) -> Iterator[Cell]:
        """Yield the cells of a kind whose key starts with these parts, dead ones too."""
        prefix = _folder(kind, key)
        for rest in self._leaves(prefix):
            yield Cell(kind, (*key, *map(unescape, rest)))

    def forget(self, cell: Cell) -> None:
        """Forget what was seen of a cell whose record was removed."""
        self._seen.pop(cell.folder, None)

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
    ) -> CellVersion:
        version = CellVersion(
            number=expected + 1,
            state=state,
            value=value,
            nonce=secrets.token_bytes(NONCE_BYTES),
            time=self.storage.now(),
        )
        folder = cell.folder
        body = encode_version(folder, version)
        try:
            self._create(cell, folder, version, body, durable=durable)
        except CellConflictError:
            # Taken, so it is there to start from; a lease's may be gone, as read() finds out.
            self._remember(folder, version.number)
            raise
        self._remember(folder, version.number)
        return version

    def _create(
        self, cell: Cell, folder: str, version: CellVersion, body: bytes, *, durable: bool
    ) -> None:
        key = folder + version_name(version.number)
        try:
            self.storage.create(key, body, durable=durable)
        except AlreadyThereError:
            if not self._is_mine(folder, version):
                raise CellConflictError(cell, version.number) from None
        except MissingError:
            raise self._vanished(cell, version.number) from None
        except UnsettledError as error:
            self._settle(cell, folder, version, body, error, durable=durable)

    def _settle(
        self,
        cell: Cell,
        folder: str,
        version: CellVersion,
        body: bytes,
        error: UnsettledError,
        *,
        durable: bool,
    ) -> None:
        """Find out what became of a create without an answer: look, and send the same again."""
        key = folder + version_name(version.number)
        for seconds in _RESEND_SECONDS:
            self._pause(seconds)
            try:
                found = self._load(folder, version.number)
                if found.nonce != version.nonce:
                    raise CellConflictError(cell, version.number)
                if error.durable_if_there or not durable:
                    return
                break
            except MissingError:
                pass
            except StorageError:
                continue
            try:
                self.storage.create(key, body, durable=durable)
            except AlreadyThereError:
                continue
            except UnsettledError as again:
                error = again
            except MissingError:
                raise self._vanished(cell, version.number) from None
            except StorageError:
                continue
            else:
                return
        raise OutcomeUnknownError(
            f"it is not known whether {cell} was changed: {error}",
            cell=str(cell),
            number=version.number,
            nonce=version.nonce.hex(),
        ) from error

    def _is_mine(self, folder: str, version: CellVersion) -> bool:
        try:
            return self._load(folder, version.number).nonce == version.nonce
        except MissingError:
            return False  # the record of a lease, revoked and removed

    def _vanished(self, cell: Cell, number: int) -> CellConflictError:
        self.forget(cell)
        return CellConflictError(cell, number)

    def _load(self, folder: str, number: int) -> CellVersion:
        key = folder + version_name(number)
        try:
            return decode_version(folder, number, self.storage.read(key))
        except CorruptError as error:
            raise CorruptError(f"{key}: {error}", key=key) from error

    def _remember(self, folder: str, number: int) -> None:
        if folder.startswith(LEASE_FOLDER):
            return  # read afresh each time: what matters of a lease is that it is still there
        if len(self._seen) >= _REMEMBERED_CELLS:
            self._seen.clear()
        if number > self._seen.get(folder, -1):
            self._seen[folder] = number


def encode_version(folder: str, version: CellVersion) -> bytes:
    """Return the body of the file of ``version`` in the cell's ``folder``."""
    document: Value = {
        "cell": folder,
        "n": version.number,
        "nonce": version.nonce,
        "state": version.state.value,
        "time": float(version.time),
        "v": FORMAT,
        "value": version.value,
    }
    return seal(ENVELOPE_KIND, encode(document))


def decode_version(folder: str, number: int, body: bytes) -> CellVersion:
    """Return the version that is stored as ``body``.

    Raises:
        CorruptError: it is damaged, or belongs to another cell or number.
    """
    document = decode(unseal(ENVELOPE_KIND, body))
    if not isinstance(document, dict) or document.get("v") != FORMAT:
        raise CorruptError("not a version of a cell that this program knows")
    if document.get("cell") != folder or document.get("n") != number:
        raise CorruptError(
            f"it is version {document.get('n')!r} of {document.get('cell')!r}, in the wrong place"
        )
    state, value = document.get("state"), document.get("value")
    nonce, moment = document.get("nonce"), document.get("time")
    if (
        not isinstance(value, dict)
        or not isinstance(nonce, bytes)
        or len(nonce) != NONCE_BYTES
        or not isinstance(moment, float)
    ):
        raise CorruptError("not a version of a cell")
    try:
        known = CellState(state)
    except ValueError:
        raise CorruptError(f"a version in the unknown state {state!r}") from None
    return CellVersion(number=number, state=known, value=value, nonce=nonce, time=moment)
