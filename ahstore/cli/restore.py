"""``ah restore``: objects of an older version back into a branch."""

from __future__ import annotations

import click

from ahstore.cli.arguments import expect_option, json_option, metadata_option, parse_pairs
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:BRANCH]")
@click.argument("objects", metavar="PATH…", nargs=-1, required=True)
@click.option("-s", "--source", required=True, metavar="REF", help="The version they come from.")
@click.option("-m", "--message", metavar="MSG", help="The commit's message.")
@metadata_option
@expect_option
@json_option
@pass_session
def restore(
    session: Session,
    path: str,
    objects: tuple[str, ...],
    source: str,
    message: str | None,
    metadata: tuple[str, ...],
    expect: str | None,
    as_json: bool,
) -> None:
    """Make objects and folders of a branch what they were in REF, by a commit.

    No bytes are read or written. What a folder holds now and did not hold then is deleted. To get
    files on your disk, use 'ah download'.
    """
    made = (
        session.store()
        .branch(path)
        .restore(
            objects,
            source,
            msg=message,
            expect=expect,
            metadata=parse_pairs(metadata, "metadata"),
        )
    )
    if as_json:
        emit_json(None if made is None else made.to_dict())
