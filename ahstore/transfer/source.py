"""A store as the source of a transfer: what of it is wanted, pinned while it is read.

Reading follows docs/format/cells.md, "Leases": heads, then a pin with their commits, then the
heads again. Where the store can't be written to there is no pin; what gc takes away meanwhile is
then missed, never misread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ahstore.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    StorageError,
    UnsupportedError,
)
from ahstore.hub.assets import evaluations_cell
from ahstore.hub.catalogue import Catalogue
from ahstore.hub.hub import Hub
from ahstore.hub.paths import ASSET_TYPES, parse
from ahstore.hub.records import AssetRecord, FolderRecord
from ahstore.ids import CommitId
from ahstore.names import check_ref_name
from ahstore.storage.leases import Lease
from ahstore.transfer.offers import AssetOffer, RefOffer
from ahstore.versions.refs import Refs

READ_TRIES = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """An asset, and of it one reference only, or all when ``ref`` is None.

    ``branch`` is what the commit is to be called at the destination.
    """

    folder: FolderRecord
    asset: AssetRecord
    ref: str | None = None
    branch: str | None = None


def select(
    hub: Hub, paths: Sequence[str], *, branch: str | None = None
) -> tuple[list[FolderRecord], list[Selection]]:
    """Return the folders and assets that paths name; no path: all there are.

    A path is ``model``, ``dataset``, a folder, an asset or a version of one.

    Raises:
        NotFoundError: there is no such thing.
        InvalidInputError: a path is malformed, or a commit without a name is to move unnamed.
    """
    folders: dict[str, FolderRecord] = {}
    chosen: dict[tuple[str, str | None], Selection] = {}
    for path in paths or ASSET_TYPES:
        for found in _select(hub, path, branch):
            if isinstance(found, FolderRecord):
                folders[found.id] = found
            else:
                chosen[found.asset.id, found.ref] = found
    if branch is not None and (len(chosen) != 1 or not paths or ":" not in paths[0]):
        raise InvalidInputError("a branch can be named for one version only: ASSET:REF")
    # Datasets first: evaluations of models go where their dataset is.
    ordered = sorted(chosen.values(), key=lambda selection: selection.asset.type)
    return list(folders.values()), ordered


def _select(hub: Hub, path: str, branch: str | None) -> Iterator[FolderRecord | Selection]:
    if path in ASSET_TYPES:
        for folder in hub.list_folders(path):
            yield folder
            yield from (Selection(folder, asset) for asset in hub.list_assets(folder))
        return
    parts = parse(path)
    found = hub.resolve_path(parts)
    if isinstance(found, FolderRecord):
        yield found
        yield from (Selection(found, asset) for asset in hub.list_assets(found))
        return
    folder = hub.get_folder_by_id(found.folder)
    yield Selection(folder, found, parts.ref, branch)


@contextmanager
def offered(hub: Hub, selection: Selection) -> Iterator[tuple[AssetOffer, Lease | None]]:
    """Yield what the store has of an asset, pinned for the length of the block.

    Raises:
        NotFoundError: the reference is not there.
        ConflictError: the heads move faster than they can be pinned.
    """
    for _ in range(READ_TRIES):
        offer = _read(hub, selection)
        lease = _pin(hub, sorted({ref.commit for ref in offer.refs}))
        try:
            if _read(hub, selection).refs == offer.refs:
                yield offer, lease
                return
        finally:
            if lease is not None:
                lease.end()
    raise ConflictError(
        f"the branches of {selection.asset.path} move too fast to be read; try again",
        id=selection.asset.id,
    )


def _pin(hub: Hub, commits: Sequence[CommitId]) -> Lease | None:
    try:
        return Lease.take(hub.repo.cells, [], pins=commits, purpose="transfer")
    except (StorageError, UnsupportedError, OutcomeUnknownError):
        return None


def _read(hub: Hub, selection: Selection) -> AssetOffer:
    asset = selection.asset
    if selection.ref is None:
        refs = tuple(
            RefOffer(ref.name, ref.kind, ref.commit) for ref in Refs(hub.repo).list(asset.id)
        )
    else:
        refs = (_one(hub, selection, selection.ref),)
    return AssetOffer(
        folder=selection.folder,
        record=asset,
        refs=refs,
        whole=selection.ref is None,
        evaluations=Catalogue(hub.repo, evaluations_cell(asset.id)).view().root,
    )


def _one(hub: Hub, selection: Selection, text: str) -> RefOffer:
    found = hub.resolve(selection.asset, text)
    if selection.branch is not None:
        return RefOffer(
            check_ref_name(selection.branch, what="branch name"), "branch", found.commit
        )
    if found.kind == "commit":
        raise InvalidInputError(
            f"{text!r} is a commit, and a commit that no branch or tag holds would not be kept: "
            "say how the branch that holds it is to be called",
            ref=text,
        )
    return RefOffer(found.name, found.kind, found.commit)


def find_record(hub: Hub, record: AssetRecord) -> AssetRecord | None:
    """Return the asset of this id, None if it is not there."""
    try:
        return hub.get_asset_by_id(record.id)
    except NotFoundError:
        return None
