"""``ah blame``: which commit brought each object its content."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json_list
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.quantity import age, short_id
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean, first_line, table


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.argument("object_", metavar="[PATH]", required=False, default="")
@json_option
@pass_session
def blame(session: Session, path: str, object_: str, as_json: bool) -> None:
    """Show which commit brought each object at or below PATH the content it has in REF.

    For each object this is the commit that 'ah log -n 1 ASSET:REF OBJECT' shows.
    """
    records = session.store().version(path).blame(object_)
    if as_json:
        emit_json_list(records)
        return
    rows = (
        (
            short_id(record["commit_id"]),
            clean(record["committer"]),
            age(record["creation_date"], session.now),
            clean(record["path"]),
            first_line(record["message"]),
        )
        for record in records
    )
    emit(table(("COMMIT_ID", "COMMITTER", "CREATED", "PATH", "MESSAGE"), rows))
