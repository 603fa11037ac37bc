"""``ah logs``: what a run printed."""

from __future__ import annotations

import sys

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@pass_session
def logs(session: Session, name: str, follow: bool) -> None:
    """Show what the run NAME printed, so far."""
    for text in session.store().get_workflow(name).logs(follow=follow):
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        if follow:
            sys.stdout.flush()
