"""The hub: folders, assets and evaluations of a store, as one user sees and changes them.

A thin front: each noun has its module (``folders``, ``assets``, ``evaluations``); here they are put
together and paths are looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ahstore.hub.assets import Assets
from ahstore.hub.evaluations import Evaluations, Guard, NewEvaluation
from ahstore.hub.folders import Folders
from ahstore.hub.measures import best
from ahstore.hub.paths import HubPath, parse, parse_best
from ahstore.hub.records import AssetRecord, EvaluationRecord, FolderRecord
from ahstore.hub.undelete import Undelete
from ahstore.ids import AssetId, CommitId, EvaluationId, FolderId, RunId
from ahstore.names import check_name
from ahstore.versions.repository import Repository
from ahstore.versions.resolve import Resolved, resolve


class Hub:
    """What is in a store, for ``user``: he owns the folders he makes and signs what he records.

    Nothing is forbidden to anyone who can write to the store; ownership says whose a thing is.
    """

    def __init__(self, repo: Repository, user: str) -> None:
        self.repo = repo
        self.user = check_name(user, what="user")
        self._folders = Folders(repo, self.user)
        self._assets = Assets(repo, self._folders, self.user)
        self._evaluations = Evaluations(repo, self._assets, self.user)
        self._undelete = Undelete(repo, self._folders, self._assets)

    # Folders.

    def create_folder(
        self,
        type: str,  # noqa: A002
        name: str,
        *,
        labels: Iterable[str] = (),
        description: str = "",
    ) -> FolderRecord:
        """Make a folder of the user's.

        Raises:
            AlreadyExistsError: the user has one of this kind and name.
            InvalidInputError: kind, name, labels or description are malformed.
        """
        return self._folders.create(type, name, labels=labels, description=description)

    def get_folder(self, type: str, name: str, *, owner: str | None = None) -> FolderRecord:  # noqa: A002
        """Return the folder of this kind and name, the user's own if no owner is given.

        Raises:
            NotFoundError: there is none.
        """
        return self._folders.get(type, name, owner=owner)

    def find_folder(self, type: str, name: str, *, owner: str | None = None) -> FolderRecord | None:  # noqa: A002
        """Return what `get_folder` does, or None."""
        return self._folders.find(type, name, owner=owner)

    def get_folder_by_id(self, folder: FolderId) -> FolderRecord:
        """Return the folder of this id.

        Raises:
            NotFoundError: there is none.
        """
        return self._folders.get_by_id(folder)

    def list_folders(
        self,
        type: str | None = None,  # noqa: A002
        *,
        owner: str | None = None,
    ) -> list[FolderRecord]:
        """Return the folders, of all kinds and owners or of one, by owner, kind and name."""
        return self._folders.list(type, owner=owner)

    def update_folder(
        self,
        folder: FolderId,
        *,
        name: str | None = None,
        labels: Iterable[str] | None = None,
        description: str | None = None,
    ) -> FolderRecord:
        """Change what is given and return the folder as it is then.

        Raises:
            NotFoundError: there is no such folder.
            AlreadyExistsError: its owner has one of the new name.
            InvalidInputError: name, labels or description are malformed.
        """
        return self._folders.update(folder, name=name, labels=labels, description=description)

    def delete_folder(self, folder: FolderId, *, force: bool = False) -> None:
        """Delete a folder; with ``force`` also with the assets in it.

        Raises:
            NotFoundError: there is no such folder.
            NotEmptyError: it holds assets and ``force`` was not said.
        """
        self._folders.delete(folder, force=force, tombstone=self._assets.tombstone_all)

    def undelete_folder(self, type: str, name: str, *, owner: str | None = None) -> FolderRecord:  # noqa: A002
        """Bring back the folder that had this name last, with the assets that were in it.

        Raises:
            AlreadyExistsError: there is a folder of this name.
            NotFoundError: none of this name was deleted, or gc has taken it away.
            ConflictError: it was deleted again meanwhile.
        """
        return self._undelete.folder(type, name, owner=owner or self.user)

    # Assets.

    def create_asset(
        self,
        folder: FolderRecord | FolderId,
        name: str,
        *,
        labels: Iterable[str] = (),
        description: str = "",
    ) -> AssetRecord:
        """Make an asset with a branch ``main`` at its first commit. The folder's owner owns it.

        Raises:
            NotFoundError: there is no such folder.
            AlreadyExistsError: the folder holds an asset of this name.
            InvalidInputError: name, labels or description are malformed.
        """
        return self._assets.create(folder, name, labels=labels, description=description)

    def get_asset(self, folder: FolderRecord | FolderId, name: str) -> AssetRecord:
        """Return the asset of this name in a folder.

        Raises:
            NotFoundError: there is no such folder, or no such asset in it.
        """
        return self._assets.get(folder, name)

    def find_asset(self, folder: FolderRecord | FolderId, name: str) -> AssetRecord | None:
        """Return what `get_asset` does, or None when the folder holds no such asset."""
        return self._assets.find(folder, name)

    def get_asset_by_id(self, asset: AssetId) -> AssetRecord:
        """Return the asset of this id.

        Raises:
            NotFoundError: there is none.
        """
        return self._assets.get_by_id(asset)

    def list_assets(self, folder: FolderRecord | FolderId) -> list[AssetRecord]:
        """Return the assets in a folder, by name.

        Raises:
            NotFoundError: there is no such folder.
        """
        return self._assets.list(folder)

    def update_asset(
        self,
        asset: AssetId,
        *,
        name: str | None = None,
        labels: Iterable[str] | None = None,
        description: str | None = None,
    ) -> AssetRecord:
        """Change what is given and return the asset as it is then.

        Raises:
            NotFoundError: there is no such asset.
            AlreadyExistsError: its folder holds one of the new name.
            InvalidInputError: name, labels or description are malformed.
        """
        return self._assets.update(asset, name=name, labels=labels, description=description)

    def delete_asset(self, asset: AssetId) -> None:
        """Delete an asset with its branches, tags and evaluations.

        Raises:
            NotFoundError: there is no such asset.
        """
        self._assets.delete(asset)

    def undelete_asset(self, folder: FolderRecord, name: str) -> AssetRecord:
        """Bring back the asset that had this name last, with its branches, tags and evaluations.

        Those that were deleted before it stay deleted.

        Raises:
            AlreadyExistsError: the folder has an asset of this name.
            NotFoundError: none of this name was deleted, or gc has taken it away.
            ConflictError: it was deleted again meanwhile.
        """
        return self._undelete.asset(folder, name)

    # Paths.

    def resolve_path(self, path: HubPath) -> FolderRecord | AssetRecord:
        """Return the folder or asset that a path names; its reference is not looked at.

        Raises:
            NotFoundError: it is not there.
        """
        folder = self._folders.get(path.type, path.folder, owner=path.owner)
        return folder if path.asset is None else self._assets.get(folder, path.asset)

    def asset_path(self, asset: AssetRecord) -> str:
        """Return ``owner/model/folder/asset``."""
        return asset.path

    def resolve(self, asset: AssetRecord, ref: str) -> Resolved:
        """Return the commit that ``ref`` means for an asset, ``@best:METRIC`` among them.

        Raises:
            NotFoundError: nothing has this name, or no evaluation has the metric.
            InvalidInputError: it is malformed or ambiguous.
        """
        wanted = parse_best(ref)
        if wanted is None:
            return resolve(self.repo, asset.id, ref)
        on: AssetRecord | None = None
        if wanted.dataset is not None:
            path = parse(wanted.dataset, only_type="dataset", need="asset")
            found = self.resolve_path(path)
            assert isinstance(found, AssetRecord)
            on = found
        records = self.list_evaluations(asset, dataset=on)
        commit = best(records, wanted.metric, lowest=wanted.lowest).model_commit
        return Resolved(commit, "commit", commit.hex())

    # Evaluations.

    def create_evaluation(
        self,
        model: AssetRecord | AssetId,
        model_ref: str,
        dataset: AssetRecord | AssetId,
        dataset_ref: str,
        results: Mapping[str, Any],
        *,
        run: RunId | None = None,
    ) -> EvaluationRecord:
        """Record results (JSON values by key) of a model's commit on a dataset's commit.

        Raises:
            NotFoundError: the model, the dataset or a reference is not there.
            InvalidInputError: it is no model, no dataset, or the results can't be recorded.
        """
        new = NewEvaluation(model_ref, dataset, dataset_ref, results, run)
        return self._evaluations.create(model, [new])[0]

    def create_evaluations(
        self,
        model: AssetRecord | AssetId,
        new: Sequence[NewEvaluation],
        *,
        guard: Guard | None = None,
    ) -> list[EvaluationRecord]:
        """Record many evaluations of one model, all at once or none; see `create_evaluation`.

        ``guard`` runs with their ids before each attempt and stops it by raising.
        """
        return self._evaluations.create(model, new, guard=guard)

    def list_evaluations(
        self,
        model: AssetRecord | AssetId,
        *,
        commit: CommitId | None = None,
        dataset: AssetRecord | AssetId | None = None,
    ) -> list[EvaluationRecord]:
        """Return a model's evaluations, newest first: all, or those of a commit or a dataset.

        Raises:
            NotFoundError: there is no such model.
        """
        return self._evaluations.list(model, commit=commit, dataset=dataset)

    def get_evaluation(self, evaluation: EvaluationId) -> EvaluationRecord:
        """Return one evaluation.

        Raises:
            NotFoundError: there is none of this id.
        """
        return self._evaluations.get(evaluation)

    def delete_evaluation(self, evaluation: EvaluationId) -> None:
        """Delete one evaluation.

        Raises:
            NotFoundError: there is none of this id.
        """
        self._evaluations.delete(evaluation)
