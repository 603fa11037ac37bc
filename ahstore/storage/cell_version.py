"""What a version of a cell is, and how it is stored.

Implements docs/format/cells.md, "A version's file": bytes only. ``cells.py`` reads and writes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ahstore.codec.canonical import Value, decode, encode
from ahstore.codec.envelope import seal, unseal
from ahstore.errors import ConflictError, CorruptError
from ahstore.storage.paths import escape

ENVELOPE_KIND = b"CELL"
FORMAT = 1
NONCE_BYTES = 16


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
    """Another writer took the number: read the cell again. ``cell`` and ``number`` say which.

    ``vanished``: nobody took it, but the cell's folder is gone (the record of a lease).
    """

    code = "cell-conflict"

    def __init__(self, cell: Cell, number: int, *, vanished: bool = False) -> None:
        super().__init__(f"another writer changed {cell} first", cell=str(cell), number=number)
        self.cell = cell
        self.number = number
        self.vanished = vanished


@dataclass(frozen=True, slots=True)
class Cell:
    """The name of a cell: its kind, and one or more parts. All of a kind have as many parts."""

    kind: str
    key: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The folder of its versions, ``cells/<kind>/<part>…/``."""
        return cell_folder(self.kind, self.key)

    def __str__(self) -> str:
        return "/".join((self.kind, *self.key))


def cell_folder(kind: str, key: tuple[str, ...]) -> str:
    """Return the folder of a cell, or of all cells whose key starts so."""
    return "/".join(("cells", escape(kind), *map(escape, key), ""))


@dataclass(frozen=True, slots=True)
class CellVersion:
    """One version of a cell; number -1 stands for a cell that was never made.

    Attributes:
        number: its place in the row, from 0.
        state: what it says of the cell.
        value: the value, empty unless ``LIVE``; that of a tombstone may say why. Not to be
            changed by who reads it.
        nonce: its writer's, unique to this version.
        time: when it was written, in seconds by the storage's clock; it decides nothing.
    """

    number: int
    state: CellState
    value: dict[str, Value]
    nonce: bytes
    time: float


NEVER_MADE = CellVersion(number=-1, state=CellState.ABSENT, value={}, nonce=b"", time=0.0)


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
