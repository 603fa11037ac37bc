"""The calls of the tutorial, over one default store that is opened when it is first needed.

The store is the one logged in to in this process, else ``AH_STORE``, else the remembered login, else
a default in the user's data directory. ``login`` switches the ``AH INFO`` messages on (standard
error). For use inside other programs there is `open`, with no global state.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any, Literal

from ahstore.client.additions import Additions
from ahstore.client.branch import Branch
from ahstore.client.catalogue import Resource
from ahstore.client.config import Login, forget_login, load_settings, write_login
from ahstore.client.core import Notify, silent
from ahstore.client.dataset import Dataset
from ahstore.client.describe import Records
from ahstore.client.folder import Folder
from ahstore.client.model import Model
from ahstore.client.ref import Commit, Tag
from ahstore.client.run import Run
from ahstore.client.store import Store
from ahstore.client.transaction import Transaction
from ahstore.client.transfer import clone, sync
from ahstore.client.version import Version
from ahstore.errors import (
    AhError,
    AlreadyExistsError,
    ConflictError,
    CorruptError,
    DivergedError,
    InvalidInputError,
    MergeConflictError,
    NotFoundError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    RunFailedError,
    SourceChangedError,
    StorageError,
    StorageFullError,
    UnsupportedError,
)
from ahstore.hub.paths import DEFAULT_REF
from ahstore.transfer.exporting import ExportResult
from ahstore.transfer.results import TransferResult
from ahstore.upkeep.damage import FsckReport
from ahstore.upkeep.policy import DEFAULT
from ahstore.upkeep.report import GcReport
from ahstore.versions.history.merge import Strategy
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.restoring.checkout import DownloadResult

__all__ = [  # noqa: RUF022  the calls first, then classes, then errors
    "open", "login", "logout",
    "create_folder", "get_folder", "list_folder", "get_asset",
    "create", "get", "list", "update", "delete", "undelete", "commit", "transaction", "download",
    "merge", "revert", "cherry_pick", "restore", "reset", "delete_evaluation",
    "export", "import_bundle", "sync", "clone", "gc", "fsck",
    "Store", "Folder", "Model", "Dataset", "Branch", "Tag", "Commit", "Transaction", "Run",
    "Monitor", "GcReport", "FsckReport",
    "AhError", "AlreadyExistsError", "ConflictError", "CorruptError", "DivergedError",
    "InvalidInputError",
    "MergeConflictError", "NotFoundError", "ObjectNotFoundError", "OutcomeUnknownError",
    "RunFailedError", "SourceChangedError", "StorageError", "StorageFullError",
    "UnsupportedError",
]  # fmt: skip

_default: Store | None = None
_default_pid = 0
_notify: Notify = silent


def open(  # noqa: A001  the name that users of other stores know
    url: str | os.PathLike[str] | None = None,
    *,
    user: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    create: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    notify: Notify = silent,
) -> Store:
    """Open a store of your own, apart from the default one; see `Store.open`."""
    return Store.open(
        url,
        user=user,
        cache_dir=cache_dir,
        runs_dir=runs_dir,
        create=create,
        storage_options=storage_options,
        notify=notify,
    )


def print_message(message: str) -> None:
    """Write an ``AH INFO`` line to standard error."""
    sys.stderr.write(f"AH INFO: {message}\n")
    sys.stderr.flush()


def default_store() -> Store:
    """Return the store that the calls of this module use, opened now if it was not yet."""
    global _default, _default_pid
    if _default is None or _default_pid != os.getpid():
        # A forked child opens its own: caches must not be shared across a fork.
        _default = Store.open(notify=lambda message: _notify(message))
        _default_pid = os.getpid()
    return _default


def login(host: str | os.PathLike[str] | None = None, api_key: str | None = None) -> None:
    """Use the store at ``host`` (a URL or path) from now on, also in other processes.

    Without ``host`` the store in force is used. Messages are switched on. ``api_key`` is not
    looked at: an embedded store has no one to check it, and on S3 the credentials are S3's own.

    Raises:
        UnsupportedError: the URL's scheme is not known.
        StorageError: the store can't be made or read.
    """
    del api_key
    global _default, _default_pid, _notify
    store = Store.open(host, notify=lambda message: _notify(message))
    if host is not None:
        write_login(Login(store.url))
    if _default is not None and _default_pid == os.getpid():
        _default.close()
    _default, _default_pid = store, os.getpid()
    _notify = print_message
    _notify(f"Logged in to Asset Hub server {store.url} as user {store.user}")


def logout() -> None:
    """Forget the store logged in to, and close it."""
    global _default
    url = _default.url if _default is not None else load_settings().store
    if _default is not None and _default_pid == os.getpid():
        _default.close()
    _default = None
    forget_login()
    _notify(f"Logged out from Asset Hub server {url}")


def create_folder(
    type_: str,
    name: str,
    labels: Sequence[str] | None = None,
    description: str = "",
    exist_ok: bool = False,
) -> Folder:
    """Create a folder; see `Store.create_folder`."""
    return default_store().create_folder(type_, name, labels, description, exist_ok)


def get_folder(
    owner: str | None = None,
    type_: str | None = None,
    name: str | None = None,
    id_: str | None = None,
) -> Folder:
    """Return a folder; see `Store.get_folder`."""
    return default_store().get_folder(owner, type_, name, id_)


def list_folder(type_: str | None = None) -> Records:
    """Return the folders; see `Store.list_folder`."""
    return default_store().list_folder(type_)


def get_asset(id_: str) -> Model | Dataset:
    """Return an asset by its UUID; see `Store.get_asset`."""
    return default_store().get_asset(id_)


def create(
    path: str,
    *,
    resource: Resource | None = None,
    source: str = DEFAULT_REF,
    labels: Sequence[str] | None = None,
    description: str = "",
    exist_ok: bool = False,
) -> Folder | Model | Dataset | Branch | Tag:
    """Create what ``path`` names; see `Store.create`."""
    return default_store().create(
        path,
        resource=resource,
        source=source,
        labels=labels,
        description=description,
        exist_ok=exist_ok,
    )


def get(path: str) -> Folder | Model | Dataset | Version:
    """Return what ``path`` names; see `Store.get`."""
    return default_store().get(path)


def list(  # noqa: A001  the tutorial's name
    path: str, *, resource: Resource | None = None
) -> Records:
    """Return what is in ``path``, a list of dictionaries; see `Store.list`."""
    return default_store().list(path, resource=resource)


def update(
    path: str,
    *,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    description: str | None = None,
) -> Folder | Model | Dataset:
    """Change name, labels or description; see `Store.update`."""
    return default_store().update(path, name=name, labels=labels, description=description)


def delete(path: str, *, resource: Resource | None = None, force: bool = False) -> None:
    """Delete what ``path`` names; see `Store.delete`."""
    default_store().delete(path, resource=resource, force=force)


def undelete(
    path: str, *, resource: Literal["branch", "tag"] | None = None
) -> Folder | Model | Dataset | Branch | Tag:
    """Bring back a deleted folder, asset, branch or tag; see `Store.undelete`."""
    return default_store().undelete(path, resource=resource)


def commit(
    path: str,
    msg: str,
    delete: Sequence[str] | None = None,
    add: Additions | None = None,
    *,
    expect: str | Commit | None = None,
    metadata: Mapping[str, Any] | None = None,
    rehash: bool = False,
    monitor: Monitor = SILENT,
) -> Commit | None:
    """Commit local files to a branch; see `Store.commit`."""
    return default_store().commit(
        path, msg, delete, add, expect=expect, metadata=metadata, rehash=rehash, monitor=monitor
    )


def download(
    path: str,
    paths: Sequence[str] | None = None,
    save_dir: str | os.PathLike[str] = ".",
    *,
    monitor: Monitor = SILENT,
) -> DownloadResult:
    """Write the objects of a version into a folder; see `Store.download`."""
    return default_store().download(path, paths, save_dir, monitor=monitor)


def merge(
    path: str,
    target: str = DEFAULT_REF,
    *,
    msg: str | None = None,
    strategy: Strategy = "three-way",
    expect: str | Commit | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Commit | None:
    """Merge a version into a branch; see `Asset.merge`."""
    return default_store().merge(
        path, target, msg=msg, strategy=strategy, expect=expect, metadata=metadata
    )


def revert(path: str, commit: str, **options: Any) -> Commit | None:
    """Undo on a branch what a commit changed; options as for `Branch.revert`."""
    return default_store().branch(path).revert(commit, **options)


def cherry_pick(path: str, commit: str, **options: Any) -> Commit | None:
    """Do again on a branch what a commit changed; options as for `Branch.cherry_pick`."""
    return default_store().branch(path).cherry_pick(commit, **options)


def restore(path: str, paths: Sequence[str], source: str, **options: Any) -> Commit | None:
    """Bring objects of an older version back into a branch; options as for `Branch.restore`."""
    return default_store().branch(path).restore(paths, source, **options)


def transaction(path: str, message: str, **options: Any) -> Transaction:
    """Begin a commit that is written piece by piece; see `Branch.transaction`."""
    return default_store().branch(path).transaction(message, **options)


def reset(path: str, ref: str | None = None, *, expect: str | Commit | None = None) -> None:
    """Point a branch at another commit; see `Store.reset`."""
    default_store().reset(path, ref, expect=expect)


def delete_evaluation(evaluation_id: str) -> None:
    """Delete an evaluation; see `Store.delete_evaluation`."""
    default_store().delete_evaluation(evaluation_id)


def export(
    paths: str | Sequence[str],
    file: str | os.PathLike[str] | IO[bytes],
    *,
    since: Sequence[str] = (),
    branch: str | None = None,
    monitor: Monitor = SILENT,
) -> ExportResult:
    """Write assets with their history into one file; see `Store.export`."""
    return default_store().export(paths, file, since=since, branch=branch, monitor=monitor)


def import_bundle(
    file: str | os.PathLike[str] | IO[bytes],
    *,
    as_path: str | None = None,
    force: bool = False,
    prune: bool = False,
    dry_run: bool = False,
    monitor: Monitor = SILENT,
) -> TransferResult:
    """Bring what is in a bundle into the store; see `Store.import_bundle`."""
    return default_store().import_bundle(
        file, as_path=as_path, force=force, prune=prune, dry_run=dry_run, monitor=monitor
    )


def gc(
    *,
    dry_run: bool = False,
    now: bool = False,
    retention: float = DEFAULT.retention,
    keep_last: int = DEFAULT.keep_last,
    monitor: Monitor = SILENT,
) -> GcReport:
    """Delete what nothing needs any more; see `Store.gc`."""
    return default_store().gc(
        dry_run=dry_run, now=now, retention=retention, keep_last=keep_last, monitor=monitor
    )


def fsck(
    *,
    read_data: bool | str = False,
    repair: bool = False,
    source: str | None = None,
    monitor: Monitor = SILENT,
) -> FsckReport:
    """Check that everything is there and whole; see `Store.fsck`."""
    return default_store().fsck(read_data=read_data, repair=repair, source=source, monitor=monitor)
