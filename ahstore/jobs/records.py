"""The records of runs: a cell ``run/<model>/<run>`` each, and ``runname/<name>`` for its name.

``Pending → Running → Committing → Succeeded``, or ``Failed``, or ``Stopped`` (docs/format/runs.md).
Every change is a compare-and-swap on the state that was read, so of two who would end a run
differently one finds the other's word and yields.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ahstore.codec.canonical import Value
from ahstore.errors import ConflictError, CorruptError, InvalidInputError, NotFoundError
from ahstore.ids import AssetId, CommitId, EvaluationId, RunId, check_address, parse_entity_id
from ahstore.jobs.engines.contract import Job
from ahstore.jobs.progress import Checkpoint, FailedAttempt, ReusedRun
from ahstore.jobs.spec import RunSpec
from ahstore.storage.cells import Cell, CellConflictError, CellState, CellVersion
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.repository import Repository
from ahstore.versions.resolve import check_kept
from ahstore.versions.session import WriteSession

RunState = Literal["Pending", "Running", "Committing", "Succeeded", "Failed", "Stopped"]
STATES: tuple[RunState, ...] = (
    "Pending",
    "Running",
    "Committing",
    "Succeeded",
    "Failed",
    "Stopped",
)
OVER: frozenset[RunState] = frozenset({"Succeeded", "Failed", "Stopped"})

RUN_KIND = "run"
NAME_KIND = "runname"
NAME_PREFIX = "asset-hub-"
NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
NAME_LENGTH = 5
MAX_REASON_LENGTH = 8192

_MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stood at version ``number`` of its cell; times in seconds since 1970 (UTC).

    Attributes:
        id: the run's own.
        name: ``asset-hub-xxxxx``, unique in the store.
        by: the user who started it.
        spec: what it is to do.
        state: where it stands.
        supervisor: the process that carries it out; of a job that no worker has begun yet, the one
            that submitted it.
        workspace: its folders, on the supervisor's machine; "" while that is not known.
        created: when it was asked for.
        started: when its supervisor took it up.
        ended: when it was over.
        reason: why it failed; None otherwise.
        stop_by: the user who asked for its end, if anyone has.
        command: what was run, once that is known.
        commit: the commit that a training made, or is about to make while ``Committing``.
        evaluation: likewise for an evaluation.
        environment: what it runs on, once that is known.
        outcome: how the code ended and what it took, once it has.
        fence_due: it was declared Failed while ``Committing`` or with ``publishing``; its branch is
            still to be fenced.
        checkpoint: the last that its code has committed while it ran.
        attempts: those that failed, after which there was or will be another.
        reused_from: the run whose result it took, instead of doing the same again.
        publishing: a checkpoint that is about to be committed, perhaps has just been.
        job: what carries it out if that is not this machine itself.
        number: of the cell's version.
        written: when that version was written, by the storage's clock.
    """

    id: RunId
    name: str
    by: str
    spec: RunSpec
    state: RunState
    supervisor: ProcessIdentity
    workspace: str
    created: float
    started: float | None = None
    ended: float | None = None
    reason: str | None = None
    stop_by: str | None = None
    command: tuple[str, ...] = ()
    commit: CommitId | None = None
    evaluation: EvaluationId | None = None
    environment: Mapping[str, Value] = field(default_factory=dict)
    outcome: Mapping[str, Value] = field(default_factory=dict)
    job: Job | None = None
    fence_due: bool = False
    checkpoint: Checkpoint | None = None
    publishing: Checkpoint | None = None
    attempts: tuple[FailedAttempt, ...] = ()
    reused_from: ReusedRun | None = None
    number: int = -1
    written: float = 0.0

    @property
    def status(self) -> str:
        """What users see: ``Pending``, ``Running``, ``Succeeded``, ``Failed`` or ``Stopped``."""
        return "Running" if self.state == "Committing" else self.state

    @property
    def attempt(self) -> int:
        """Which go at the code this is, or would be next: from 1."""
        return len(self.attempts) + 1

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.state in OVER

    @property
    def awaits_worker(self) -> bool:
        """Whether it is an engine's job that no worker has begun to carry out."""
        return self.job is not None and self.state == "Pending"

    @property
    def engine(self) -> str:
        """What carries it out: ``local``, ``slurm`` or ``ray``."""
        return "local" if self.job is None else self.job.engine

    def to_value(self) -> dict[str, Value]:
        """Return the value of the run's cell."""
        value: dict[str, Value] = {
            "name": self.name,
            "by": self.by,
            "spec": self.spec.to_value(),
            "state": self.state,
            "supervisor": self.supervisor.to_value(),
            "workspace": self.workspace,
            "created": float(self.created),
            "started": None if self.started is None else float(self.started),
            "ended": None if self.ended is None else float(self.ended),
            "reason": None if self.reason is None else self.reason[:MAX_REASON_LENGTH],
            "stop_by": self.stop_by,
            "command": list(self.command),
            "commit": self.commit,
            "evaluation": self.evaluation,
            "environment": dict(self.environment),
            "outcome": dict(self.outcome),
            "fence_due": self.fence_due,
        }
        if self.checkpoint is not None:
            value["checkpoint"] = self.checkpoint.to_value()
        if self.publishing is not None:
            value["publishing"] = self.publishing.to_value()
        if self.attempts:
            value["attempts"] = [attempt.to_value() for attempt in self.attempts]
        if self.reused_from is not None:
            value["reused_from"] = self.reused_from.to_value()
        if self.job is not None:
            value["job"] = self.job.to_value()
        return value

    @staticmethod
    def from_version(run: RunId, version: CellVersion) -> RunRecord:
        """Return what a version of a run's cell says.

        Raises:
            CorruptError: it is not a run's.
        """
        try:
            return _decode(run, version)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"the record of run {run} is malformed: {error}", run=run) from error


