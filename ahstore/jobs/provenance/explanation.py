"""Why a version is what it is, in plain words: made by whom, of what, on what, measured how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone

from ahstore.errors import NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.code.laying_out import PATCH_NAME
from ahstore.jobs.provenance.lineage import LineageReader
from ahstore.jobs.provenance.origin import Origin
from ahstore.jobs.spec import CodeChanges, PinnedVersion
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
    when = _time(body.date_us / 1e6)
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
    code = origin.code
    place = "" if code.subpath == "." else f" in {code.subpath}"
    yield (
        f"It ran '{' '.join(origin.command)}'{place} of {code.repo} at commit {code.commit[:12]}"
        f" (asked for as {code.revision}){_with_changes(code.changes)},"
    )
    yield f"on the dataset {_version(hub, origin.dataset)}"
    if origin.checkpoint is not None:
        yield f"continuing {_version(hub, origin.checkpoint)}"
    if origin.params:
        told = ", ".join(f"{name}={json.dumps(value)}" for name, value in origin.params.items())
        yield f"with {told}."
    else:
        yield "without parameters."
    yield from _surroundings(origin)
    metrics = origin.document.get("metrics")
    if isinstance(metrics, dict):
        yield f"It logged {_numbers(metrics)}."


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
    for record in reversed(found):
        how = f"run {record.run}" if record.run else f"recorded by {record.by}"
        results = "; ".join(f"{key}: {_result(text)}" for key, text in record.results.items())
        yield (
            f"Measured on {record.dataset_ref} @ {_short(record.dataset_commit)}:"
            f" {results} ({how}, evaluation {record.id})."
        )


def _result(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return _numbers(value) if isinstance(value, dict) else str(value)


def _numbers(values: dict[str, object]) -> str:
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


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
