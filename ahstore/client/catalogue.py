"""What is in a store, found and made by path: folders, assets, branches, tags, versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from ahstore.client import describe
from ahstore.client.branch import Branch
from ahstore.client.core import Core, check_sequence
from ahstore.client.dataset import Dataset
from ahstore.client.describe import Records
from ahstore.client.folder import Folder
from ahstore.client.model import Model, make_asset
from ahstore.client.ref import Tag
from ahstore.client.run import Run
from ahstore.client.target import find_path
from ahstore.client.version import Version
from ahstore.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from ahstore.hub.paths import ASSET_TYPES, DEFAULT_REF, AssetType, HubPath, Need, check_type, parse
from ahstore.hub.records import AssetRecord, EvaluationRecord, FolderRecord
from ahstore.ids import AssetId, EvaluationId, FolderId, parse_entity_id

RUN_NAME_PREFIX = "asset-hub-"  # as jobs/records.py has it, which is not loaded for this

Resource = Literal["branch", "tag", "commit", "object", "workflow", "evaluation"]


class Catalogue:
    """The part of a `Store` that knows names.

    Attributes:
        user: who acts: owner of new folders, committer of commits.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.user = core.user

    # Folders and assets.

    def create_folder(
        self,
        type_: str,
        name: str,
        labels: Sequence[str] | None = None,
        description: str = "",
        exist_ok: bool = False,
    ) -> Folder:
        """Create a folder of models (``type_="model"``) or datasets.

        Raises:
            AlreadyExistsError: the user has one of this name, and ``exist_ok`` is False.
            InvalidInputError: type, name or a label is malformed.
        """
        try:
            record = self.core.hub.create_folder(
                type_, name, labels=check_sequence(labels, "labels"), description=description
            )
        except AlreadyExistsError:
            if not exist_ok:
                raise
            return self.get_folder(type_=type_, name=name)
        folder = Folder(self.core, record)
        self.core.notify(f"Creating {folder.title}")
        return folder

    def get_folder(
        self,
        owner: str | None = None,
        type_: str | None = None,
        name: str | None = None,
        id_: str | None = None,
    ) -> Folder:
        """Return a folder, by type and name (of the user, or of ``owner``) or by id.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: neither an id nor type and name are given.
        """
        if id_ is not None:
            record = self.core.hub.get_folder_by_id(FolderId(parse_entity_id(id_)))
        elif type_ is None or name is None:
            raise InvalidInputError("give the folder's type_ and name, or its id_")
        else:
            record = self.core.hub.get_folder(type_, name, owner=owner)
        return Folder(self.core, record)

    def list_folder(self, type_: str | None = None) -> Records:
        """Return the folders of all users, or those of one type."""
        return [describe.folder(record) for record in self.core.hub.list_folders(type_)]

    def get_asset(self, id_: str) -> Model | Dataset:
        """Return a model or dataset by its UUID.

        Raises:
            NotFoundError: there is none.
        """
        record = self.core.hub.get_asset_by_id(AssetId(parse_entity_id(id_)))
        return make_asset(self.core, record)

    # Everything by path.

    def create(
        self,
        path: str,
        *,
        resource: Resource | None = None,
        source: str = DEFAULT_REF,
        labels: Sequence[str] | None = None,
        description: str = "",
        exist_ok: bool = False,
    ) -> Folder | Model | Dataset | Branch | Tag:
        """Create what ``path`` names: a folder, an asset, a branch; a tag with ``resource="tag"``.

        ``source`` is what a branch or tag starts at; labels and description are for folders and assets.

        Raises:
            AlreadyExistsError: it exists already.
            NotFoundError: the folder or asset to make it in, or ``source``, does not exist.
        """
        # What is yet to be can't be looked up: only for a branch or tag may the kind be left out.
        parts = self.path(path) if ":" in path else parse(path)
        if parts.ref is not None:
            asset = self._asset_at(parts)
            if resource not in (None, "branch", "tag"):
                raise InvalidInputError(f"can't create a {resource} at {path!r}", value=resource)
            make = asset.create_tag if resource == "tag" else asset.create_branch
            return make(_plain_name(parts.ref, resource or "branch"), source)
        if resource is not None:
            raise InvalidInputError(f"to create a {resource}, name it: {path}:NAME", value=path)
        if parts.asset is None:
            if parts.owner not in (None, self.user):
                raise InvalidInputError(
                    f"can't create a folder of {parts.owner}: you are {self.user}", value=path
                )
            return self.create_folder(parts.type, parts.folder, labels, description, exist_ok)
        folder = Folder(
            self.core, self.core.hub.get_folder(parts.type, parts.folder, owner=parts.owner)
        )
        return folder.create_asset(parts.asset, labels, description, exist_ok)

    def get(self, path: str) -> Folder | Model | Dataset | Version:
        """Return what ``path`` names: a folder, an asset, or with ``:ref`` a version.

        Raises:
            NotFoundError: there is no such thing.
        """
        with self.core.repo.cells.one_look():
            parts = self.path(path)
            record = self.core.hub.resolve_path(parts)
            if isinstance(record, FolderRecord):
                return Folder(self.core, record)
            asset = make_asset(self.core, record)
            return asset if parts.ref is None else asset.version(parts.ref)

    def list(self, path: str, *, resource: Resource | None = None) -> Records:
        """Return what is in ``path``.

        ``model`` and ``dataset`` hold folders, a folder holds assets, an asset or a version holds
        objects, or what ``resource`` says: ``branch tag commit object workflow evaluation``.
        """
        if path in ASSET_TYPES:
            return self.list_folder(path)
        found = self.get(path)
        if isinstance(found, Folder):
            return found.list_asset()
        version = found if isinstance(found, Version) else found.version()
        asset = version.asset
        match resource:
            case None | "object":
                return version.list_object()
            case "commit":
                return version.list_commit()
            case "branch":
                return asset.list_branch()
            case "tag":
                return asset.list_tag()
            case "workflow":
                return asset.as_model().list_workflow()
            case "evaluation":
                return version.list_evaluation()
        raise InvalidInputError(f"unknown resource {resource!r}", value=resource)

    def update(
        self,
        path: str,
        *,
        name: str | None = None,
        labels: Sequence[str] | None = None,
        description: str | None = None,
    ) -> Folder | Model | Dataset:
        """Change name, labels (all of them anew) or description of a folder or asset."""
        found = self.get(path)
        if isinstance(found, Version):
            raise InvalidInputError(f"{path!r} is a {found.kind}: it has nothing to update")
        found.update(name=name, labels=labels, description=description)
        return found

    def delete(self, path: str, *, resource: Resource | None = None, force: bool = False) -> None:
        """Delete a folder (with ``force`` also a full one), an asset, a branch or a tag.

        Raises:
            NotFoundError: there is no such thing.
            InvalidInputError: the path names a commit, or not what ``resource`` says.
        """
        parts = self.path(path)
        if parts.ref is None:
            found = self.get(path)
            if isinstance(found, Folder):
                found.delete(force=force)
            elif not isinstance(found, Version):
                found.delete()
            return
        asset = self._asset_at(parts)
        version = asset.version(parts.ref)
        if not isinstance(version, Branch | Tag) or resource not in (None, version.kind):
            raise InvalidInputError(
                f"{path!r} is a {version.kind}; only a {resource or 'branch or tag'} can be deleted",
                value=path,
            )
        version.delete()

    def undelete(
        self, path: str, *, resource: Literal["branch", "tag"] | None = None
    ) -> Folder | Model | Dataset | Branch | Tag:
        """Bring back a deleted folder with what was in it, an asset, a branch or a tag.

        An asset comes back with its branches, tags and evaluations, but for those that were deleted
        before it.

        Raises:
            AlreadyExistsError: something of this name is there.
            NotFoundError: none of this name was deleted, or gc has taken it away.
            ConflictError: it was deleted again meanwhile.
        """
        # What is not there can't be looked up: only for a branch or tag may the kind be left out.
        parts = self.path(path) if ":" in path else parse(path)
        if parts.ref is not None:
            asset = self._asset_at(parts)
            if resource is not None:
                return asset.undelete(_plain_name(parts.ref, resource), resource)
            kind, slash, name = parts.ref.partition("/")
            if slash and kind in ("branch", "tag"):
                return asset.undelete(name, cast("Literal['branch', 'tag']", kind))
            return asset.undelete(parts.ref)
        if resource is not None:
            raise InvalidInputError(f"which {resource}? Name it: {path}:NAME", value=path)
        hub = self.core.hub
        if parts.asset is None:
            found = hub.undelete_folder(parts.type, parts.folder, owner=parts.owner)
            folder = Folder(self.core, found)
            self.core.notify(f"Bringing back {folder.title}")
            return folder
        home = Folder(self.core, hub.get_folder(parts.type, parts.folder, owner=parts.owner))
        return home.undelete_asset(parts.asset)

    # Runs and evaluations, and where their numbers come from.

    def get_workflow(self, name: str) -> Run:
        """Return a run by its name or id.

        Raises:
            NotFoundError: there is none.
        """
        return Run(self.core, self.core.jobs.get(name))

    def find_by_id(self, text: str) -> Run | EvaluationRecord | None:
        """Return the run or evaluation of this name or id; None for what can only be a path.

        Raises:
            NotFoundError: it is a name or an id, of nothing that is there.
        """
        if text.startswith(RUN_NAME_PREFIX):
            return self.get_workflow(text)
        try:
            entity = parse_entity_id(text)
        except InvalidInputError:
            return None
        try:
            return self.core.hub.get_evaluation(EvaluationId(entity))
        except NotFoundError:
            pass
        try:
            return self.get_workflow(text)
        except NotFoundError:
            raise NotFoundError(f"there is no run or evaluation {text}", id=text) from None

    def why(self, what: str) -> str:
        """Return in plain words where a number comes from: code, data, checkpoint, machine.

        Args:
            what: an evaluation's id, a run's name or id, or the path of a version.

        Raises:
            NotFoundError: there is no such thing.
        """
        found = self.find_by_id(what)
        if found is None:
            return self.version(what).why()
        if isinstance(found, Run):
            return found.why()
        return "\n\n".join(self.core.jobs.provenance.why_evaluation(found))

    # Paths of one kind, for those who know what they need.

    def path(self, text: str, *, type_: str | None = None, need: Need | None = None) -> HubPath:
        """Return the parts of a path, the kind found out where it is left out and plain."""
        only: AssetType | None = None if type_ is None else check_type(type_)
        return find_path(self.core.hub, text, only_type=only, need=need)

    def asset(self, path: str, *, type_: str | None = None) -> Model | Dataset:
        """Return the asset that a path names; a reference behind it is not looked at."""
        with self.core.repo.cells.one_look():
            return self._asset_at(self.path(path, type_=type_, need="asset"))

    def model(self, path: str) -> Model:
        """Return the model that a path names, with or without ``model/``."""
        return self.asset(path, type_="model").as_model()

    def version(self, path: str, *, type_: str | None = None) -> Version:
        """Return the version that a path names, ``main`` without a reference."""
        with self.core.repo.cells.one_look():
            parts = self.path(path, type_=type_, need="asset")
            return self._asset_at(parts).version(parts.ref_or_main)

    def branch(self, path: str) -> Branch:
        """Return the branch that a path names, ``main`` without a reference.

        Raises:
            InvalidInputError: it is a tag or a commit.
        """
        version = self.version(path)
        if not isinstance(version, Branch):
            raise InvalidInputError(f"{path!r} is a {version.kind}, a branch is needed", value=path)
        return version

    def _asset_at(self, parts: HubPath) -> Model | Dataset:
        record = self.core.hub.resolve_path(parts)
        if not isinstance(record, AssetRecord):
            raise NotFoundError(f"{parts.format()!r} names no asset", path=parts.format())
        return make_asset(self.core, record)


def _plain_name(ref: str, kind: str) -> str:
    """Return the name in ``v1`` or ``branch/v1``."""
    prefix, slash, name = ref.partition("/")
    if slash and prefix == kind:
        return name
    return ref
