"""A store in Python: opened, written to by path, kept up, exchanged."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from ahstore.client import describe
from ahstore.client.additions import Additions
from ahstore.client.catalogue import Catalogue
from ahstore.client.config import load_settings
from ahstore.client.core import Core, Notify, silent
from ahstore.client.ref import Commit
from ahstore.client.target import full_paths
from ahstore.errors import ConflictError, InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.hub.paths import DEFAULT_REF, parse
from ahstore.ids import EvaluationId, parse_entity_id
from ahstore.names import check_name
from ahstore.packs.place import pack_key
from ahstore.packs.reader import list_packs
from ahstore.upkeep.policy import DEFAULT, Policy
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository

if TYPE_CHECKING:
    from ahstore.jobs.provenance.comparison import Comparison
    from ahstore.transfer.exporting import ExportResult
    from ahstore.transfer.results import TransferResult
    from ahstore.upkeep.damage import FsckReport
    from ahstore.upkeep.report import GcReport
    from ahstore.versions.history.merge import Strategy
    from ahstore.versions.restoring.checkout import DownloadResult


class Store(Catalogue):
    """A store, opened for one user. Close it, or use it as a context manager.

    Attributes:
        user: who acts: owner of new folders, committer of commits.
    """

    def __init__(
        self, repo: Repository, *, user: str, runs_dir: str, notify: Notify = silent
    ) -> None:
        hub = Hub(repo, user)
        super().__init__(Core(repo, hub, Refs(repo), user, runs_dir, repo.url, notify))

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        user: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        runs_dir: str | os.PathLike[str] | None = None,
        create: bool = True,
        storage_options: Mapping[str, Any] | None = None,
        cache_size: int | None = None,
        notify: Notify = silent,
    ) -> Store:
        """Open a store.

        Args:
            url: ``file:///…``, a path, ``s3://bucket/prefix``, ``memory://name``; None: the one in
                force (``AH_STORE``, the login, a default in the user's data directory).
            user: who acts; None: ``AH_USER``, the login's user, the system's user.
            cache_dir: where what can be rebuilt is kept; None: the user's cache directory.
            runs_dir: where runs have their workspaces; None: the user's state directory.
            create: make the store when nothing is there yet.
            storage_options: arguments for s3fs (``key``, ``secret``, ``client_kwargs`` …), beside
                what the URL and AWS's own configuration say. They are stored nowhere.
            cache_size: most bytes kept here of a store in a bucket; 0: nothing is kept; None:
                ``AH_CACHE_SIZE``, else 10 GiB or a tenth of the disk if that is less.
            notify: gets a line for each thing that is done; silent unless given.

        Raises:
            NotFoundError: there is no store, and ``create`` is False.
            UnsupportedError: the URL's scheme or the store's format is not known.
            InvalidInputError: the URL or the user's name is malformed.
        """
        settings = load_settings(store=None if url is None else os.fspath(url), user=user)
        check_name(settings.user, what="user name")
        repo = Repository.open(
            settings.store,
            create=create,
            cache_root=os.fspath(cache_dir or settings.cache_dir),
            storage_options=storage_options,
            cache_size=settings.cache_size if cache_size is None else cache_size,
        )
        return cls(
            repo,
            user=settings.user,
            runs_dir=os.fspath(runs_dir or settings.runs_dir),
            notify=notify,
        )

    @property
    def url(self) -> str:
        """The store's canonical URL."""
        return self.core.repo.url

    @property
    def id(self) -> str:
        """The UUID given to the store when it was made; copies share it."""
        return self.core.repo.creation_id

    def close(self) -> None:
        """Release files and caches; the store can't be used any more."""
        self.core.repo.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r}, user={self.user!r})"

    def statistics(self) -> dict[str, int]:
        """Return how many folders, assets and packs there are, and the packs' bytes."""
        counts = dict.fromkeys(
            ("model_folders", "models", "dataset_folders", "datasets", "packs", "pack_bytes"), 0
        )
        for folder in self.core.hub.list_folders():
            counts[f"{folder.type}_folders"] += 1
            counts[f"{folder.type}s"] += len(self.core.hub.list_assets(folder))
        for family, pack in list_packs(self.core.repo.storage):
            counts["packs"] += 1
            counts["pack_bytes"] += self.core.repo.storage.stat(pack_key(family, pack)).size
        return counts

    # Virtual environments of runs; they are this machine's and user's, not the store's.

    def list_environment(self) -> list[dict[str, Any]]:
        """Return the virtual environments that were made for runs here, the last used first.

        Each with ``key``, ``from`` (the file that named the packages), ``python``, ``installer``,
        ``path``, ``size_bytes``, ``used`` (seconds since 1970) and whether it is ``in_use``.
        """
        from ahstore.jobs.running.venv import Environments  # start-up: few commands need it

        return [each.to_dict() for each in Environments(self.core.runs_dir).list()]

    def delete_environment(self, key: str) -> None:
        """Remove a virtual environment that was made for runs; the next run that needs it makes it.

        Args:
            key: its key, or the first digits of it.

        Raises:
            NotFoundError: there is none.
            ConflictError: a run is using it.
        """
        from ahstore.jobs.running.venv import Environments  # start-up: few commands need it

        made = Environments(self.core.runs_dir)
        removed = made.get(key).key
        if not made.remove(removed):
            raise ConflictError(
                f"environment {removed[:8]} is in use: try again later", key=removed
            )
        self.core.notify(f"Deleting environment {removed[:8]}")

    # Upkeep.

    def gc(
        self,
        *,
        dry_run: bool = False,
        now: bool = False,
        retention: float = DEFAULT.retention,
        keep_last: int = DEFAULT.keep_last,
        min_age: float = DEFAULT.min_age,
        repack: bool = DEFAULT.repack,
        wait: float = DEFAULT.wait,
        monitor: Monitor = SILENT,
    ) -> GcReport:
        """Delete what no branch, tag, evaluation or run needs, safely beside other users.

        Args:
            dry_run: change nothing, only tell what would be deleted.
            now: keep nothing for a while: no retention, and no minimum age unless someone on
                another machine is writing.
            retention: seconds for which former heads and what was deleted are kept.
            keep_last: former heads of each branch that are kept however old.
            min_age: seconds that a pack has to be old to be deleted or rewritten.
            repack: rewrite packs of which much is unused, and merge small ones.
            wait: seconds to wait for living writers.
            monitor: is told how far things are.

        Raises:
            CorruptError, NotFoundError: it can't be told what is needed; nothing was deleted.
            WriterBusyError: a living writer goes on for too long; run it again.
        """
        from ahstore.upkeep.gc import collect  # start-up: few commands need it

        policy = Policy(retention, keep_last, min_age, now, repack, wait)
        return collect(self.core.repo, policy, dry_run=dry_run, monitor=monitor)

    def fsck(
        self,
        *,
        read_data: bool | str = False,
        repair: bool = False,
        source: str | None = None,
        monitor: Monitor = SILENT,
    ) -> FsckReport:
        """Check that everything is there and is what it should be.

        Args:
            read_data: read and verify every byte too; ``"n/t"``: the n-th of t equal parts.
            repair: set damaged packs aside, keep what is whole of them, rebuild the index.
            source: URL of another store, from which ``repair`` takes what is missing.
            monitor: is told how far things are.

        Raises:
            InvalidInputError: ``read_data`` is malformed, or ``source`` is given without ``repair``.
        """
        from ahstore.upkeep.check_packs import Share  # start-up: few commands need it
        from ahstore.upkeep.fsck import check
        from ahstore.upkeep.repair import mend

        share = (
            Share.parse(read_data) if isinstance(read_data, str) else Share() if read_data else None
        )
        if not repair:
            if source is not None:
                raise InvalidInputError("another store is of use only with repair")
            return check(self.core.repo, read_data=share, monitor=monitor)
        if source is None:
            return mend(self.core.repo, read_data=share, monitor=monitor)
        here = self.core.repo
        other = Repository.open(source, cache_root=here.cache_root, cache_size=here.cache_size)
        try:
            return mend(self.core.repo, source=other, read_data=share, monitor=monitor)
        finally:
            other.close()

    def commit(
        self,
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
        """Commit to the branch that ``path`` names, ``main`` without one; see `Branch.create_commit`."""
        return self.branch(path).create_commit(
            msg, delete, add, expect=expect, metadata=metadata, rehash=rehash, monitor=monitor
        )

    def download(
        self,
        path: str,
        paths: Sequence[str] | None = None,
        save_dir: str | os.PathLike[str] = ".",
        *,
        monitor: Monitor = SILENT,
    ) -> DownloadResult:
        """Write the objects of a version into a folder; see `Branch.download`."""
        return self.version(path).download(paths, save_dir, monitor=monitor)

    def merge(
        self,
        path: str,
        target: str = DEFAULT_REF,
        *,
        msg: str | None = None,
        strategy: Strategy = "three-way",
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        """Merge the version that ``path`` names into a branch of its asset; see `Asset.merge`."""
        version = self.version(path)
        return version.asset.merge(
            version, target, msg=msg, strategy=strategy, expect=expect, metadata=metadata
        )

    def reset(
        self, path: str, ref: str | None = None, *, expect: str | Commit | None = None
    ) -> None:
        """Make ``ref`` the head of the branch that ``path`` names; see `Branch.reset`."""
        self.branch(path).reset(ref, expect=expect)

    def delete_evaluation(self, evaluation_id: str) -> None:
        """Delete an evaluation by its id.

        Raises:
            NotFoundError: there is none.
        """
        self.core.hub.delete_evaluation(EvaluationId(parse_entity_id(evaluation_id)))
        self.core.notify(f"Deleting evaluation with ID {evaluation_id}")

    def get_evaluation(self, evaluation_id: str) -> dict[str, Any]:
        """Return an evaluation by its id, as `Branch.list_evaluation` has it, with ``run`` and ``user``.

        Raises:
            NotFoundError: there is none.
        """
        record = self.core.hub.get_evaluation(EvaluationId(parse_entity_id(evaluation_id)))
        return describe.measurement(record)

    def compare(
        self,
        paths: Sequence[str],
        *,
        dataset: str | None = None,
        metrics: Sequence[str] = (),
        sort: str | None = None,
        along: bool = False,
    ) -> Comparison:
        """Return the evaluations of models side by side, a line for each commit and dataset.

        Args:
            paths: models, versions of models, or folders of models.
            dataset: only evaluations on it; with a reference, on that commit.
            metrics: only these.
            sort: best first by this metric.
            along: one path, a version: the commits of its history, oldest first.

        Raises:
            NotFoundError: a path names nothing, or no evaluation has a metric that is asked for.
            InvalidInputError: a path names no model, or ``along`` has more than one.
        """
        from ahstore.client.comparing import compare_paths  # start-up

        return compare_paths(self, paths, dataset=dataset, metrics=metrics, sort=sort, along=along)

    # Bundles.

    def export(
        self,
        paths: str | Sequence[str],
        file: str | os.PathLike[str] | IO[bytes],
        *,
        since: Sequence[str] = (),
        branch: str | None = None,
        monitor: Monitor = SILENT,
    ) -> ExportResult:
        """Write assets with their history into one file, a bundle.

        Args:
            paths: assets or versions of them, or folders.
            file: where; a path appears when the bundle is whole. Or a binary stream.
            since: references whose history is left out; who imports must have it.
            branch: the branch that is to hold a version given by its commit id.
            monitor: told of progress.

        Raises:
            NotFoundError: there is no such thing.
            StorageError: the file can't be written.
        """
        from ahstore.transfer.bundle_writer import new_file  # start-up
        from ahstore.transfer.exporting import export

        names = [paths] if isinstance(paths, str) else list(paths)
        hub = self.core.hub
        whole = full_paths(hub, names)
        if not isinstance(file, str | os.PathLike):
            return export(hub, whole, file, "-", since=since, branch=branch, monitor=monitor)
        path = os.fspath(file)
        with new_file(path) as stream:
            done = export(hub, whole, stream, path, since=since, branch=branch, monitor=monitor)
        self.core.notify(f"Exported {', '.join(names)} to {path}")
        return done

    def import_bundle(
        self,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        as_path: str | None = None,
        force: bool = False,
        prune: bool = False,
        dry_run: bool = False,
        monitor: Monitor = SILENT,
    ) -> TransferResult:
        """Bring what is in a bundle into this store.

        Args:
            file: a path, or a binary stream, which goes to a temporary file first.
            as_path: where the asset goes if it is not here yet; None: where it was.
            force: branches become what they are in the bundle.
            prune: branches and tags that the bundle's assets have not are deleted.
            dry_run: read and check everything, write nothing.
            monitor: told of progress.

        Raises:
            CorruptError: the bundle is damaged or malformed; nothing was written, or can be seen.
            NotFoundError: it builds on commits that are not here.
            AlreadyExistsError: another asset has the name of one that is new here.
            DivergedError: branches have commits of their own on both sides, or tags differ; all
                else is imported.
        """
        from ahstore.transfer.bundle_file import BundleFile  # start-up
        from ahstore.transfer.importing import import_bundle
        from ahstore.transfer.sync import SyncOptions

        options = SyncOptions(
            force=force,
            prune=prune,
            as_path=None if as_path is None else parse(as_path, need="asset"),
            dry_run=dry_run,
            monitor=monitor,
        )
        if isinstance(file, str | os.PathLike):
            bundle = BundleFile.open(os.fspath(file), monitor=monitor)
        else:
            bundle = BundleFile.from_stream(file, monitor=monitor)
        with bundle:
            result = import_bundle(self.core.hub, bundle, options)
        result.raise_refused()
        return result
