"""How a run came to its end: checkpoints that its code committed, attempts that failed, work reused.

Part of the run's record, so ``to_value`` and ``from_value`` are format (docs/format/runs.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError
from ahstore.ids import CommitId, RunId, check_address, parse_entity_id

CheckpointMode = Literal["own", "target", "none"]
CHECKPOINT_MODES: tuple[CheckpointMode, ...] = ("own", "target", "none")
OWN_BRANCH_PREFIX = "run-"
MAX_STEP = 1 << 53
MAX_ATTEMPT_REASON = 1000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that the code of a run handed in while it ran.

    Attributes:
        branch: where it is committed.
        commit: its commit.
        number: of the run's checkpoints, from 1.
        attempt: in which attempt of the run it was made, from 1.
        time: when, in seconds since 1970 by the storage's clock.
        step: the user's own count, None if he gave none.
    """

    branch: str
    commit: CommitId
    number: int
    attempt: int
    time: float
    step: float | None = None

    def __str__(self) -> str:
        at = "" if self.step is None else f" at step {format_step(self.step)}"
        return f"{self.commit.hex()[:8]}{at} on branch {self.branch}"

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        return {
            "branch": self.branch,
            "commit": self.commit,
            "number": self.number,
            "attempt": self.attempt,
            "time": float(self.time),
            "step": self.step,
        }

    @staticmethod
    def from_value(value: Any) -> Checkpoint:
        """Return what ``to_value`` stored.

        Raises:
            InvalidInputError, KeyError, TypeError: it is something else.
        """
        if not isinstance(value["branch"], str):
            raise InvalidInputError("the branch of a checkpoint must be a string")
        return Checkpoint(
            value["branch"],
            CommitId(check_address(value["commit"])),
            int(value["number"]),
            int(value["attempt"]),
            float(value["time"]),
            check_step(value["step"]),
        )


@dataclass(frozen=True, slots=True)
class ReusedRun:
    """The run whose result another took."""

    run: RunId
    name: str

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        return {"run": self.run, "name": self.name}

    @staticmethod
    def from_value(value: Any) -> ReusedRun:
        """Return what ``to_value`` stored.

        Raises:
            InvalidInputError, KeyError, TypeError: it is something else.
        """
        return ReusedRun(RunId(parse_entity_id(value["run"])), str(value["name"]))


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A go at a run's code that failed, and after which there may be another.

    Attributes:
        number: from 1.
        started: when, in seconds since 1970 by the storage's clock.
        ended: likewise.
        reason: why it failed.
    """

    number: int
    started: float
    ended: float
    reason: str

    def to_value(self) -> dict[str, Value]:
        """Return the form that is stored."""
        return {
            "number": self.number,
            "started": float(self.started),
            "ended": float(self.ended),
            "reason": self.reason[:MAX_ATTEMPT_REASON],
        }

    @staticmethod
    def from_value(value: Any) -> FailedAttempt:
        """Return what ``to_value`` stored.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return FailedAttempt(
            int(value["number"]),
            float(value["started"]),
            float(value["ended"]),
            str(value["reason"]),
        )


def check_step(step: Any) -> float | None:
    """Return a step, a number that JSON and the record can hold exactly, or None.

    Raises:
        InvalidInputError: it is something else.
    """
    if step is None:
        return None
    if isinstance(step, bool) or not isinstance(step, (int, float)):
        raise InvalidInputError(f"a step must be a number, not {step!r:.100}")
    if not math.isfinite(step) or abs(step) > MAX_STEP:
        raise InvalidInputError(f"a step of {step} can't be")
    return step


def format_step(step: float) -> str:
    """Return a step as its user wrote it."""
    return f"{step:.15g}"
