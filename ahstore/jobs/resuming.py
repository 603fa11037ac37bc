"""Going on with a training that ended without success, from the last checkpoint that it handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ahstore.errors import ConflictError, InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.hub.sizes import parse_size
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.records import RunRecord
from ahstore.jobs.running.interpreter import find_interpreter
from ahstore.jobs.runtime import check_again
from ahstore.jobs.spec import PinnedVersion, Resumption, RunSpec, check_volume
from ahstore.jobs.submission import (
    Submission,
    check_can_run,
    check_timeout,
    find_recorded_code,
)


def submit_resume(
    hub: Hub,
    record: RunRecord,
    *,
    git_repo: str | None = None,
    volume: str | int | None = None,
    timeout: float | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Submission:
    """Return a training that goes on with a run, given its record as it is now.

    It does what that did, with the last checkpoint that was committed for it; a run that had none
    is begun anew from what it was given.

    Args:
        hub: of the store.
        record: of the run to go on with.
        git_repo: where the code is now, if it is no longer where the run had it.
        volume: another limit than the run had.
        timeout: likewise.
        env: variables that the run had and whose values are not recorded; others replace.

    Raises:
        InvalidInputError: the run is no training, or has succeeded.
        ConflictError: it is not over.
        NotFoundError: its model, dataset, checkpoint or code is not there any more.
    """
    check_can_run(hub)
    _check_can_go_on(record)
    spec = record.spec
    model = hub.get_asset_by_id(spec.model)
    given = _go_on_from(record, model.path)
    for pin in (spec.dataset, given):
        if pin is not None:
            hub.repo.read_commit(pin.commit)
    source, code = find_recorded_code("train", spec.code, git_repo=git_repo)
    caller = caller_environment()
    asked = check_again(spec.runtime, python=None, env=env, caller=caller)
    find_interpreter(asked.runtime.python, caller)
    size = parse_size(volume) if isinstance(volume, str) else volume
    return Submission(
        replace(
            spec,
            model_path=model.path,
            checkpoint=given,
            code=code,
            volume=spec.volume if size is None else check_volume(size),
            timeout=spec.timeout if timeout is None else check_timeout(timeout),
            reuse=False,
            resumes=Resumption(record.id, record.name, _step(record), spec.start),
            runtime=asked.runtime,
        ),
        source,
        hidden=asked.hidden,
    )


def _check_can_go_on(record: RunRecord) -> None:
    if record.spec.type != "train":
        raise InvalidInputError(f"run {record.name} is no training: there is nothing to go on with")
    if not record.is_over:
        raise ConflictError(f"run {record.name} is {record.status.lower()}: it goes on by itself")
    if record.state == "Succeeded":
        raise InvalidInputError(
            f"run {record.name} succeeded: to train on, give what it made as the checkpoint"
        )


def _go_on_from(record: RunRecord, model_path: str) -> PinnedVersion | None:
    last, spec = record.checkpoint, record.spec
    if last is None:
        return spec.checkpoint
    return PinnedVersion(spec.model, model_path, last.branch, last.commit)


def _step(record: RunRecord) -> float | None:
    if record.checkpoint is not None:
        return record.checkpoint.step
    return None if record.spec.resumes is None else record.spec.resumes.step


def describe_start(spec: RunSpec) -> str:
    """Return in a few words what a resumed run goes on from."""
    if spec.checkpoint is None or spec.checkpoint == spec.start:
        return "from its beginning: it had no checkpoint"
    step = spec.resumes.step if spec.resumes is not None else None
    at = "" if step is None else f" at step {step:.15g}"
    return f"from checkpoint {spec.checkpoint.commit.hex()[:8]}{at}"
