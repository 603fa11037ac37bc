"""Walking all cells of a store: their newest numbers by one listing, and which versions are kept.

The listing of ``cells/`` shows the newest version of each cell first, so no cell is asked for by
itself. What a version means is said by ``roots``; what is done about it by ``gc`` and ``fsck``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ahstore.errors import CorruptError
from ahstore.storage.cells import Cell, Cells, CellState, CellVersion
from ahstore.storage.paths import LEASE_FOLDER, unescape, version_number
from ahstore.upkeep.policy import Policy
from ahstore.upkeep.roots import has_history

CELLS = "cells/"


class Found(NamedTuple):
    """A cell and the number of its newest version when it was listed."""

    cell: Cell
    number: int


def list_cells(cells: Cells, kind: str | None = None) -> Iterator[Found]:
    """Yield every cell but the leases, or those of one kind, in the order of their folders.

    Raises:
        CorruptError: a folder's name is not one of a cell.
    """
    last = ""
    for key in cells.storage.list(CELLS if kind is None else f"{CELLS}{kind}/"):
        folder, name = key[: key.rfind("/") + 1], key[key.rfind("/") + 1 :]
        if folder != last and not folder.startswith(LEASE_FOLDER):
            last = folder
            yield Found(cell_of(folder), version_number(name))


def cell_of(folder: str) -> Cell:
    """Return the cell whose versions lie in a folder.

    Raises:
        CorruptError: no cell's do.
    """
    kind, *key = map(unescape, folder.split("/")[1:-1])
    if not key:
        raise CorruptError(f"{folder} is not the folder of a cell", key=folder)
    return Cell(kind, tuple(key))


class Kept(NamedTuple):
    """A cell as gc sees it.

    Attributes:
        newest: its newest version.
        former: older live versions that the policy keeps, newest first.
        below: versions with lower numbers have expired, and the one right below is still live; 0
            if nothing expires that has not before.
    """

    newest: CellVersion
    former: list[CellVersion]
    below: int


def read_kept(cells: Cells, found: Found, policy: Policy, cutoff: float) -> Kept:
    """Read the versions of a cell that are kept, and where the expired ones begin.

    The kept versions are the newest ones, without gaps: a version is kept while it was replaced
    no longer ago than the policy says. One more is read, to know whether anything expires. What
    lies below an emptied version has expired before.

    Raises:
        CorruptError: one of them is damaged.
    """
    newest = cells.read_version(found.cell, found.number)
    if newest.state is CellState.LIVE and not has_history(found.cell):
        return Kept(newest, [], 0)
    former: list[CellVersion] = []
    replaced = newest
    heads = 0
    for number in range(found.number - 1, -1, -1):
        version = cells.read_version(found.cell, number)
        if version.state is CellState.EMPTIED:
            break
        kept = _keeps(found.cell, newest, replaced, heads, policy, cutoff)
        if version.state is CellState.LIVE:
            if not kept:
                return Kept(newest, former, number + 1)
            former.append(version)
            heads += version.value != replaced.value
        replaced = version
    return Kept(newest, former, 0)


def _keeps(
    cell: Cell,
    newest: CellVersion,
    replaced: CellVersion,
    heads: int,
    policy: Policy,
    cutoff: float,
) -> bool:
    """Tell whether the version before ``replaced`` is kept, if it is live."""
    if has_history(cell):
        if newest.state is CellState.LIVE and heads < policy.keep_last:
            return True
        return replaced.time > cutoff
    # Others have no history to ask for; but what was deleted can be brought back for a while.
    return heads == 0 and newest.time > cutoff
