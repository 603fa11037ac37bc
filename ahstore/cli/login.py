"""``ah login``: the store to use from now on."""

from __future__ import annotations

import os

import click

from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session
from ahstore.errors import InvalidInputError


@click.command(cls=Verb)
@click.argument("url", required=False)
@click.option("--user", metavar="NAME", help="The name to act under; your system's if not given.")
@pass_session
def login(session: Session, url: str | None, user: str | None) -> None:
    """Use the store at URL (s3://BUCKET/PREFIX, file:///…, a path) from now on, made if need be.

    Without URL, say which store is in force. No password is needed: who can write to the
    store's files can write to the store. S3's credentials are its own: the environment, a
    profile, a role; none of them is kept.
    """
    from ahstore.client.config import Login, write_login  # start-up
    from ahstore.client.store import Store

    if url is not None and url.startswith("memory:"):
        raise InvalidInputError(f"can't log in to {url}: it ends with each command", value=url)
    with Store.open(url or session.settings().store, user=user, notify=session.info) as store:
        if url is not None or user is not None:
            write_login(Login(store.url, user))
        session.info(f"Logged in to Asset Hub server {store.url} as user {store.user}")
    if url is not None and os.environ.get("AH_STORE"):
        session.info("AH_STORE is set and goes before the login")
