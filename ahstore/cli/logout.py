"""``ah logout``: forget the store logged in to."""

from __future__ import annotations

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@pass_session
def logout(session: Session) -> None:
    """Forget the store logged in to; the default one is used from now on."""
    from ahstore.client.config import forget_login, read_login  # start-up

    login = read_login()
    if login is None or not forget_login():
        session.info("Not logged in")
    else:
        session.info(f"Logged out from Asset Hub server {login.url}")
