"""``ah ls environment`` and ``ah delete environment``: virtual environments made for runs."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.quantity import age, exact_size
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean, table

TITLES = ["KEY", "FROM", "PYTHON", "BY", "BYTES", "USED", "IN_USE"]


@click.command(cls=Verb)
@json_option
@pass_session
def ls(session: Session, as_json: bool) -> None:
    """List the virtual environments that were made for runs on this machine."""
    found = session.store().list_environment()
    if as_json:
        emit_json(found)
        return
    rows = (
        [
            each["key"][:8],
            each["from"],
            clean(each["python"]),
            each["installer"],
            exact_size(each["size_bytes"]),
            age(each["used"], session.now),
            "yes" if each["in_use"] else "no",
        ]
        for each in found
    )
    emit(table(TITLES, rows))


@click.command(cls=Verb)
@click.argument("keys", metavar="KEY…", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that no run is using.")
@pass_session
def delete(session: Session, keys: tuple[str, ...], all_: bool) -> None:
    """Delete virtual environments that were made for runs; they are made again when needed."""
    if all_ == bool(keys):
        raise click.UsageError("Give either KEY… or --all.")
    store = session.store()
    if all_:
        keys = tuple(each["key"] for each in store.list_environment() if not each["in_use"])
    for key in keys:
        store.delete_environment(key)
