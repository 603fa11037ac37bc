"""Waiting for runs, and saying how they ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ahstore.cli import exit_codes
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.quantity import short_id
from ahstore.cli.session import Session
from ahstore.cli.table import clean, first_line, table
from ahstore.errors import RunFailedError

if TYPE_CHECKING:
    from ahstore.client.run import Run

ENDED = ("Succeeded", "Failed", "Stopped")


def after_start(session: Session, run: Run, *, wait: bool, as_json: bool) -> int:
    """Do what ``train`` and ``evaluate`` do once the run has started; return the exit status."""
    if wait:
        return wait_for(session, run, timeout=None, as_json=as_json)
    if as_json:
        emit_json(run.to_dict())
    return exit_codes.DONE


def wait_for(session: Session, run: Run, *, timeout: float | None, as_json: bool) -> int:
    """Wait for a run and say how it ended.

    Raises:
        RunFailedError: it failed, was stopped, or is not done in time.
    """
    session.info(f"Waiting for run {run.name}")
    try:
        run.wait(timeout)
    except KeyboardInterrupt:
        session.info(f"The run goes on: 'ah wait {run.name}' or 'ah stop {run.name}'")
        raise click.Abort from None
    if as_json:
        emit_json(run.to_dict())
    if run.status not in ENDED:
        raise RunFailedError(f"run {run.name} is not done after {timeout:g} seconds: {run.status}")
    if run.status != "Succeeded":
        reason = f": {first_line(run.reason)}" if run.reason else ""
        raise RunFailedError(
            f"run {run.name} {run.status.lower()}{reason} (see 'ah logs {run.name}'{_going_on(run)})",
            name=run.name,
        )
    session.info(f"Run {run.name} succeeded{_made(run)}")
    return exit_codes.DONE


def after_sweep(session: Session, runs: Sequence[Run], *, wait: bool, as_json: bool) -> int:
    """Do what a sweep does once its runs have started; with ``wait`` end with a table of them all.

    Raises:
        RunFailedError: some did not succeed.
    """
    if wait:
        session.info(f"Waiting for {len(runs)} runs")
        try:
            for run in runs:
                run.wait()
        except KeyboardInterrupt:
            session.info("The runs go on: 'ah ls workflow', 'ah stop NAME'")
            raise click.Abort from None
    if as_json:
        emit_json([run.to_dict() for run in runs])
    else:
        emit(_sweep_table(runs))
    failed = [run.name for run in runs if wait and run.status != "Succeeded"]
    if failed:
        raise RunFailedError(
            f"{len(failed)} of {len(runs)} runs did not succeed: {', '.join(failed)}"
        )
    return exit_codes.DONE


def _sweep_table(runs: Sequence[Run]) -> Iterator[str]:
    """Return a line for each run: its parameters, and the last of each metric that it logged."""
    params = list(dict.fromkeys(name for run in runs for name in run.to_dict()["params"]))
    lasts = [run.last_metrics() for run in runs]
    metrics = sorted({name for last in lasts for name in last} - {"step"})
    rows = (
        [
            run.name,
            run.to_dict()["branch"],
            *(clean(str(run.to_dict()["params"].get(name, "-"))) for name in params),
            run.status,
            *(clean(_number(last.get(name))) for name in metrics),
        ]
        for run, last in zip(runs, lasts, strict=True)
    )
    titles = ["NAME", "BRANCH", *map(clean, params), "STATUS", *map(clean, metrics)]
    return table(titles, rows)


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "-" if value is None else str(value)


def _going_on(run: Run) -> str:
    """Return how a run that ended without success may go on, if it has a checkpoint."""
    return f"; 'ah resume {run.name}' goes on" if run.record.checkpoint is not None else ""


def _made(run: Run) -> str:
    value = run.to_dict()
    reused = f", the result of {value['reused_from']}" if value["reused_from"] else ""
    if value["commit"]:
        return f": commit {short_id(value['commit'])} on branch {value['branch']}{reused}"
    return f": evaluation {value['evaluation']}{reused}" if value["evaluation"] else ""
