"""Folders of models and of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ahstore.client import describe
from ahstore.client.core import Core, check_sequence
from ahstore.client.dataset import Dataset
from ahstore.client.model import Model, make_asset
from ahstore.errors import AlreadyExistsError
from ahstore.hub.records import FolderRecord


class Folder:
    """A named group of models or of datasets."""

    def __init__(self, core: Core, record: FolderRecord) -> None:
        self.core = core
        self.record = record

    @property
    def id(self) -> str:
        """The folder's UUID."""
        return str(self.record.id)

    @property
    def kind(self) -> str:
        """What the folder holds: ``model`` or ``dataset``."""
        return self.record.type

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.record.name

    @property
    def owner(self) -> str:
        """The user whose folder this is."""
        return self.record.owner

    @property
    def path(self) -> str:
        """``user/model/folder``."""
        return self.record.path

    @property
    def labels(self) -> list[str]:
        """The folder's labels."""
        return list(self.record.labels)

    @property
    def description(self) -> str:
        """What people say of it."""
        return self.record.description

    @property
    def title(self) -> str:
        """``Model Folder image-classification``, as messages have it."""
        return f"{self.kind.capitalize()} Folder {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the folder as `Store.list_folder` has it."""
        return describe.folder(self.record)

    def create_asset(
        self,
        name: str,
        labels: Sequence[str] | None = None,
        description: str = "",
        exist_ok: bool = False,
    ) -> Model | Dataset:
        """Create a model or dataset, by the folder's kind, with an empty branch ``main``.

        Raises:
            AlreadyExistsError: the folder has an asset of this name, and ``exist_ok`` is False.
            InvalidInputError: the name or a label is malformed.
        """
        try:
            record = self.core.hub.create_asset(
                self.record.id,
                name,
                labels=check_sequence(labels, "labels"),
                description=description,
            )
        except AlreadyExistsError:
            if not exist_ok:
                raise
            return self.get_asset(name)
        asset = make_asset(self.core, record)
        self.core.notify(f"Creating {asset.title} in Folder {self.name}")
        return asset

    def get_asset(self, name: str) -> Model | Dataset:
        """Return the model or dataset of this name.

        Raises:
            NotFoundError: the folder has none.
        """
        return make_asset(self.core, self.core.hub.get_asset(self.record.id, name))

    def undelete_asset(self, name: str) -> Model | Dataset:
        """Bring back the deleted asset of this name; see `Store.undelete`.

        Raises:
            AlreadyExistsError: the folder has an asset of this name.
            NotFoundError: none of this name was deleted, or gc has taken it away.
        """
        asset = make_asset(self.core, self.core.hub.undelete_asset(self.record, name))
        self.core.notify(f"Bringing back {asset.title} in Folder {self.name}")
        return asset

    def list_asset(self) -> list[dict[str, Any]]:
        """Return the assets of this folder by name."""
        return [describe.asset(record) for record in self.core.hub.list_assets(self.record.id)]

    def update(
        self,
        name: str | None = None,
        labels: Sequence[str] | None = None,
        description: str | None = None,
    ) -> None:
        """Change name, labels (all of them anew) or description; None leaves one as it is.

        Raises:
            AlreadyExistsError: another folder has that name.
        """
        if name is None and labels is None and description is None:
            return
        old = self.title
        self.record = self.core.hub.update_folder(
            self.record.id,
            name=name,
            labels=None if labels is None else check_sequence(labels, "labels"),
            description=description,
        )
        renamed = f" to {self.name}" if name is not None else ""
        self.core.notify(f"{'Renaming' if renamed else 'Updating'} {old}{renamed}")

    def delete(self, force: bool = False) -> None:
        """Delete this folder; with ``force`` also the assets in it.

        Raises:
            NotEmptyError: it holds assets, and ``force`` is False.
        """
        self.core.hub.delete_folder(self.record.id, force=force)
        self.core.notify(f"Deleting {self.title}")

    def __repr__(self) -> str:
        return f"Folder({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folder) and other.record.id == self.record.id

    def __hash__(self) -> int:
        return hash(self.record.id)
