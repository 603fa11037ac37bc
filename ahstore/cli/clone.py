"""``ah clone``: a new store with all that another holds."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session
from ahstore.cli.transfers import run_and_tell, store_url


@click.command(cls=Verb)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@json_option
@pass_session
def clone(session: Session, source: str, target: str, as_json: bool) -> None:
    """Make a store DST that holds all that the store SRC holds.

    SRC and DST are URLs or paths; @ is the store in force. DST gets an id of its own and cuts files
    as SRC does. Cut short, it goes on when it is run again; later, 'ah sync' brings what is new.
    """
    from ahstore.client.store import Store  # start-up
    from ahstore.client.transfer import clone as clone_store

    user = session.settings().user
    with Store.open(store_url(session, source), user=user, create=False) as here:
        run_and_tell(
            session,
            lambda: clone_store(here, store_url(session, target), monitor=session.monitor()),
            as_json=as_json,
        )
