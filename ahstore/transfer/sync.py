"""From store to store: ``sync`` brings one up to date, ``clone`` makes one.

Assets move one after the other, each with a session and a pin of its own, so that one that has
arrived stays when a later one fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ahstore.errors import AlreadyExistsError, InvalidInputError
from ahstore.hub.adopting import adopt_folder
from ahstore.hub.hub import Hub
from ahstore.hub.paths import HubPath
from ahstore.storage.leases import Lease
from ahstore.transfer.receiving import Terms, preview, receive
from ahstore.transfer.results import TransferResult
from ahstore.transfer.source import Selection, offered, select
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How stores are synchronised.

    Attributes:
        force: branches become what they are at the source.
        prune: branches and tags that the source has not are deleted.
        as_path: path of a single asset at the destination, if it is not there yet.
        branch: what a single commit is to be called.
        dry_run: look and tell, and write nothing.
        monitor: told of bytes.
    """

    force: bool = False
    prune: bool = False
    as_path: HubPath | None = None
    branch: str | None = None
    dry_run: bool = False
    monitor: Monitor = SILENT


def sync(
    source: Hub, target: Hub, paths: Sequence[str] = (), options: SyncOptions | None = None
) -> TransferResult:
    """Bring what ``paths`` name (all there is, without any) from ``source`` to ``target``.

    Branches that may not be moved are in the result's ``refused``; all else has moved.

    Raises:
        NotFoundError: a path names nothing.
        AlreadyExistsError: another asset has the name of one that is new here.
        CorruptError: the source is damaged, or its content malformed.
    """
    how = options or SyncOptions()
    folders, selections = select(source, paths, branch=how.branch)
    if how.as_path is not None and (len(selections) != 1 or folders):
        raise InvalidInputError("another path can be given to a single asset only")
    if not how.dry_run:
        for folder in folders:
            adopt_folder(target, folder)
    result = TransferResult()
    for selection in selections:
        how.monitor.start(f"Copying {selection.asset.path}")
        try:
            _sync_asset(source, target, selection, how, result)
        finally:
            how.monitor.finish()
    return result


def _sync_asset(
    source: Hub, target: Hub, selection: Selection, how: SyncOptions, result: TransferResult
) -> None:
    with offered(source, selection) as (offer, lease):
        terms = Terms(
            force=how.force,
            prune=how.prune,
            as_path=how.as_path,
            beats=[lease.beat] if isinstance(lease, Lease) else [],
            monitor=how.monitor,
        )
        act = preview if how.dry_run else receive
        result.assets.append(act(target, source.repo, offer, terms))


def create_like(source: Repository, url: str, *, cache_root: str | None) -> Repository:
    """Make a store that cuts files as ``source`` does, so that both share what is committed later.

    One that is there is opened as it is.
    """
    return Repository.open(url, create=True, cache_root=cache_root, cutting=source.cutting)


def clone(source: Hub, target: Hub, *, monitor: Monitor = SILENT) -> TransferResult:
    """Bring everything to a new store; one that was cut short goes on.

    Raises:
        AlreadyExistsError: the target has folders or assets that the source has not.
    """
    for folder in target.list_folders():
        theirs = next((f for f in source.list_folders() if f.path == folder.path), None)
        ids = set() if theirs is None else {asset.id for asset in source.list_assets(theirs)}
        own = [asset for asset in target.list_assets(folder) if asset.id not in ids]
        if theirs is None or own:
            raise AlreadyExistsError(
                f"{target.repo.url} holds {(own[0] if own else folder).path}, which "
                f"{source.repo.url} does not: use sync to bring two stores together",
                url=target.repo.url,
            )
    return sync(source, target, (), SyncOptions(monitor=monitor))
