"""``ah merge``: a version into a branch."""

from __future__ import annotations

import click

from ahstore.cli.arguments import expect_option, json_option
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET:SOURCE")
@click.option(
    "--into", default="main", metavar="BRANCH", help="The branch to change; main if not given."
)
@click.option("-m", "--message", metavar="MSG", help="The merge commit's message.")
@click.option(
    "--strategy",
    type=click.Choice(["three-way", "replace"]),
    default="three-way",
    help="three-way takes what each side changed; replace makes BRANCH exactly SOURCE.",
)
@expect_option
@json_option
@pass_session
def merge(
    session: Session,
    path: str,
    into: str,
    message: str | None,
    strategy: str,
    expect: str | None,
    as_json: bool,
) -> None:
    """Merge the version SOURCE into a branch of the same asset.

    A branch that has nothing new of its own simply moves on. Where both sides changed an object
    differently nothing is done, and the objects are named.
    """
    made = session.store().merge(
        path,
        into,
        msg=message,
        strategy="replace" if strategy == "replace" else "three-way",
        expect=expect,
    )
    if as_json:
        emit_json(None if made is None else made.to_dict())
