"""Stores to stores in Python: sync, clone, and bundles by path or stream."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ahstore.client.config import load_settings
from ahstore.client.store import Store
from ahstore.client.target import full_paths
from ahstore.hub.paths import HubPath, parse
from ahstore.transfer.sync import SyncOptions, create_like
from ahstore.transfer.sync import clone as clone_hub
from ahstore.transfer.sync import sync as sync_hubs
from ahstore.versions.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from ahstore.transfer.results import TransferResult

StoreLike = Store | str | os.PathLike[str]


def sync(
    source: StoreLike,
    target: StoreLike,
    paths: Sequence[str] = (),
    *,
    force: bool = False,
    prune: bool = False,
    as_path: str | None = None,
    branch: str | None = None,
    dry_run: bool = False,
    monitor: Monitor = SILENT,
) -> TransferResult:
    """Bring folders, assets or versions from one store to another; only what is missing is sent.

    Args:
        source: a store, opened or by its URL.
        target: the store to bring up to date; made if there is none.
        paths: what is to move, ``model/F``, ``model/F/A``, ``model/F/A:REF``; nothing: all there is.
        force: branches become what they are at the source, also where that loses commits.
        prune: branches and tags of these assets that the source has not are deleted.
        as_path: where a single asset goes that is not in the target yet.
        branch: the branch that holds a version given by its commit id.
        dry_run: read and check everything, write nothing.
        monitor: told of progress.

    Raises:
        DivergedError: branches have commits of their own on both sides, or tags differ. All else
            has moved; the error's ``result`` tells.
        AlreadyExistsError: another asset has the name of one that is new.
        NotFoundError: a path names nothing.
        CorruptError: the source is damaged or its content malformed; nothing of that is visible.
    """
    with ExitStack() as stack:
        here = _opened(source, stack, create=False)
        there = _opened(target, stack, create=not dry_run)
        options = SyncOptions(
            force=force,
            prune=prune,
            as_path=None if as_path is None else asset_path(as_path),
            branch=branch,
            dry_run=dry_run,
            monitor=monitor,
        )
        source_hub = here.core.hub
        whole = full_paths(source_hub, paths)
        result = sync_hubs(source_hub, there.core.hub, whole, options)
    result.raise_refused()
    return result


def clone(
    source: StoreLike, target: str | os.PathLike[str], *, monitor: Monitor = SILENT
) -> TransferResult:
    """Make a store that holds all that ``source`` holds; one that was cut short goes on.

    The new store has an id of its own and cuts files as the source does.

    Raises:
        AlreadyExistsError: ``target`` holds something that the source does not.
        DivergedError: it was changed since it was begun.
    """
    with ExitStack() as stack:
        here = _opened(source, stack, create=False)
        settings = load_settings(store=os.fspath(target))
        create_like(here.core.repo, settings.store, cache_root=settings.cache_dir).close()
        there = _opened(target, stack, create=False)
        result = clone_hub(here.core.hub, there.core.hub, monitor=monitor)
    result.raise_refused()
    return result


def asset_path(text: str) -> HubPath:
    """Return the path of an asset that need not be there.

    Raises:
        InvalidInputError: it is none.
    """
    return parse(text, need="asset")


def _opened(store: StoreLike, stack: ExitStack, *, create: bool) -> Store:
    if isinstance(store, Store):
        return store
    return stack.enter_context(Store.open(store, create=create))
