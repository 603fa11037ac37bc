"""Why a version is what it is, in plain words: made by whom, of what, on what, measured how."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ahstore.errors import NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.code.laying_out import PATCH_NAME
from ahstore.jobs.provenance.lineage import LineageReader
from ahstore.jobs.provenance.origin import Origin
from ahstore.jobs.spec import CodeChanges, CodeVersion, PinnedVersion
from ahstore.objects.commit import Commit

MAX_STEPS = 50


def explain(hub: Hub, reader: LineageReader, asset: AssetRecord, commit: CommitId) -> list[str]:
    """Return paragraphs: this version, its measurements, then each version that it continues.

    Raises:
        NotFoundError: the commit is not in the store.
    """
    paragraphs = []
    owner: AssetId | None = asset.id
    for step in range(MAX_STEPS):
        try:
            body = hub.repo.read_commit(commit)
        except NotFoundError:
            if not step:
                raise
            paragraphs.append(f"Commit {_short(commit)} is not in this store.")
            break
        origin = reader.origin(commit)
        paragraphs.append(_made(hub, owner, commit, body, origin))
        if owner == asset.id and asset.type == "model":
            paragraphs.extend(_measured(hub, asset, commit))
        if origin is not None:
            following = origin.checkpoint
            if following is None:
                break
            owner, commit = following.asset, following.commit
        elif body.parents:
            commit = body.parents[0]
            if not hub.repo.read_commit(commit).parents:
                break  # "Repository created" explains nothing
        else:
            break
    return paragraphs


def _made(
    hub: Hub, owner: AssetId | None, commit: CommitId, body: Commit, origin: Origin | None
) -> str:
    path = _path(hub, owner) if owner is not None else "?"
    when = tell_time(body.date_us / 1e6)
    begin = f"{path} @ {_short(commit)} was committed on {when} by {body.committer}"
    if origin is None:
        said = body.message.partition("\n")[0]
        parents = ", ".join(_short(parent) for parent in body.parents) or "nothing"
        return f'{begin}, "{said}": {_amount(hub, commit)}, on top of {parents}.'
    what = f"the training {origin.run_name}"
    if origin.is_midway:
        at = "" if origin.step is None else f" at step {origin.step:.15g}"
        what += f", as a checkpoint{at} while it ran"
    return f"{begin}, by {what}. " + " ".join(_told(hub, origin))


def _told(hub: Hub, origin: Origin) -> Iterator[str]:
    yield tell_code(origin.command, origin.code)
    yield from tell_inputs(hub, origin.dataset, origin.checkpoint, origin.params)
    yield from _surroundings(origin)
    metrics = origin.document.get("metrics")
    if isinstance(metrics, dict):
        yield f"It logged {tell_numbers(metrics)}."


def tell_code(command: Sequence[str], code: CodeVersion) -> str:
    """Return the beginning of a sentence: what was run, of which code."""
    place = "" if code.subpath == "." else f" in {code.subpath}"
    what = f"'{' '.join(command)}'" if command else "the code"
    return (
        f"It ran {what}{place} of {code.repo} at commit {code.commit[:12]}"
        f" (asked for as {code.revision}){_with_changes(code.changes)},"
    )


def tell_inputs(
    hub: Hub,
    dataset: PinnedVersion,
    checkpoint: PinnedVersion | None,
    params: Mapping[str, Any],
    *,
    verb: str = "continuing",
) -> Iterator[str]:
    """Yield the rest of that sentence: on which data, from which checkpoint, how."""
    yield f"on the dataset {_version(hub, dataset)}"
    if checkpoint is not None:
        yield f"{verb} {_version(hub, checkpoint)}"
    if params:
        told = ", ".join(f"{name}={json.dumps(value)}" for name, value in params.items())
        yield f"with {told}."
    else:
        yield "without parameters."


def _with_changes(changes: CodeChanges | None) -> str:
    if changes is None:
        return ""
    noun = "file" if changes.files == 1 else "files"
    return f", with uncommitted changes of {changes.files} {noun} ({PATCH_NAME})"


def _surroundings(origin: Origin) -> Iterator[str]:
    python = origin.text("environment", "python")
    packages = (origin.text("environment", "packages") or "").split()
    if python:
        yield f"Python {python} with {len(packages)} packages ran it"
    machine = origin.text("environment", "cpu") or origin.text("environment", "machine")
    yield f"on {machine or 'an unknown machine'},"
    yield f"from {origin.text('started')} to {origin.text('ended')}."


def _measured(hub: Hub, asset: AssetRecord, commit: CommitId) -> Iterator[str]:
    found: list[EvaluationRecord] = hub.list_evaluations(asset, commit=commit)
    yield from map(tell_measured, reversed(found))


def tell_measured(record: EvaluationRecord) -> str:
    """Return a sentence: an evaluation's results, and on what they were measured."""
    how = f"run {record.run}" if record.run else f"recorded by {record.by}"
    results = "; ".join(f"{key}: {_result(text)}" for key, text in record.results.items())
    return (
        f"Measured on {record.dataset_ref} @ {_short(record.dataset_commit)}:"
        f" {results} ({how}, evaluation {record.id})."
    )


def _result(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tell_numbers(value) if isinstance(value, dict) else str(value)


def tell_numbers(values: Mapping[str, object]) -> str:
    """Return metrics as people read them, numbers with six digits that count."""
    return ", ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if isinstance(value, (int, float, str))
    )


def _version(hub: Hub, version: PinnedVersion) -> str:
    return f"{version} @ {_short(version.commit)} ({_amount(hub, version.commit)}),"


def _amount(hub: Hub, commit: CommitId) -> str:
    try:
        tree = hub.repo.files(commit)
        count, size = tree.count(), tree.weight()
    except NotFoundError:
        return "not in this store"
    return f"{count} object{'' if count == 1 else 's'}, {size} bytes"


def _path(hub: Hub, asset: AssetId) -> str:
    try:
        return hub.get_asset_by_id(asset).path
    except NotFoundError:
        return f"{asset} (deleted)"


def _short(commit: CommitId) -> str:
    return commit.hex()[:8]


def tell_time(seconds: float) -> str:
    """Return a moment in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
