"""Every error the library raises, grouped by what a handler would do next.

All derive from `AhError` and from the built-in that fits. Each class has a machine ``code``
(never reused, never changed) and carries the values it names as attributes given by keyword.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AhError(Exception):
    """The root. ``code`` is for programs, ``str(error)`` for people, ``details`` for both."""

    code = "error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message


class InvalidInputError(AhError, ValueError):
    """What was asked for is malformed: change it and ask again."""

    code = "invalid-input"


class NotFoundError(AhError, LookupError):
    """A folder, asset, reference, commit, object, run or evaluation is not there."""

    code = "not-found"


class ObjectNotFoundError(NotFoundError, FileNotFoundError):
    """A path is not in a commit, or a local path is not on disk."""

    code = "object-not-found"


class AlreadyExistsError(AhError, RuntimeError):
    """The name is taken: choose another, or use what is there."""

    code = "already-exists"


class NotEmptyError(AhError, RuntimeError):
    """A folder that holds assets was to be deleted: delete them first, or say ``force``."""

    code = "not-empty"


class ConflictError(AhError, RuntimeError):
    """Someone else changed what this operation builds on: look again, then retry or give up."""

    code = "conflict"


class MergeConflictError(ConflictError):
    """Both sides changed the same paths; nothing was changed. ``paths`` lists them."""

    code = "merge-conflict"

    def __init__(self, message: str, *, paths: Sequence[str]) -> None:
        super().__init__(message, paths=list(paths))
        self.paths = list(paths)


class DivergedError(ConflictError):
    """Branches have commits of their own on both sides, or tags differ: these were left alone.

    Everything else has moved; ``result`` tells, ``refs`` lists what was refused. Merge, or force.
    """

    code = "diverged"

    def __init__(self, message: str, *, refs: Sequence[str], result: Any) -> None:
        super().__init__(message, refs=list(refs))
        self.refs = list(refs)
        self.result = result


class LeaseLostError(ConflictError):
    """The writer's lease was revoked (it was held for dead): start the operation again."""

    code = "lease-lost"


class SourceChangedError(AhError, RuntimeError):
    """A local file kept changing while it was read: retry when its writer is done."""

    code = "source-changed"


class CorruptError(AhError):
    """Stored bytes are not what their address or checksum says. ``fsck`` tells more."""

    code = "corrupt"


class StorageError(AhError, OSError):
    """The disk or the bucket failed; ``key`` or ``path`` in ``details`` says where."""

    code = "storage"


class StorageFullError(StorageError):
    """No space left: free some and retry. The store is as it was."""

    code = "storage-full"


class UnsupportedError(AhError, RuntimeError):
    """What the operation needs is not there: in the storage, the store's format or the platform."""

    code = "unsupported"


class OutcomeUnknownError(AhError):
    """The commit point was sent and no answer came. A retry is safe; ``details`` has the id."""

    code = "outcome-unknown"


class EngineError(AhError, RuntimeError):
    """Slurm, Ray or whatever is to carry a run out refuses it; the message has its own words."""

    code = "engine"


class EngineUnreachableError(EngineError):
    """What is to carry a run out does not answer from here: try again, or on another machine."""

    code = "engine-unreachable"


class RunFailedError(AhError, RuntimeError):
    """A train or evaluate run ended without success; the run's record says why."""

    code = "run-failed"
