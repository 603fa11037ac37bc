"""What branches, tags and commits have in common: reading, comparing, evaluating."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from ahstore.client import describe, history
from ahstore.client.additions import Additions, as_additions
from ahstore.client.core import check_sequence
from ahstore.client.history import LogOptions
from ahstore.client.left_out import LeftOut
from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.ids import CommitId
from ahstore.versions.comparing.diff import RENAME_LIMIT, diff
from ahstore.versions.history.log import log
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.refs import Ref, RefKind

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ahstore.client.asset import Asset
    from ahstore.client.dataset import Dataset
    from ahstore.client.ref import Commit
    from ahstore.client.run import Run
    from ahstore.jobs.options import RunOptions
    from ahstore.jobs.provenance.lineage import Lineage
    from ahstore.versions.restoring.checkout import DownloadResult


class Version:
    """What branches, tags and commits have in common: they name one commit of an asset.

    Attributes:
        asset: the model or dataset.
        kind: ``branch``, ``tag`` or ``commit``.
        name: of the branch or tag; a commit's full id.
        via: the branch or tag by which it was named, None for a commit by its id.
    """

    kind = "version"

    def __init__(self, asset: Asset, name: str, *, written: str | None = None) -> None:
        self.asset = asset
        self.name = name
        self.via: str | None = name
        self._written = written
        self._core = asset.core

    @property
    def ref(self) -> str:
        """The reference, as it stands after the colon of a path: ``branch/v1``."""
        return self._written or f"{self.kind}/{self.name}"

    @property
    def path(self) -> str:
        """``user/model/folder/asset:branch/v1``."""
        return f"{self.asset.path}:{self.ref}"

    @property
    def commit_id(self) -> str:
        """The id of the commit that this names now, 64 hex digits."""
        return self.head.hex()

    @property
    def head(self) -> CommitId:
        """The commit that this names now.

        Raises:
            NotFoundError: the branch or tag is gone.
        """
        return self._ref().commit

    def _ref(self) -> Ref:
        kind: RefKind = "tag" if self.kind == "tag" else "branch"
        try:
            return self._core.refs.get(self.asset.record.id, self.name, kind)
        except NotFoundError:
            raise NotFoundError(
                f"there is no {self.kind} {self.name!r} of {self.asset.title}", name=self.name
            ) from None

    def list_object(self, prefix: str = "") -> list[dict[str, Any]]:
        """Return the objects whose paths start with ``prefix``, sorted by path."""
        return list(self.iter_object(prefix))

    def iter_object(self, prefix: str = "", *, located: bool = True) -> Iterator[dict[str, Any]]:
        """Yield what `list_object` returns, in bounded memory.

        ``located=False`` leaves ``physical_address`` out, and with it the look-up of where bytes lie.
        """
        return describe.objects(self._core.repo, self.head, prefix=prefix, located=located)

    def lineage(self, *, up: bool = True, down: bool = True) -> Lineage:
        """Return what this version was made of (``up``) and what came of it (``down``).

        A graph of ``nodes`` (versions, code, evaluations) by key and ``edges`` between them;
        ``to_dict()`` gives it as JSON has it.
        """
        return self._core.jobs.provenance.lineage(self.asset.record, self.head, up=up, down=down)

    def rerun(
        self,
        *,
        git_repo: str | None = None,
        python: str | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Run:
        """Do the training again that made this version, and return at once; nothing else changes.

        When it has succeeded, ``run.verdict()`` says whether the same bytes came of it, and an
        evaluation of this version, on the dataset of the training, records it for good.

        Args:
            git_repo: where the code is now, if it is no longer where the training had it.
            python: another interpreter than the training's.
            env: variables whose values were not recorded; None for a value is the caller's.

        Raises:
            InvalidInputError: this version was not made by a training, or a variable is missing.
            NotFoundError: something that it was made of is not there any more.
        """
        model = self.asset.as_model()
        record = self._core.jobs.rerun(
            model.record, self.ref, git_repo=git_repo, python=python, env=env
        )
        self._core.notify(f"Rerunning the training of {self.path}")
        return model.run_of(record)

    def patch(self) -> bytes:
        """Return the uncommitted changes that the code of this version's training had.

        As `git diff --binary` gives them; empty if the code was exactly the recorded commit.

        Raises:
            InvalidInputError: this version was not made by a training.
        """
        jobs = self._core.jobs
        return jobs.provenance.read_patch(jobs.provenance.code_of(self.asset.record, self.head))

    def download_code(
        self, save_dir: str | os.PathLike[str], *, git_repo: str | None = None
    ) -> None:
        """Make a new folder a checkout of the code that made this version, as `Run.download_code`.

        Raises:
            InvalidInputError: this version was not made by a training, or the folder has something.
            NotFoundError: the repository or its commit is not there.
        """
        jobs, folder = self._core.jobs, os.fspath(save_dir)
        code = jobs.provenance.code_of(self.asset.record, self.head)
        jobs.provenance.download_code(code, folder, git_repo=git_repo)
        self._core.notify(f"Wrote the code of {self.path} to {folder}")

    def why(self) -> str:
        """Return in plain words who made this version, with what code, of what, measured how."""
        return "\n\n".join(self._core.jobs.provenance.why(self.asset.record, self.head))

    def list_commit(
        self, limit: int | None = None, **only: Unpack[LogOptions]
    ) -> list[dict[str, Any]]:
        """Return this commit and its ancestors, newest first, at most ``limit`` of them.

        Args:
            limit: the most that are returned.
            **only: which of them: ``paths author message since until first_parent``, see
                `LogOptions`.
        """
        return list(self.iter_commit(limit, **only))

    def iter_commit(
        self, limit: int | None = None, **only: Unpack[LogOptions]
    ) -> Iterator[dict[str, Any]]:
        """Yield what `list_commit` returns, as it is read."""
        return history.commits(self._core.repo, self.head, limit, only)

    def iter_graph(
        self, limit: int | None = None, **only: Unpack[LogOptions]
    ) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield commits, none before one of its children, with their nearest ancestors listed."""
        return history.graph(self._core.repo, self.head, limit, only)

    def blame(self, path: str = "") -> Iterator[dict[str, Any]]:
        """Yield the objects at or below ``path`` with the commit that brought each its content.

        Each has ``path``, ``size_bytes`` and the commit's ``commit_id``, ``committer``,
        ``creation_date`` and ``message``. The walk goes through the history once.
        """
        return history.origins(self._core.repo, self.head, path)

    def get_commit(self, index: int | None = None, id: str | None = None) -> Commit:  # noqa: A002
        """Return a commit of this history: the last one, or by position or id.

        Args:
            index: 0 for the last commit, 1 for the one before, -1 for the first.
            id: the commit's id or the first 4 or more digits of it. Not used when there is ``index``.

        Raises:
            NotFoundError: the history has no such commit.
        """
        if index is not None:
            return self._commit_at(index)
        if id is None:
            return self.asset.commit_of(self.head)
        wanted = self.asset.get_commit(id)
        history = log(self._core.repo, self.head)
        if not any(commit_id == wanted.head for commit_id, _ in history):
            raise NotFoundError(f"commit {id!r} is not in the history of {self.path}", id=id)
        return wanted

    def _commit_at(self, index: int) -> Commit:
        history = (commit_id for commit_id, _ in log(self._core.repo, self.head))
        if index >= 0:
            found = next(islice(history, index, None), None)
        else:
            ids = list(history)
            found = ids[index] if -index <= len(ids) else None
        if found is None:
            raise NotFoundError(f"the history of {self.path} has no commit {index}", index=index)
        return self.asset.commit_of(found)

    def download(
        self,
        paths: Sequence[str] | None = None,
        save_dir: str | os.PathLike[str] = ".",
        *,
        monitor: Monitor = SILENT,
    ) -> DownloadResult:
        """Write objects into a folder, all or those at ``paths`` (``a/b`` an object, ``a/`` a folder).

        Raises:
            ObjectNotFoundError: a path names nothing in this version.
            StorageError: the target's file system failed.
        """
        from ahstore.versions.restoring.checkout import download  # start-up

        head = self.head
        self._core.notify(f"Downloading commit {head.hex()[:8]} of {self.asset.title}")
        result = download(
            self._core.repo,
            head,
            paths=check_sequence(paths, "paths"),
            target=os.fspath(save_dir),
            monitor=monitor,
        )
        noun = "object" if result.files == 1 else "objects"
        self._core.notify(f"Downloaded {result.files} {noun} to {os.fspath(save_dir)}")
        return result

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading, seekable; its bytes are fetched as they are read.

        Raises:
            ObjectNotFoundError: there is no such object.
        """
        from ahstore.versions.restoring.checkout import open_object  # start-up

        return open_object(self._core.repo, self.head, path)

    def exists(self, path: str) -> bool:
        """Say whether this version has an object at ``path``."""
        from ahstore.versions.restoring.checkout import find_object  # start-up

        return find_object(self._core.repo, self.head, path) is not None

    def status(
        self,
        add: Additions | None = None,
        delete: Sequence[str] | None = None,
        *,
        rehash: bool = False,
        monitor: Monitor = SILENT,
    ) -> list[dict[str, Any]]:
        """Return what a commit of these onto this version would change; nothing is written."""
        from ahstore.versions.adding.commits import preview  # start-up

        changes = preview(
            self._core.repo,
            self.head,
            add=as_additions(add),
            delete=check_sequence(delete, "delete"),
            rehash=rehash,
            monitor=LeftOut(self._core.notify, monitor),
        )
        return [describe.change(change) for change in changes]

    def diff(
        self,
        other: Version,
        *,
        paths: Sequence[str] | None = None,
        renames: bool = True,
        similarity: float | None = None,
        rename_limit: int = RENAME_LIMIT,
        deep: bool = False,
        values: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield what turns this version into ``other``, which may be another asset's, by path.

        Args:
            other: the version after.
            paths: only these objects (``a/b``) and what is in these folders (``a/``).
            renames: an object that was deleted in one place and added with the same content in
                another is one ``renamed``.
            similarity: look for renamed objects also where this share of the content (0 to 1) is
                the same, told by the chunks in common.
            rename_limit: with more differences than these, no renames are looked for.
            deep: of modified safetensors, npy, npz, PyTorch, zip and Parquet files tell which tensors,
                arrays, members or columns differ, reading only what may.
            values: as ``deep``, and how far the values are apart.

        Yields:
            ``change`` (``added``, ``modified``, ``deleted`` or ``renamed``), ``path``,
            ``old_path`` (of a renamed object), ``size_bytes``, ``old_size_bytes``, ``what``
            differs (``content``, ``content type``, ``executable``), ``similarity``; with ``deep`` also
            ``inside``: ``format``, ``parts``, ``unchanged`` and a ``note``, or None.

        Raises:
            NotFoundError: a branch or tag is gone.
            UnsupportedError: ``values`` needs numpy or pyarrow, which is not installed.
        """
        repo = self._core.repo
        if other._core.repo.creation_id != repo.creation_id:
            raise InvalidInputError("the two versions are in different stores")
        found = diff(
            repo,
            self.head,
            other.head,
            paths=check_sequence(paths, "paths"),
            renames=renames,
            similarity=similarity,
            rename_limit=rename_limit,
            on_limit=lambda limit: self._core.notify(
                f"More than {limit} differences: renames were not looked for"
            ),
        )
        if not deep and not values:
            return map(describe.difference, found)
        from ahstore.versions.comparing.parts import inside_of  # start-up: few look inside

        return (
            describe.difference(each)
            | {"inside": describe.inside(inside_of(repo, each, values=values, renames=renames))}
            for each in found
        )

    def evaluate(
        self,
        dataset: Dataset | Version | str,
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        **options: Unpack[RunOptions],
    ) -> Run:
        """Start an evaluation of this version and return at once; the run goes on by itself.

        Args:
            dataset: a dataset (its ``main``), a version of one, or a path.
            volume: the most that the run's files may take, ``100Mi`` or bytes.
            git_repo: URL or local path of the repository with the code.
            git_revision: branch, tag or commit.
            git_subpath: folder of the code in the repository.
            options: see `RunOptions`.

        Raises:
            InvalidInputError: this is no model's version, or an argument is malformed.
            NotFoundError: there is no such dataset, repository, revision or folder.
        """
        return self.asset.as_model().evaluate_version(
            self, dataset, volume, git_repo, git_revision, git_subpath, **options
        )

    def create_evaluation(
        self,
        metrics: Mapping[str, Any],
        dataset: Dataset | Version | str,
        *,
        key: str = "metric",
    ) -> dict[str, Any]:
        """Record results measured elsewhere for this model commit on a dataset's commit.

        They stay with the two commits, wherever branches move. ``key`` names the result.
        """
        return self.asset.as_model().record_evaluation(self, metrics, dataset, key=key)

    def list_evaluation(
        self, *, dataset: Dataset | Version | str | None = None, where: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the evaluations of the commit that this names now; see `Model.list_evaluation`."""
        model = self.asset.as_model()
        return model.list_evaluation(version=self, dataset=dataset, where=where)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        mine = (self.kind, self.name, self.asset.id)
        return mine == (other.kind, other.name, other.asset.id)

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.asset.id))
