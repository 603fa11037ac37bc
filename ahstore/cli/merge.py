"""``ah merge``: a version into a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ahstore.cli.arguments import (
    expect_option,
    json_option,
    metadata_option,
    parse_pairs,
    strategy_option,
)
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ahstore.versions.history.merge import Strategy


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET:SOURCE")
@click.option(
    "--into", default="main", metavar="BRANCH", help="The branch to change; main if not given."
)
@click.option("-m", "--message", metavar="MSG", help="The merge commit's message.")
@strategy_option(
    "three-way",
    "ours",
    "theirs",
    "replace",
    text="three-way takes what each side changed, and refuses where both changed an object; there "
    "ours keeps BRANCH's, theirs takes SOURCE's; replace makes BRANCH exactly SOURCE.",
)
@metadata_option
@expect_option
@json_option
@pass_session
def merge(
    session: Session,
    path: str,
    into: str,
    message: str | None,
    strategy: Strategy,
    metadata: tuple[str, ...],
    expect: str | None,
    as_json: bool,
) -> None:
    """Merge the version SOURCE into a branch of the same asset.

    A branch that has nothing new of its own simply moves on. Where both sides changed an object
    differently nothing is done, the objects are named, and the exit status is 3.
    """
    made = session.store().merge(
        path,
        into,
        msg=message,
        strategy=strategy,
        expect=expect,
        metadata=parse_pairs(metadata, "metadata"),
    )
    if as_json:
        emit_json(None if made is None else made.to_dict())
