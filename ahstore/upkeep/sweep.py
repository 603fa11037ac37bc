"""What gc tidies beside packs: deletions that were cut short, files of what is no more.

None of it needs a plan. What stays of a half deleted asset is deleted the ordinary way, by
tombstones, and from then on can be brought back like anything that was deleted.
"""

from __future__ import annotations

from ahstore.errors import ConflictError, CorruptError, InvalidInputError, NotFoundError
from ahstore.hub.assets import Assets, asset_cell
from ahstore.hub.catalogue import Catalogue, View
from ahstore.hub.folders import ROOT_CELL, Folders, catalogue_cell, folder_cell
from ahstore.hub.payload import read_row
from ahstore.hub.records import Listing
from ahstore.ids import AssetId, EntityId, FolderId, LeaseId, parse_entity_id
from ahstore.jobs.logs import delete_log, find_run_of_log
from ahstore.jobs.records import RUN_KIND
from ahstore.storage.cells import Cell, CellState
from ahstore.storage.contract import MissingError
from ahstore.storage.leases import find_lease, list_leases
from ahstore.upkeep.cell_walk import list_cells
from ahstore.upkeep.policy import Policy
from ahstore.versions.repository import Repository

USER = "gc"
LEFTOVER_SECONDS = 86_400.0
HEARTBEATS = "hints/heartbeat/"
LOGS = "logs/"


def finish_deletions(repo: Repository, policy: Policy) -> int:
    """Delete what is left of folders and assets that were deleted, or brought back, half way.

    Returns how many there were. What no catalogue ever named may be an asset on its way here from
    another store, and is let be. Nothing is touched that a lease names: it may be just coming back.
    """
    folders = Folders(repo, USER)
    assets = Assets(repo, folders, USER)
    orphans = 0
    known = {folder.id for folder in folders.list()}
    for cell in _listed(repo, "folder"):
        if FolderId(parse_entity_id(cell.key[0])) not in known:
            orphans += _finish_folder(repo, folders, assets, cell)
    there = _assets_there(repo)
    for cell in _listed(repo, "asset"):
        if AssetId(parse_entity_id(cell.key[0])) not in there:
            orphans += _finish_asset(repo, assets, cell)
    return orphans + _delete_runs_of_deleted_models(repo, policy)


def _listed(repo: Repository, kind: str) -> list[Cell]:
    return [cell for cell, _ in list_cells(repo.cells, kind)]


def _finish_folder(repo: Repository, folders: Folders, assets: Assets, cell: Cell) -> bool:
    """Delete the rest of a folder that is not there, but was; tell whether there was any."""
    folder = FolderId(parse_entity_id(cell.key[0]))

    def check(_: View) -> None:
        if folders.is_there(folder):
            raise ConflictError("it is there")

    # First whether it lives, then whether somebody holds it, then whether it is there: who brings
    # it back takes his lease before he makes anything live, and releases it when it is there.
    if not _is_live(repo, cell) or _is_leased(repo, cell, catalogue_cell(folder)):
        return False
    if folders.is_there(folder) or not _was_in(repo, ROOT_CELL, folder):
        return False
    try:
        Catalogue(repo, catalogue_cell(folder)).close(check)
    except ConflictError:
        return False
    folders.finish_deletion(folder, assets.tombstone_all)
    return True


def _finish_asset(repo: Repository, assets: Assets, cell: Cell) -> bool:
    """Delete the rest of an asset that its folder does not name, but did, likewise."""
    asset = AssetId(parse_entity_id(cell.key[0]))
    version = repo.cells.read(cell)
    if version.state is not CellState.LIVE:
        return False
    try:
        home = FolderId(parse_entity_id(version.value.get("folder")))
    except InvalidInputError:
        return False  # what can't be read is no reason to delete
    if _is_leased(repo, cell, folder_cell(home)):
        return False
    gone = assets.absence(home, asset)
    if not gone() or not _was_in(repo, catalogue_cell(home), asset):
        return False
    assets.tombstone(asset, gone=gone)
    return True


def _is_leased(repo: Repository, *cells: Cell) -> bool:
    return any(cell in record.cells for record in list_leases(repo.cells) for cell in cells)


def _assets_there(repo: Repository) -> set[AssetId]:
    """Return the ids of all assets that the catalogues name, each read once."""
    return {
        AssetId(Listing.from_value(read_row(repo, row)).id)
        for folder in Folders(repo, USER).list()
        for row in Catalogue(repo, catalogue_cell(folder.id)).view().scan()
    }


def _was_in(repo: Repository, catalogue: Cell, entity: EntityId) -> bool:
    """Tell whether a catalogue once named a folder or an asset."""
    try:
        for version in repo.cells.history(catalogue):
            rows = View(repo, version).scan()
            if any(Listing.from_value(read_row(repo, row)).id == entity for row in rows):
                return True
    except (CorruptError, NotFoundError):
        return False  # what can't be read is no reason to delete
    return False


def _delete_runs_of_deleted_models(repo: Repository, policy: Policy) -> int:
    cutoff = policy.cutoff(repo.storage.now())
    deleted = 0
    for name in list(repo.storage.list_folders(f"cells/{RUN_KIND}/")):
        model = AssetId(parse_entity_id(name))
        version = repo.cells.read(asset_cell(model))
        if version.state is not CellState.DEAD or version.time > cutoff:
            continue
        for cell in repo.cells.list(RUN_KIND, model):
            if _is_live(repo, cell):
                repo.kill(cell)
                deleted += 1
    return deleted


def clean(repo: Repository) -> int:
    """Remove files of what is no more; return how many."""
    storage = repo.storage
    before = storage.now() - LEFTOVER_SECONDS
    removed = storage.clean_leftovers(before)
    for key in list(storage.list(HEARTBEATS)):
        if _is_silent(repo, key, before):
            storage.delete(key)
            removed += 1
    return removed + _delete_logs(repo)


def _delete_logs(repo: Repository) -> int:
    """Delete the logs of runs that were deleted: logs are listed first, for runs come before them."""
    folders = repo.storage.list_folders(LOGS)
    logs = {run for folder in folders if (run := find_run_of_log(folder)) is not None}
    if not logs:
        return 0
    known = {cell.key[1]: cell for cell, _ in list_cells(repo.cells, RUN_KIND)}
    gone = [run for run in logs if run not in known or not _is_live(repo, known[run])]
    for run in gone:
        delete_log(repo.storage, run)
    return len(gone)


def _is_live(repo: Repository, cell: Cell) -> bool:
    return repo.cells.read(cell).state is CellState.LIVE


def _is_silent(repo: Repository, key: str, before: float) -> bool:
    """Tell whether a heartbeat is old, and its lease gone."""
    try:
        if repo.storage.stat(key).mtime > before:
            return False
        return find_lease(repo.cells, LeaseId(parse_entity_id(key[len(HEARTBEATS) :]))) is None
    except (MissingError, CorruptError):
        return False
