"""What a source offers of one asset: its record, folder, branches, tags and evaluations.

The form in which it stands in a bundle's manifest is in docs/format/bundle.md. Every field is
checked on the way in, since it may come from anyone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.hub.labels import check_description, check_labels
from ahstore.hub.paths import AssetType, check_type
from ahstore.hub.records import AssetRecord, FolderRecord, Listing
from ahstore.ids import AssetId, CommitId, FolderId, PageId, check_address, parse_entity_id
from ahstore.names import check_name, check_ref_name
from ahstore.versions.refs import RefKind

OFFER_FIELDS = 10
FOLDER_FIELDS = 6


@dataclass(frozen=True, slots=True)
class RefOffer:
    """A branch or tag and the commit it is at."""

    name: str
    kind: RefKind
    commit: CommitId


@dataclass(frozen=True, slots=True)
class AssetOffer:
    """One asset as its source has it.

    Attributes:
        folder: the folder it lies in.
        record: the asset: id, name, labels, description, when it was made.
        refs: the branches and tags that are to move, by name.
        whole: all refs of the asset are among them, so that what is not may be pruned.
        evaluations: root of the tree of its evaluations, None if it has none.
    """

    folder: FolderRecord
    record: AssetRecord
    refs: tuple[RefOffer, ...]
    whole: bool
    evaluations: PageId | None

    def to_value(self) -> dict[str, Value]:
        """Return the map that stands in a manifest."""
        return {
            "id": str(self.record.id),
            "type": self.record.type,
            "name": self.record.name,
            "labels": list(self.record.labels),
            "description": self.record.description,
            "created": self.record.created,
            "folder": {
                "id": str(self.folder.id),
                "owner": self.folder.owner,
                "name": self.folder.name,
                "labels": list(self.folder.labels),
                "description": self.folder.description,
                "created": self.folder.created,
            },
            "refs": [[ref.name, ref.kind, bytes(ref.commit)] for ref in self.refs],
            "whole": self.whole,
            "evaluations": None if self.evaluations is None else bytes(self.evaluations),
        }

    @staticmethod
    def from_value(value: Value) -> AssetOffer:
        """Return the offer that a manifest's map makes.

        Raises:
            CorruptError: it is no such map, or a name or id in it breaks its grammar.
        """
        if not isinstance(value, dict) or len(value) != OFFER_FIELDS:
            _refuse("the offer of an asset")
        match value:
            case {
                "id": str(id_),
                "type": str(type_),
                "name": str(name),
                "labels": list(labels),
                "description": str(description),
                "created": float(created),
                "folder": dict(home),
                "refs": list(refs),
                "whole": bool(whole),
                "evaluations": evaluations,
            }:
                pass
            case _:
                _refuse("the offer of an asset")
        try:
            listing = _listing(id_, labels, description, created)
            folder = _folder(home, check_type(type_))
            return AssetOffer(
                folder=folder,
                record=_record(folder, check_name(name, what=type_), listing),
                refs=_refs(refs),
                whole=whole,
                evaluations=None if evaluations is None else PageId(check_address(evaluations)),
            )
        except InvalidInputError as error:
            _refuse("the offer of an asset", error)


def _folder(value: dict[str, Value], type_: AssetType) -> FolderRecord:
    match value:
        case {
            "id": str(id_),
            "owner": str(owner),
            "name": str(name),
            "labels": list(labels),
            "description": str(description),
            "created": float(created),
        } if len(value) == FOLDER_FIELDS:
            listing = _listing(id_, labels, description, created)
        case _:
            _refuse("the offer of a folder")
    return FolderRecord(
        id=FolderId(listing.id),
        owner=check_name(owner, what="user"),
        type=type_,
        name=check_name(name, what="folder"),
        labels=listing.labels,
        description=listing.description,
        created=listing.created,
    )


def _record(folder: FolderRecord, name: str, listing: Listing) -> AssetRecord:
    return AssetRecord(
        id=AssetId(listing.id),
        folder=folder.id,
        owner=folder.owner,
        type=folder.type,
        folder_name=folder.name,
        name=name,
        labels=listing.labels,
        description=listing.description,
        created=listing.created,
    )


def _listing(id_: str, labels: list[Value], description: str, created: float) -> Listing:
    if not math.isfinite(created):
        _refuse("a time of creation")
    texts = [label for label in labels if isinstance(label, str)]
    if len(texts) != len(labels):
        _refuse("a list of labels")
    return Listing(
        parse_entity_id(id_), check_labels(texts), check_description(description), created
    )


def _refs(value: list[Value]) -> tuple[RefOffer, ...]:
    found: dict[str, RefOffer] = {}
    for item in value:
        match item:
            case [str(name), "branch" | "tag" as kind, bytes(commit)] if name not in found:
                found[name] = RefOffer(check_ref_name(name), kind, CommitId(check_address(commit)))
            case _:
                _refuse("a branch or tag")
    return tuple(found.values())


def _refuse(what: str, error: Exception | None = None) -> NoReturn:
    raise CorruptError(f"not {what}" + (f": {error}" if error else "")) from error
