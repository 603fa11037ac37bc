"""Waiting for runs, and saying how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ahstore.cli import exit_codes
from ahstore.cli.emit import emit_json
from ahstore.cli.quantity import short_id
from ahstore.cli.session import Session
from ahstore.cli.table import first_line
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
            f"run {run.name} {run.status.lower()}{reason} (see 'ah logs {run.name}')", name=run.name
        )
    session.info(f"Run {run.name} succeeded{_made(run)}")
    return exit_codes.DONE


def _made(run: Run) -> str:
    value = run.to_dict()
    if value["commit"]:
        return f": commit {short_id(value['commit'])} on branch {value['branch']}"
    return f": evaluation {value['evaluation']}" if value["evaluation"] else ""