def _decode(run: RunId, version: CellVersion) -> RunRecord:
    value: dict[str, Any] = dict(version.value)
    if value["state"] not in STATES:
        raise InvalidInputError(f"unknown state {value['state']!r}")
    commit, evaluation, job = value["commit"], value["evaluation"], value.get("job")
    return RunRecord(
        id=run,
        name=_text(value["name"]),
        by=_text(value["by"]),
        spec=RunSpec.from_value(value["spec"]),
        state=value["state"],
        supervisor=ProcessIdentity.from_value(value["supervisor"]),
        workspace=_text(value["workspace"]),
        created=float(value["created"]),
        started=_optional_time(value["started"]),
        ended=_optional_time(value["ended"]),
        reason=_optional_text(value["reason"]),
        stop_by=_optional_text(value["stop_by"]),
        command=tuple(_text(part) for part in value["command"]),
        commit=None if commit is None else CommitId(check_address(commit)),
        evaluation=None if evaluation is None else EvaluationId(parse_entity_id(evaluation)),
        environment=_document(value["environment"]),
        outcome=_document(value["outcome"]),
        job=None if job is None else Job.from_value(job),
        fence_due=bool(value["fence_due"]),
        checkpoint=_optional_checkpoint(value.get("checkpoint")),
        publishing=_optional_checkpoint(value.get("publishing")),
        attempts=tuple(map(FailedAttempt.from_value, value.get("attempts", ()))),
        reused_from=(
            ReusedRun.from_value(value["reused_from"]) if "reused_from" in value else None
        ),
        number=version.number,
        written=version.time,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def _document(value: Any) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise TypeError("a document expected")
    return value


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _optional_checkpoint(value: Any) -> Checkpoint | None:
    return None if value is None else Checkpoint.from_value(value)


def _optional_time(value: Any) -> float | None:
    return None if value is None else float(value)


class RunRecords:
    """The records of all runs of a store."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._cells = repo.cells

    def reserve_name(self, model: AssetId, run: RunId) -> str:
        """Take a fresh name for a run; it stays taken for ever."""
        value: dict[str, Value] = {"model": model, "run": run}
        for _ in range(_MAX_ATTEMPTS):
            suffix = "".join(secrets.choice(NAME_LETTERS) for _ in range(NAME_LENGTH))
            name = NAME_PREFIX + suffix
            try:
                self._cells.swap(_name_cell(name), -1, value)
            except CellConflictError:
                continue
            return name
        raise ConflictError("no free name was found for the run; try again")

    def create(self, record: RunRecord, session: WriteSession) -> RunRecord:
        """Write the first version of a run's record, in a session that names its cell.

        Raises:
            NotFoundError: a version that the run is to be given is not there any more.
        """
        spec = record.spec
        # From now on the record keeps them: until it is there, the session's lease does.
        for given in (spec.dataset, spec.checkpoint):
            if given is not None:
                check_kept(self._repo, given.asset, given.ref, given.commit, session)
        version = session.swap(run_cell(spec.model, record.id), -1, record.to_value())
        return replace(record, number=version.number, written=version.time)

    def find(self, model: AssetId, run: RunId) -> RunRecord | None:
        """Return a run's record as it is now, None if there is none or it was deleted."""
        version = self._cells.read(run_cell(model, run))
        if version.state is not CellState.LIVE:
            return None
        return RunRecord.from_version(run, version)

    def get(self, model: AssetId, run: RunId) -> RunRecord:
        """Return a run's record as it is now.

        Raises:
            NotFoundError: there is none.
        """
        record = self.find(model, run)
        if record is None:
            raise NotFoundError(f"there is no run {run} any more", run=run)
        return record

    def get_by_name_or_id(self, text: str) -> RunRecord:
        """Return the run that has this name or id.

        Raises:
            NotFoundError: there is none.
        """
        record = (
            self._find_by_name(text) if text.startswith(NAME_PREFIX) else self._find_by_id(text)
        )
        if record is None:
            raise NotFoundError(f"there is no run {text[:100]!r}", run=text[:100])
        return record

    def list(self, model: AssetId) -> list[RunRecord]:
        """Return the runs of a model, newest first."""
        found = [
            self.find(model, RunId(parse_entity_id(cell.key[1])))
            for cell in self._cells.list(RUN_KIND, model)
        ]
        live = [record for record in found if record is not None]
        return sorted(live, key=lambda record: (-record.created, record.id))

    def all(self) -> Iterator[RunRecord]:
        """Yield the runs of all models, in no order."""
        for model in self._models():
            yield from self.list(model)

    def change(self, record: RunRecord, edit: Callable[[RunRecord], RunRecord | None]) -> RunRecord:
        """Change a run's record by ``edit(as it is now)``, again when another was faster.

        Returns:
            The record as it is then; ``edit`` returns None to leave it as it is.

        Raises:
            NotFoundError: the run was deleted.
        """
        cell = run_cell(record.spec.model, record.id)
        for _ in range(_MAX_ATTEMPTS):
            current = self.get(record.spec.model, record.id)
            edited = edit(current)
            if edited is None:
                return current
            try:
                version = self._cells.swap(cell, current.number, edited.to_value())
            except CellConflictError:
                continue
            return replace(edited, number=version.number, written=version.time)
        raise ConflictError(f"the record of run {record.name} changes too fast; try again")

    def delete(self, record: RunRecord) -> None:
        """Delete a run's record; its name stays taken.

        Raises:
            ConflictError: the run is not over, or its record has changed meanwhile.
        """
        if not record.is_over:
            raise ConflictError(
                f"run {record.name} is {record.status.lower()}: stop it first", run=record.id
            )
        try:
            self._cells.kill(run_cell(record.spec.model, record.id), record.number)
        except CellConflictError:
            raise ConflictError(f"run {record.name} has just changed; try again") from None

    def _find_by_name(self, name: str) -> RunRecord | None:
        if len(name) != len(NAME_PREFIX) + NAME_LENGTH or not set(name[len(NAME_PREFIX) :]) <= set(
            NAME_LETTERS
        ):
            return None
        version = self._cells.read(_name_cell(name))
        if version.state is not CellState.LIVE:
            return None
        try:
            model = AssetId(parse_entity_id(version.value.get("model")))
            run = RunId(parse_entity_id(version.value.get("run")))
        except InvalidInputError as error:
            raise CorruptError(f"the name {name} points to no run") from error
        return self.find(model, run)

    def _find_by_id(self, text: str) -> RunRecord | None:
        try:
            run = RunId(parse_entity_id(text))
        except InvalidInputError:
            return None
        found = (self.find(model, run) for model in self._models())
        return next((record for record in found if record is not None), None)

    def _models(self) -> Iterator[AssetId]:
        for name in self._cells.storage.list_folders(f"cells/{RUN_KIND}/"):
            yield AssetId(parse_entity_id(name))


def run_cell(model: AssetId, run: RunId) -> Cell:
    """Return the cell of a run."""
    return Cell(RUN_KIND, (model, run))


def _name_cell(name: str) -> Cell:
    return Cell(NAME_KIND, (name,))
