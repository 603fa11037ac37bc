"""Checking what folders, assets and runs say of one another: a cell that is lost shows only here."""

from __future__ import annotations

from collections.abc import Iterator

from ahstore.errors import AhError
from ahstore.hub.assets import asset_cell
from ahstore.hub.catalogue import Catalogue
from ahstore.hub.folders import ROOT_CELL, catalogue_cell, folder_cell
from ahstore.hub.payload import read_row
from ahstore.hub.records import Listing
from ahstore.ids import AssetId, EntityId, FolderId, RunId
from ahstore.jobs.records import NAME_KIND, RUN_KIND, RunRecord
from ahstore.storage.cells import Cell, CellState
from ahstore.upkeep.damage import Damage, FsckReport
from ahstore.versions.repository import Repository


def check_hub(repo: Repository, report: FsckReport) -> None:
    """Check that what the catalogues and runs name has its cell.

    What can't be read is passed over here: it has been reported where it was read.
    """
    for folder in _ids(repo, ROOT_CELL):
        if _state(repo, catalogue_cell(FolderId(folder))) is CellState.DEAD:
            continue  # deleted, and who did it died before he took its name away
        _expect(repo, folder_cell(FolderId(folder)), f"folder {folder}", report)
        for asset in _ids(repo, catalogue_cell(FolderId(folder))):
            _expect(repo, asset_cell(AssetId(asset)), f"asset {asset}", report)
    for cell in repo.cells.list(RUN_KIND):
        name = _run_name(repo, cell)
        if name is not None:
            _expect(repo, Cell(NAME_KIND, (name,)), f"run {cell.key[1]}", report)


def _expect(repo: Repository, cell: Cell, owner: str, report: FsckReport) -> None:
    if _state(repo, cell) not in (CellState.LIVE, None):
        message = f"{owner} is there, but its cell {cell} is not"
        report.damages.append(Damage("cell", message, cell.folder))


def _state(repo: Repository, cell: Cell) -> CellState | None:
    """Return what a cell's newest version says, None if it can't be read."""
    try:
        return repo.cells.read(cell).state
    except AhError:
        return None


def _ids(repo: Repository, cell: Cell) -> Iterator[EntityId]:
    try:
        for row in Catalogue(repo, cell).view().scan():
            yield Listing.from_value(read_row(repo, row)).id
    except AhError:
        return


def _run_name(repo: Repository, cell: Cell) -> str | None:
    try:
        version = repo.cells.read(cell)
        if version.state is CellState.LIVE:
            return RunRecord.from_version(RunId(EntityId(cell.key[1])), version).name
    except AhError:
        pass
    return None
