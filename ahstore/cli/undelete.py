"""``ah undelete``: deleted folders, assets, branches and tags brought back."""

from __future__ import annotations

from typing import Literal

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

FORMS = {
    "folder": ("ahstore.cli.undelete:folder", "model/FOLDER or dataset/FOLDER"),
    "model": ("ahstore.cli.undelete:model", "FOLDER/MODEL"),
    "dataset": ("ahstore.cli.undelete:dataset", "FOLDER/DATASET"),
    "branch": ("ahstore.cli.undelete:branch", "ASSET:BRANCH"),
    "tag": ("ahstore.cli.undelete:tag", "ASSET:TAG"),
}


@click.command(
    cls=FormGroup, forms=FORMS, place="ahstore.cli.undelete:by_path", no_args_is_help=True
)
def undelete() -> None:
    """Bring back a deleted folder, model or dataset, branch or tag.

    That works as long as 'ah gc' has not taken it away: for 30 days, unless it is told otherwise.
    The short form goes by the path alone: model/FOLDER, model/FOLDER/MODEL, or with :NAME
    a branch or tag.
    """


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def folder(session: Session, path: str, as_json: bool) -> None:
    """Bring back the folder PATH, model/FOLDER or dataset/FOLDER, with what was in it."""
    from ahstore.hub.paths import parse  # start-up

    _undelete(session, parse(path, need="folder").format(), None, as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def model(session: Session, path: str, as_json: bool) -> None:
    """Bring back the model PATH, FOLDER/MODEL, with its branches, tags and evaluations.

    Branches and tags that were deleted before it stay deleted.
    """
    _undelete_asset(session, "model", path, as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def dataset(session: Session, path: str, as_json: bool) -> None:
    """Bring back the dataset PATH, FOLDER/DATASET, with its branches and tags.

    Branches and tags that were deleted before it stay deleted.
    """
    _undelete_asset(session, "dataset", path, as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def branch(session: Session, path: str, as_json: bool) -> None:
    """Bring back the branch PATH, ASSET:BRANCH, at the commit it was at."""
    _undelete(session, path, "branch", as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def tag(session: Session, path: str, as_json: bool) -> None:
    """Bring back the tag PATH, ASSET:TAG."""
    _undelete(session, path, "tag", as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@json_option
@pass_session
def by_path(session: Session, path: str, as_json: bool) -> None:
    """Bring back what PATH named: model/FOLDER[/MODEL[:BRANCH or TAG]] or dataset/…."""
    _undelete(session, path, None, as_json)


def _undelete_asset(session: Session, type_: str, path: str, as_json: bool) -> None:
    parts = session.store().path(path, type_=type_, need="asset")
    if parts.ref is not None:
        raise click.UsageError(f"To bring back a branch or tag say: undelete branch {path}")
    _undelete(session, parts.format(), None, as_json)


def _undelete(
    session: Session, path: str, resource: Literal["branch", "tag"] | None, as_json: bool
) -> None:
    store = session.store()
    if resource is not None:
        path = store.path(path, need="ref").format()
    made = store.undelete(path, resource=resource)
    if as_json:
        emit_json(made.to_dict())
