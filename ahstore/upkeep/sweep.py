"""What gc tidies beside packs: deletions that were cut short, files of what is no more.

None of it needs a plan. What stays of a half deleted asset is deleted the ordinary way, by
tombstones, and from then on can be brought back like anything that was deleted.
"""

from __future__ import annotations

from ahstore.errors import CorruptError, InvalidInputError, NotFoundError
from ahstore.hub.assets import Assets, asset_cell
from ahstore.hub.catalogue import Catalogue, View
from ahstore.hub.folders import Folders, catalogue_cell
from ahstore.hub.payload import read_row
from ahstore.hub.records import Listing
from ahstore.ids import AssetId, FolderId, LeaseId, parse_entity_id
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
    """Delete what is left of assets that were deleted half way; return how many there were.

    What no catalogue ever named may be an asset on its way here from another store, and is let be.
    Nothing is touched that a lease names: it may be just coming back.
    """
    found = [cell for cell, _ in list_cells(repo.cells, "asset")]
    leased = {cell for record in list_leases(repo.cells) for cell in record.cells}
    there = _assets_there(repo)
    orphans = 0
    for cell in found:
        asset = AssetId(parse_entity_id(cell.key[0]))
        if asset in there or cell in leased or not _is_live(repo, cell):
            continue
        if _was_there(repo, asset):
            Assets(repo, Folders(repo, USER), USER).tombstone(asset)
            orphans += 1
    return orphans + _delete_runs_of_deleted_models(repo, policy)


def _assets_there(repo: Repository) -> set[AssetId]:
    """Return the ids of all assets that the catalogues name, each read once."""
    return {
        AssetId(Listing.from_value(read_row(repo, row)).id)
        for folder in Folders(repo, USER).list()
        for row in Catalogue(repo, catalogue_cell(folder.id)).view().scan()
    }


def _was_there(repo: Repository, asset: AssetId) -> bool:
    """Tell whether the asset's folder once named it in its catalogue."""
    folder = repo.cells.read(asset_cell(asset)).value.get("folder")
    try:
        home = catalogue_cell(FolderId(parse_entity_id(folder)))
        for version in repo.cells.history(home):
            rows = View(repo, version).scan()
            if any(Listing.from_value(read_row(repo, row)).id == asset for row in rows):
                return True
    except (CorruptError, NotFoundError, InvalidInputError):
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
