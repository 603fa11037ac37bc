"""``asset-hub.metadata``: the small JSON file that goes with the outputs of a training.

It says enough to run the same training again: code, data, parameters, and what it ran on. The
fields are documented in docs/format/runs.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ahstore.ids import RunId
from ahstore.jobs.records import RunRecord
from ahstore.jobs.spec import PinnedVersion, RunSpec

METADATA_NAME = "asset-hub.metadata"
SCHEMA_VERSION = 1
OUTCOME_SHOWN = ("exit_status", "peak_memory_bytes", "bytes_in", "bytes_out")


def encode_metadata(
    spec: RunSpec,
    *,
    run: RunId,
    name: str,
    by: str,
    command: Sequence[str],
    started: float,
    ended: float,
    environment: Mapping[str, Any],
    outcome: Mapping[str, Any],
    metrics: Any = None,
    midway: Mapping[str, Any] | None = None,
    history: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the file's bytes; times are seconds since the epoch (UTC).

    ``midway`` says of a checkpoint which one of the run's it is, ``history`` (``history_of``) that
    the run did not go from its beginning to its end in one piece.
    """
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "type": spec.type,
        "run": {"id": run, "name": name, "by": by},
        "model": spec.model_path,
        "branch": spec.branch,
        "code": spec.code.to_value(),
        "dataset": _version(spec.dataset),
        "checkpoint": None if spec.checkpoint is None else _version(spec.checkpoint),
        "params": dict(spec.params),
        "command": list(command),
        "volume_bytes": spec.volume,
        "timeout_seconds": spec.timeout,
        "environment": _in_short(environment),
        "outcome": {name: outcome[name] for name in OUTCOME_SHOWN if name in outcome},
        "started": format_time(started),
        "ended": format_time(ended),
    }
    runtime = spec.runtime.to_value()
    if runtime:
        document["runtime"] = runtime
    if metrics is not None:
        document["metrics"] = metrics
    if midway is not None:
        document["midway"] = dict(midway)
    document.update(history or {})
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def history_of(record: RunRecord) -> dict[str, Any]:
    """Return what is to be said of a run that was tried again or goes on with another."""
    history: dict[str, Any] = {}
    if record.attempts:
        history["failed_attempts"] = [
            {
                "number": attempt.number,
                "started": format_time(attempt.started),
                "ended": format_time(attempt.ended),
                "reason": attempt.reason,
            }
            for attempt in record.attempts
        ]
    resumes = record.spec.resumes
    if resumes is not None:
        history["resumes"] = {"run": resumes.run, "name": resumes.name, "step": resumes.step}
    return history


def _in_short(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an environment with its packages on one line, for people who look at the file."""
    packages = environment.get("packages", {})
    line = " ".join(f"{name}=={version}" for name, version in packages.items())
    return {**environment, "packages": line}


def format_time(seconds: float) -> str:
    """Return a time as ``2022-12-01T10:32:48Z``."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _version(version: PinnedVersion) -> dict[str, str]:
    return {
        "id": version.asset,
        "path": version.path,
        "ref": version.ref,
        "commit": version.commit.hex(),
    }
