"""``ah whoami``: the user in force."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@json_option
@pass_session
def whoami(session: Session, as_json: bool) -> None:
    """Show the user in force: AH_USER, else that of 'ah login --user', else the system's."""
    settings = session.settings()
    if as_json:
        emit_json({"user": settings.user, "user_from": settings.user_from})
    else:
        emit([settings.user + "\n"])
