"""``ah status``: what a commit would change."""

from __future__ import annotations

import click

from ahstore.cli import listings
from ahstore.cli.arguments import json_option, rehash_option
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.argument("local", metavar="LOCAL[:PATH]…", nargs=-1)
@click.option("-d", "--delete", multiple=True, metavar="PATH", help="An object to delete, or sub/.")
@rehash_option
@json_option
@pass_session
def status(
    session: Session,
    path: str,
    local: tuple[str, ...],
    delete: tuple[str, ...],
    rehash: bool,
    as_json: bool,
) -> None:
    """Show what a commit of LOCAL onto a version would change. Nothing is written.

    LOCAL is what 'ah commit -a' takes.
    """
    if not local and not delete:
        raise click.UsageError("There is nothing to compare: give LOCAL or -d PATH.")
    version = session.store().version(path)
    changes = version.status(local, delete, rehash=rehash, monitor=session.monitor())
    listings.changes(session, changes, as_json=as_json, none="Nothing would change")
