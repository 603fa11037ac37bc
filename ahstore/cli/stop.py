"""``ah stop``: end a run."""

from __future__ import annotations

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("name")
@pass_session
def stop(session: Session, name: str) -> None:
    """Stop the run NAME; nothing of it is committed."""
    session.store().get_workflow(name).stop()
