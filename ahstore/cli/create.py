"""``ah create``: folders, assets, branches, tags, evaluations."""

from __future__ import annotations

import click

from ahstore.cli.arguments import json_option, label_options, parse_pairs
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

FORMS = {
    "folder": ("ahstore.cli.create:folder", "model/FOLDER or dataset/FOLDER"),
    "model": ("ahstore.cli.create:model", "FOLDER/MODEL"),
    "dataset": ("ahstore.cli.create:dataset", "FOLDER/DATASET"),
    "branch": ("ahstore.cli.create:branch", "ASSET:BRANCH [--source REF]"),
    "tag": ("ahstore.cli.create:tag", "ASSET:TAG --source REF"),
    "evaluation": ("ahstore.cli.create:evaluation", "MODEL:REF -d DATASET[:REF] -m KEY=VALUE …"),
}


@click.command(cls=FormGroup, forms=FORMS, place="ahstore.cli.create:by_path", no_args_is_help=True)
def create() -> None:
    """Create a folder, a model or dataset in it, a branch, a tag or an evaluation.

    The short form goes by the path alone: model/FOLDER makes a folder, model/FOLDER/MODEL
    a model, model/FOLDER/MODEL:NAME a branch, or with --tag a tag.
    """


def exist_option(command: click.decorators.FC) -> click.decorators.FC:
    """Add ``--exist-ok``."""
    return click.option("--exist-ok", is_flag=True, help="It is no error if it exists already.")(
        command
    )


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@label_options
@exist_option
@pass_session
def folder(
    session: Session, path: str, labels: tuple[str, ...], description: str | None, exist_ok: bool
) -> None:
    """Create the folder PATH: model/FOLDER or dataset/FOLDER."""
    from ahstore.hub.paths import parse  # start-up

    parse(path, need="folder")
    session.store(create=True).create(
        path, labels=labels, description=description or "", exist_ok=exist_ok
    )


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@label_options
@exist_option
@pass_session
def model(
    session: Session, path: str, labels: tuple[str, ...], description: str | None, exist_ok: bool
) -> None:
    """Create the model PATH, FOLDER/MODEL, with an empty branch main."""
    _create_asset(session, "model", path, labels, description, exist_ok)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@label_options
@exist_option
@pass_session
def dataset(
    session: Session, path: str, labels: tuple[str, ...], description: str | None, exist_ok: bool
) -> None:
    """Create the dataset PATH, FOLDER/DATASET, with an empty branch main."""
    _create_asset(session, "dataset", path, labels, description, exist_ok)


def _create_asset(
    session: Session,
    type_: str,
    path: str,
    labels: tuple[str, ...],
    description: str | None,
    exist_ok: bool,
) -> None:
    store = session.store()
    parts = store.path(path, type_=type_, need="asset")
    if parts.ref is not None:
        raise click.UsageError(f"To create a branch say: create branch {path}")
    store.create(parts.format(), labels=labels, description=description or "", exist_ok=exist_ok)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option("--source", metavar="REF", default="main", help="Where it starts; main if not given.")
@pass_session
def branch(session: Session, path: str, source: str) -> None:
    """Create the branch PATH: ASSET:BRANCH."""
    store = session.store()
    parts = store.path(path, need="ref")
    store.create(parts.format(), resource="branch", source=source)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option("--source", metavar="REF", required=True, help="What the tag names.")
@click.option("-f", "--force", is_flag=True, hidden=True, help="Refused: a tag does not move.")
@pass_session
def tag(session: Session, path: str, source: str, force: bool) -> None:
    """Create the tag PATH: ASSET:TAG. A tag does not move."""
    if force:
        raise click.UsageError(
            "A tag does not move: others may rely on it. Take another name, or delete it first."
        )
    store = session.store()
    parts = store.path(path, need="ref")
    store.create(parts.format(), resource="tag", source=source)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option(
    "-d", "--dataset", "on", required=True, metavar="DATASET[:REF]", help="What it was measured on."
)
@click.option(
    "-m",
    "--metric",
    "metrics",
    required=True,
    multiple=True,
    metavar="KEY=VALUE",
    help="A metric; repeat for more.",
)
@json_option
@pass_session
def evaluation(
    session: Session, path: str, on: str, metrics: tuple[str, ...], as_json: bool
) -> None:
    """Record metrics that were measured for the model's version PATH, MODEL:REF.

    They stay with the commit that PATH names now, wherever branches move.
    """
    values = parse_pairs(metrics, "metric")
    made = session.store().version(path, type_="model").create_evaluation(values, on)
    if as_json:
        emit_json(made)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option("--tag", "as_tag", is_flag=True, help="Make a tag, not a branch.")
@click.option("--source", metavar="REF", default="main", help="Where a branch or tag starts.")
@label_options
@exist_option
@pass_session
def by_path(
    session: Session,
    path: str,
    as_tag: bool,
    source: str,
    labels: tuple[str, ...],
    description: str | None,
    exist_ok: bool,
) -> None:
    """Create what PATH names: model/FOLDER[/MODEL[:BRANCH]] or dataset/…."""
    from ahstore.hub.paths import parse  # start-up

    # The first folder makes the store; a malformed path makes nothing.
    makes_folder = ":" not in path and parse(path).asset is None
    session.store(create=makes_folder).create(
        path,
        resource="tag" if as_tag else None,
        source=source,
        labels=labels,
        description=description or "",
        exist_ok=exist_ok,
    )
