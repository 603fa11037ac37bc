"""Where a commit comes from: the run that made it, as ``asset-hub.metadata`` in the commit says.

The file goes with the commit, so it is asked first; the run's record may have been deleted, or be in
another store. What a file claims is only believed when the commit itself names the same run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ahstore.errors import AhError, InvalidInputError
from ahstore.ids import AssetId, CommitId, RunId, check_address, parse_entity_id
from ahstore.jobs.running.metadata import METADATA_NAME
from ahstore.jobs.runtime import Runtime
from ahstore.jobs.spec import CodeVersion, PinnedVersion
from ahstore.objects.commit import Commit
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import find_object, open_object

MAX_METADATA_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """The training that made a commit, in the words of its ``asset-hub.metadata``."""

    run: RunId
    run_name: str
    by: str
    code: CodeVersion
    dataset: PinnedVersion
    checkpoint: PinnedVersion | None
    document: Mapping[str, Any]

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's parameters."""
        found = self.document.get("params")
        return found if isinstance(found, dict) else {}

    @property
    def command(self) -> list[str]:
        """The argv list that was run."""
        found = self.document.get("command")
        return [str(part) for part in found] if isinstance(found, list) else []

    @property
    def is_midway(self) -> bool:
        """Whether the commit is a checkpoint of the training, and not what it made in the end."""
        return self.document.get("midway") is not None

    @property
    def step(self) -> float | None:
        """The step at which a checkpoint was made, None if it has none."""
        midway = self.document.get("midway")
        step = midway.get("step") if isinstance(midway, dict) else None
        return step if isinstance(step, (int, float)) else None

    def limits(self) -> tuple[int, float | None]:
        """Return the run's volume in bytes and its time-out in seconds, None for none.

        Raises:
            InvalidInputError: the document does not say.
        """
        volume, timeout = self.document.get("volume_bytes"), self.document.get("timeout_seconds")
        if not isinstance(volume, int) or not isinstance(timeout, (int, float, type(None))):
            raise InvalidInputError("the training's metadata does not say its limits")
        return volume, timeout

    def runtime(self) -> Runtime:
        """Return what the code ran in, where something was asked for.

        Raises:
            InvalidInputError: the document says something else than that.
        """
        return Runtime.from_value(self.document.get("runtime", {}))

    def text(self, *keys: str) -> str | None:
        """Return a text of the document at ``keys``, None if it has none there."""
        found: Any = self.document
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, str) else None


def find_origin(repo: Repository, commit_id: CommitId, commit: Commit) -> Origin | None:
    """Return the training that made a commit, None if it was made in another way.

    A commit that someone put on top of a training's has that training's file too, but names no run.
    """
    run = commit.metadata.get("run")
    if not isinstance(run, str):
        return None
    try:
        entry = find_object(repo, commit_id, METADATA_NAME)
        if entry is None or entry.size > MAX_METADATA_BYTES:
            return None
        with open_object(repo, commit_id, METADATA_NAME) as file:
            origin = decode_origin(json.loads(file.read()))
    except (AhError, ValueError, RecursionError):
        return None
    if origin.code.changes is not None:
        # The commit has them itself, in whatever store it came to.
        changes = replace(origin.code.changes, commit=commit_id)
        origin = replace(origin, code=replace(origin.code, changes=changes))
    return origin if origin.run == run else None


def decode_origin(document: Any) -> Origin:
    """Return what an ``asset-hub.metadata`` says.

    Raises:
        ValueError: it is not such a document.
    """
    try:
        checkpoint = document["checkpoint"]
        return Origin(
            run=RunId(parse_entity_id(document["run"]["id"])),
            run_name=str(document["run"]["name"]),
            by=str(document["run"]["by"]),
            code=CodeVersion.from_value(document["code"]),
            dataset=_version(document["dataset"]),
            checkpoint=None if checkpoint is None else _version(checkpoint),
            document=document,
        )
    except (KeyError, TypeError, AttributeError, InvalidInputError) as error:
        raise ValueError(f"not a run's metadata: {error}") from error


def _version(value: Any) -> PinnedVersion:
    commit = check_address(bytes.fromhex(value["commit"]))
    return PinnedVersion(
        AssetId(parse_entity_id(value["id"])),
        str(value["path"]),
        str(value["ref"]),
        CommitId(commit),
    )
