"""``asset-hub.metadata``: the small JSON file that goes with the outputs of a training.

It says enough to run the same training again, and nothing of the environment but versions. The
fields are documented in docs/format/runs.md.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ahstore._version import __version__
from ahstore.ids import RunId
from ahstore.jobs.spec import PinnedVersion, RunSpec

METADATA_NAME = "asset-hub.metadata"
SCHEMA_VERSION = 1


def encode_metadata(
    spec: RunSpec,
    *,
    run: RunId,
    name: str,
    by: str,
    command: Sequence[str],
    started: float,
    ended: float,
    metrics: Any = None,
) -> bytes:
    """Return the file's bytes; times are seconds since the epoch (UTC)."""
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
        "environment": {
            "ahstore": __version__,
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "system": platform.system(),
            "machine": platform.machine(),
        },
        "started": format_time(started),
        "ended": format_time(ended),
    }
    if metrics is not None:
        document["metrics"] = metrics
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


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
