"""``ah sync``: one store brought up to date from another."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session
from ahstore.cli.transfers import asset_options, run_and_tell, store_url


@click.command(cls=Verb)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--branch", metavar="NAME", help="The branch that is to hold a version given by its commit."
)
@asset_options
@json_option
@pass_session
def sync(
    session: Session,
    source: str,
    target: str,
    paths: tuple[str, ...],
    branch: str | None,
    as_path: str | None,
    force: bool,
    prune: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring what is new in the store SRC to the store DST.

    SRC and DST are URLs or paths; @ is the store in force. PATH is model, dataset, FOLDER,
    FOLDER/ASSET or FOLDER/ASSET:REF with its kind in front; without one everything moves.

    Only what DST has not is sent, and checked. Branches move forward only, tags never; those that
    would need more are named, and the exit status is 3. Nothing is deleted without --prune. Cut
    short, it goes on when it is run again.
    """
    from ahstore.client.store import Store  # start-up
    from ahstore.client.transfer import sync as sync_stores

    user = session.settings().user
    there_url = store_url(session, target)
    with (
        Store.open(store_url(session, source), user=user, create=False) as here,
        Store.open(there_url, user=user, create=not dry_run) as there,
    ):
        run_and_tell(
            session,
            lambda: sync_stores(
                here,
                there,
                paths,
                force=force,
                prune=prune,
                as_path=as_path,
                branch=branch,
                dry_run=dry_run,
                monitor=session.monitor(),
            ),
            as_json=as_json,
            dry_run=dry_run,
        )
