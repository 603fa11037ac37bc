"""``ah import``: a bundle into the store in force."""

from __future__ import annotations

import sys

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session
from ahstore.cli.transfers import asset_options, run_and_tell


@click.command("import", cls=Verb)
@click.argument("file", metavar="FILE")
@asset_options
@json_option
@pass_session
def import_(
    session: Session,
    file: str,
    as_path: str | None,
    force: bool,
    prune: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring what is in a bundle, made by 'ah export', into the store; - is standard input.

    The bundle is read and checked as a whole before anything is written. Branches move forward
    only, tags never; those that would need more are named, and the exit status is 3. Cut short, it
    goes on when it is run again. With --dry-run it is only checked.
    """
    store = session.store(create=not dry_run)
    run_and_tell(
        session,
        lambda: store.import_bundle(
            sys.stdin.buffer if file == "-" else file,
            as_path=as_path,
            force=force,
            prune=prune,
            dry_run=dry_run,
            monitor=session.monitor(),
        ),
        as_json=as_json,
        dry_run=dry_run,
    )
