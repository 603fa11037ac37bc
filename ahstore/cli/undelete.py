"""``ah undelete``: a deleted branch or tag brought back."""

from __future__ import annotations

import click

from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

FORMS = {
    "branch": ("ahstore.cli.undelete:branch", "ASSET:BRANCH"),
    "tag": ("ahstore.cli.undelete:tag", "ASSET:TAG"),
}


@click.command(
    cls=FormGroup, forms=FORMS, place="ahstore.cli.undelete:branch", no_args_is_help=True
)
def undelete() -> None:
    """Bring back a deleted branch or tag, at the commit it was at.

    That works as long as 'ah gc' has not taken it away. Without a form, PATH is a branch's.
    """


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@pass_session
def branch(session: Session, path: str) -> None:
    """Bring back the deleted branch PATH: ASSET:BRANCH."""
    session.store().undelete(path, resource="branch")


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@pass_session
def tag(session: Session, path: str) -> None:
    """Bring back the deleted tag PATH: ASSET:TAG."""
    session.store().undelete(path, resource="tag")
