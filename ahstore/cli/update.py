"""``ah update``: names, labels and descriptions of folders and assets."""

from __future__ import annotations

import click

from ahstore.cli.arguments import label_options
from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

FORMS = {
    "folder": ("ahstore.cli.update:folder", "model/FOLDER or dataset/FOLDER"),
    "model": ("ahstore.cli.update:model", "FOLDER/MODEL"),
    "dataset": ("ahstore.cli.update:dataset", "FOLDER/DATASET"),
}


@click.command(cls=FormGroup, forms=FORMS, place="ahstore.cli.update:by_path", no_args_is_help=True)
def update() -> None:
    """Change the name, labels or description of a folder, model or dataset.

    Labels are given all anew: those not given again are gone.
    """


def change_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add what can be changed."""
    command = click.option("--no-labels", is_flag=True, help="Take all labels away.")(command)
    command = label_options(command)
    return click.option("-n", "--name", metavar="NAME", help="A new name.")(command)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@change_options
@pass_session
def folder(
    session: Session,
    path: str,
    name: str | None,
    labels: tuple[str, ...],
    no_labels: bool,
    description: str | None,
) -> None:
    """Change the folder PATH: model/FOLDER or dataset/FOLDER."""
    parts = session.store().path(path, need="folder")
    _update(session, parts.format(), name, labels, no_labels, description)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@change_options
@pass_session
def model(
    session: Session,
    path: str,
    name: str | None,
    labels: tuple[str, ...],
    no_labels: bool,
    description: str | None,
) -> None:
    """Change the model PATH: FOLDER/MODEL."""
    parts = session.store().path(path, type_="model", need="asset")
    _update(session, parts.format(), name, labels, no_labels, description)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@change_options
@pass_session
def dataset(
    session: Session,
    path: str,
    name: str | None,
    labels: tuple[str, ...],
    no_labels: bool,
    description: str | None,
) -> None:
    """Change the dataset PATH: FOLDER/DATASET."""
    parts = session.store().path(path, type_="dataset", need="asset")
    _update(session, parts.format(), name, labels, no_labels, description)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@change_options
@pass_session
def by_path(
    session: Session,
    path: str,
    name: str | None,
    labels: tuple[str, ...],
    no_labels: bool,
    description: str | None,
) -> None:
    """Change what PATH names: model/FOLDER[/MODEL] or dataset/…."""
    _update(session, path, name, labels, no_labels, description)


def _update(
    session: Session,
    path: str,
    name: str | None,
    labels: tuple[str, ...],
    no_labels: bool,
    description: str | None,
) -> None:
    if no_labels and labels:
        raise click.UsageError("Give --label or --no-labels, not both.")
    if name is None and description is None and not labels and not no_labels:
        raise click.UsageError("There is nothing to change: give --name, --label or --description.")
    new_labels = labels if labels or no_labels else None
    session.store().update(path, name=name, labels=new_labels, description=description)
