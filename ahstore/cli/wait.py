"""``ah wait``: until a run has ended."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.lazy import Verb
from ahstore.cli.runs import wait_for
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("name")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after so long."
)
@json_option
@pass_session
def wait(session: Session, name: str, timeout: float | None, as_json: bool) -> int:
    """Wait until the run NAME has ended; exit 1 if it did not succeed."""
    run = session.store().get_workflow(name)
    return wait_for(session, run, timeout=timeout, as_json=as_json)
