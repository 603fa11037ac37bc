"""``ah reset``: a branch to another commit."""

from __future__ import annotations

import click

from ahstore.cli.arguments import expect_option
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:BRANCH]")
@click.argument("ref")
@expect_option
@pass_session
def reset(session: Session, path: str, ref: str, expect: str | None) -> None:
    """Make REF, a branch, tag or commit of the asset, the head of a branch.

    The former head is still there as BRANCH@{1}.
    """
    session.store().reset(path, ref, expect=expect)
