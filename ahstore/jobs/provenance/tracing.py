"""From a number back to what it was made of: an evaluation or a run told in plain words.

What is known of the version that was measured, or that the run made, follows (``explanation.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ahstore.errors import NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.records import EvaluationRecord
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.provenance.explanation import (
    explain,
    tell_code,
    tell_inputs,
    tell_measured,
    tell_time,
)
from ahstore.jobs.provenance.lineage import LineageReader
from ahstore.jobs.records import RunRecord, RunRecords


def explain_evaluation(
    hub: Hub, reader: LineageReader, runs: RunRecords, record: EvaluationRecord
) -> list[str]:
    """Return paragraphs: the evaluation, the run that measured it, the version it is of."""
    begin = f"Evaluation {record.id} of {record.model_ref} @ {record.model_commit.hex()[:8]}"
    paragraphs = [
        f"{begin} was recorded on {tell_time(record.created)} by {record.by}. "
        + tell_measured(record)
    ]
    if record.run is None:
        paragraphs.append("No run measured it: these results were recorded as they were given.")
    else:
        run = runs.find(record.model, record.run)
        gone = f"Run {record.run}, which measured it, was deleted; what it was given is not known."
        paragraphs.append(gone if run is None else _told(hub, run))
    return paragraphs + _version(hub, reader, record.model, record.model_commit)


def explain_run(hub: Hub, reader: LineageReader, run: RunRecord) -> list[str]:
    """Return paragraphs: the run, then the version that it made, evaluated or continued."""
    spec = run.spec
    if run.state == "Succeeded" and run.evaluation is not None:
        try:
            measured = hub.get_evaluation(run.evaluation)
        except NotFoundError:
            found = [f"Evaluation {run.evaluation}, which it recorded, was deleted."]
        else:
            found = [tell_measured(measured)]
        version = spec.verifies or spec.checkpoint
        assert version is not None
        return [_told(hub, run), *found, *_version(hub, reader, version.asset, version.commit)]
    if run.state == "Succeeded" and run.commit is not None:
        return [_told(hub, run), *_version(hub, reader, spec.model, run.commit)]
    paragraphs = [_told(hub, run)]
    if spec.checkpoint is not None:
        paragraphs += _version(hub, reader, spec.checkpoint.asset, spec.checkpoint.commit)
    return paragraphs


def _version(hub: Hub, reader: LineageReader, model: AssetId, commit: CommitId) -> list[str]:
    try:
        return explain(hub, reader, hub.get_asset_by_id(model), commit)
    except NotFoundError as error:
        return [f"The version is not there any more: {error}."]


def _told(hub: Hub, run: RunRecord) -> str:
    return " ".join(_sentences(hub, run))


def _sentences(hub: Hub, run: RunRecord) -> Iterator[str]:
    spec = run.spec
    yield f"Run {run.name} ({spec.type}) was started on {tell_time(run.created)} by {run.by}."
    if spec.resumes is not None:
        yield f"It goes on with run {spec.resumes.name}."
    if run.reused_from is not None:
        yield f"It took the result of run {run.reused_from.name}, which had done the same:"
    yield tell_code(run.command, spec.code)
    verb = "evaluating" if spec.type == "evaluate" else "continuing"
    yield from tell_inputs(hub, spec.dataset, spec.checkpoint, spec.params, verb=verb)
    environment = run.environment
    if environment.get("python"):
        packages = environment.get("packages")
        count = len(packages) if isinstance(packages, dict) else 0
        yield f"Python {environment['python']!s} with {count} packages ran it"
        yield f"on {environment.get('cpu') or environment.get('machine')!s}."
    status = run.outcome.get("exit_status")
    yield f"It is {run.status}" + (
        f": the code exited with status {status!s}." if status is not None else "."
    )
    if run.attempts:
        yield f"Attempts that failed before: {len(run.attempts)}."
    if run.reason:
        yield f"The reason: {json.dumps(run.reason.partition(chr(10))[0], ensure_ascii=False)}."
    if run.commit is not None and run.state == "Succeeded":
        yield f"It made commit {run.commit.hex()[:8]} on branch {spec.branch}."
