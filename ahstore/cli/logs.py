"""``ah logs``: what a run printed."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.readable import readable
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--metrics", is_flag=True, help="What it logged as metrics, as JSON lines.")
@pass_session
def logs(session: Session, name: str, follow: bool, metrics: bool) -> None:
    """Show what the run NAME printed, so far.

    Of lines that were written over, as progress bars do, there is the state now and then, and the
    last. Colours are shown on a terminal; what else would drive it is taken out.
    """
    run = session.store().get_workflow(name)
    if metrics:
        lines = map(json.dumps, run.metrics(follow=follow))
    else:
        lines = map(partial(readable, colours=sys.stdout.isatty()), run.logs(follow=follow))
    for text in lines:
        sys.stdout.write(text + "\n")
        if follow:
            sys.stdout.flush()
