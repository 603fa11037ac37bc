"""``ah diff``: what differs between two versions."""

from __future__ import annotations

import click

from ahstore.cli import listings
from ahstore.cli.arguments import json_option
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("old", type=PATH, metavar="ASSET:OLD")
@click.argument("new", metavar="NEW")
@json_option
@pass_session
def diff(session: Session, old: str, new: str, as_json: bool) -> None:
    """Show what turns one version into another: NEW is a REF of the same asset, or ASSET:REF."""
    store = session.store()
    before = store.version(old)
    after = store.version(new) if ":" in new else before.asset.version(new)
    listings.changes(session, before.diff(after), as_json=as_json, none="Nothing differs")
