"""What the hub tells about folders, assets and evaluations.

And how folders and assets are written in the rows of a catalogue (docs/format/hub.md), every field
checked on the way in. The rows of evaluations are written by ``evaluation_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.hub.paths import AssetType, check_type
from ahstore.ids import (
    AssetId,
    CommitId,
    EntityId,
    EvaluationId,
    FolderId,
    RunId,
    parse_entity_id,
)
from ahstore.names import check_name


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """A folder as it is now; ``created`` in seconds since 1970 (UTC)."""

    id: FolderId
    owner: str
    type: AssetType
    name: str
    labels: tuple[str, ...]
    description: str
    created: float

    @property
    def path(self) -> str:
        """``owner/model/folder``."""
        return f"{self.owner}/{self.type}/{self.name}"


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """A model or dataset as it is now; ``created`` in seconds since 1970 (UTC)."""

    id: AssetId
    folder: FolderId
    owner: str
    type: AssetType
    folder_name: str
    name: str
    labels: tuple[str, ...]
    description: str
    created: float

    @property
    def path(self) -> str:
        """``owner/model/folder/asset``."""
        return f"{self.owner}/{self.type}/{self.folder_name}/{self.name}"


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """Results measured for one model commit on one dataset commit. It never changes.

    Attributes:
        id: its own.
        model: the asset that was evaluated.
        model_commit: the very commit, wherever branches move.
        model_ref: how it was named: path of the asset, ``:``, reference.
        model_branch: the branch it was named by; empty when it was named otherwise.
        model_tags: tags that stood at the commit when this was recorded.
        dataset: the asset it was evaluated on, and so on as for the model.
        dataset_commit: the dataset's commit.
        dataset_ref: how it was named.
        dataset_branch: the branch it was named by, or empty.
        dataset_tags: tags at the commit.
        results: JSON text by key.
        created: seconds since 1970 (UTC).
        run: the run that measured it, None for one uploaded.
        by: the user.
    """

    id: EvaluationId
    model: AssetId
    model_commit: CommitId
    model_ref: str
    model_branch: str
    model_tags: tuple[str, ...]
    dataset: AssetId
    dataset_commit: CommitId
    dataset_ref: str
    dataset_branch: str
    dataset_tags: tuple[str, ...]
    results: dict[str, str]
    created: float
    run: RunId | None
    by: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a row of a catalogue says of a folder or an asset beside its name."""

    id: EntityId
    labels: tuple[str, ...]
    description: str
    created: float

    def to_value(self) -> dict[str, Value]:
        """Return the map that stands in the row."""
        labels: list[Value] = list(self.labels)
        return {
            "created": self.created,
            "description": self.description,
            "id": str(self.id),
            "labels": labels,
        }

    @staticmethod
    def from_value(value: Value) -> Listing:
        """Return what the map says; keys it does not know are left for later versions.

        Raises:
            CorruptError: it is no such map.
        """
        match value:
            case {
                "id": str(entity),
                "labels": list(labels),
                "description": str(description),
                "created": float(created),
            }:
                listing = Listing(parse_stored_id(entity), _strings(labels), description, created)
            case _:
                _refuse("a row of a catalogue")
        return listing


def parse_folder_key(key: str) -> tuple[str, AssetType, str]:
    """Return owner, kind and name out of ``owner/type/name``.

    Raises:
        CorruptError: it is no such key.
    """
    try:
        owner, type_, name = key.split("/")
        return check_name(owner), check_type(type_), check_name(name)
    except ValueError as error:
        _refuse("a key of a folder", error)


def parse_stored_id(value: Value) -> EntityId:
    """Return an id that was read from the store.

    Raises:
        CorruptError: it is none.
    """
    try:
        return parse_entity_id(value)
    except InvalidInputError as error:
        _refuse("an id", error)


def _strings(value: Value) -> tuple[str, ...]:
    if type(value) is not list or not all(type(item) is str for item in value):
        _refuse("a list of texts")
    return tuple(value)  # type: ignore[arg-type]


def _refuse(what: str, error: Exception | None = None) -> NoReturn:
    raise CorruptError(f"not {what}" + (f": {error}" if error else "")) from error
