"""The dictionaries that lists return, with the keys of the tutorial."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from ahstore.client.addresses import physical_addresses
from ahstore.client.times import iso_micros
from ahstore.codec.canonical import Value
from ahstore.hub.records import AssetRecord, EvaluationRecord, FolderRecord
from ahstore.ids import CommitId
from ahstore.objects import content_type
from ahstore.objects.commit import Commit
from ahstore.objects.file import CONTENT_TYPE, MD5, MTIME_NS, PATH, SIZE, Row
from ahstore.versions.refs import Ref
from ahstore.versions.repository import Repository

if TYPE_CHECKING:
    from ahstore.objects.parts.part import Part
    from ahstore.versions.adding.changes import Change
    from ahstore.versions.comparing.difference import Difference
    from ahstore.versions.comparing.parts import Inside, PartChange

Record = dict[str, Any]
Records = list[Record]

_BATCH_ROWS = 1024
_NS = 10**9


def objects(
    repo: Repository, commit: CommitId, *, prefix: str = "", located: bool = True
) -> Iterator[Record]:
    """Yield the objects of a commit whose paths start with ``prefix``, in order of paths."""
    rows = repo.files(commit).scan(prefix=prefix)
    if not located:
        yield from map(object_, rows)
        return
    while batch := list(islice(rows, _BATCH_ROWS)):
        for row, address in zip(batch, physical_addresses(repo, batch), strict=True):
            yield object_(row) | {"physical_address": address}


def object_(row: Row) -> Record:
    """Return an object, without ``physical_address``."""
    return {
        "checksum": row[MD5].hex(),
        "content_type": content_type.decode(row[CONTENT_TYPE]),
        "mtime": row[MTIME_NS] // _NS,
        "path": row[PATH],
        "path_type": "object",
        "size_bytes": row[SIZE],
    }


def commit(commit_id: CommitId, commit: Commit) -> Record:
    """Return a commit; ``creation_date`` in whole seconds since 1970 UTC."""
    return {
        "committer": commit.committer,
        "creation_date": commit.date_us // 10**6,
        "id": commit_id.hex(),
        "message": commit.message,
        "meta_range_id": commit.tree.hex(),
        "metadata": {key: plain(value) for key, value in commit.metadata.items()},
        "parents": [parent.hex() for parent in commit.parents],
    }


def ref(ref: Ref) -> Record:
    """Return a branch or tag. ``id`` is its name, as Asset Hub has it."""
    return {"commit_id": ref.commit.hex(), "id": ref.name, "name": ref.name}


def folder(record: FolderRecord) -> Record:
    """Return a folder; ``created`` as ISO 8601."""
    return {
        "created": iso_micros(record.created),
        "description": record.description,
        "id": str(record.id),
        "labels": list(record.labels),
        "name": record.name,
        "owner": record.owner,
        "path": record.path,
        "type": record.type,
    }


def asset(record: AssetRecord) -> Record:
    """Return a model or dataset; ``created`` as ISO 8601."""
    return {
        "created": iso_micros(record.created),
        "description": record.description,
        "folder": record.folder_name,
        "id": str(record.id),
        "labels": list(record.labels),
        "name": record.name,
        "owner": record.owner,
        "path": record.path,
        "type": record.type,
    }


def evaluation(record: EvaluationRecord) -> Record:
    """Return an evaluation; ``results`` are JSON texts."""
    return {
        "datasetBranch": record.dataset_branch,
        "datasetCommit": record.dataset_commit.hex(),
        "datasetID": str(record.dataset),
        "datasetRef": record.dataset_ref,
        "datasetTags": list(record.dataset_tags),
        "id": str(record.id),
        "modelBranch": record.model_branch,
        "modelCommit": record.model_commit.hex(),
        "modelID": str(record.model),
        "modelRef": record.model_ref,
        "modelTags": list(record.model_tags),
        "results": dict(record.results),
        "startTime": iso_micros(record.created),
    }


def measurement(record: EvaluationRecord) -> Record:
    """Return an evaluation with who recorded it, and the id of the run that measured it or None."""
    return evaluation(record) | {"run": record.run, "user": record.by}


def change(change: Change) -> Record:
    """Return one object that a commit changes; sizes in bytes, None where there is no such side."""
    return {
        "change": change.kind,
        "old_size_bytes": change.old_size,
        "path": change.path,
        "size_bytes": change.size,
    }


def difference(found: Difference) -> Record:
    """Return one object that differs between two versions; see `Version.diff`."""
    return {
        "change": found.kind,
        "old_path": found.old_path,
        "old_size_bytes": found.old_size,
        "path": found.path,
        "similarity": found.similarity,
        "size_bytes": found.size,
        "what": list(found.what),
    }


def inside(found: Inside | None) -> Record | None:
    """Return what differs inside of an object, None where nothing is known of its parts."""
    if found is None:
        return None
    return {
        "format": found.format,
        "note": found.note,
        "parts": [_part(change) for change in found.changes],
        "unchanged": found.unchanged,
    }


def _part(change: PartChange) -> Record:
    old, new, values = change.old, change.new, change.values
    return {
        "change": change.kind,
        "dtype": new and new.dtype,
        "name": change.name,
        "note": change.note,
        "old_dtype": old and old.dtype,
        "old_name": old.name if old and change.kind == "renamed" else None,
        "old_shape": _shape(old),
        "old_size_bytes": old and old.stored_bytes,
        "shape": _shape(new),
        "size_bytes": new and new.stored_bytes,
        "values": values
        and {
            "changed": values.changed,
            "l2": values.l2,
            "max": values.max,
            "not_finite": values.not_finite,
            "total": values.total,
        },
        "what": list(change.what),
    }


def _shape(part: Part | None) -> list[int] | None:
    return None if part is None or part.shape is None else list(part.shape)


def plain(value: Value) -> Any:
    """Return a stored value as JSON can hold it: bytes become hex digits."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
