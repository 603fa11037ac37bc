"""``ah delete``: folders, assets, branches, tags, runs, evaluations."""

from __future__ import annotations

import click

from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

FORMS = {
    "folder": ("ahstore.cli.delete:folder", "model/FOLDER or dataset/FOLDER"),
    "model": ("ahstore.cli.delete:model", "FOLDER/MODEL"),
    "dataset": ("ahstore.cli.delete:dataset", "FOLDER/DATASET"),
    "branch": ("ahstore.cli.delete:branch", "ASSET:BRANCH"),
    "tag": ("ahstore.cli.delete:tag", "ASSET:TAG"),
    "evaluation": ("ahstore.cli.delete:evaluation", "ID"),
    "workflow": ("ahstore.cli.delete:workflow", "NAME"),
    "environment": ("ahstore.cli.environment:delete", "KEY…"),
}


@click.command(cls=FormGroup, forms=FORMS, place="ahstore.cli.delete:by_path", no_args_is_help=True)
def delete() -> None:
    """Delete a folder, a model or dataset, a branch, a tag, a run or an evaluation.

    The short form goes by the path alone: model/FOLDER, model/FOLDER/MODEL, or with :NAME
    a branch or tag.
    """


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option("-f", "--force", is_flag=True, help="Also when there are models or datasets in it.")
@pass_session
def folder(session: Session, path: str, force: bool) -> None:
    """Delete the folder PATH: model/FOLDER or dataset/FOLDER."""
    store = session.store()
    store.delete(store.path(path, need="folder").format(), force=force)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@pass_session
def model(session: Session, path: str) -> None:
    """Delete the model PATH, FOLDER/MODEL, with its branches, tags, runs and evaluations."""
    _delete_asset(session, "model", path)


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@pass_session
def dataset(session: Session, path: str) -> None:
    """Delete the dataset PATH, FOLDER/DATASET, with its branches and tags."""
    _delete_asset(session, "dataset", path)


def _delete_asset(session: Session, type_: str, path: str) -> None:
    store = session.store()
    parts = store.path(path, type_=type_, need="asset")
    if parts.ref is not None:
        raise click.UsageError(f"To delete a branch or tag say: delete branch {path}")
    store.delete(parts.format())


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@pass_session
def branch(session: Session, path: str) -> None:
    """Delete the branch PATH: ASSET:BRANCH."""
    store = session.store()
    store.delete(store.path(path, need="ref").format(), resource="branch")


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@pass_session
def tag(session: Session, path: str) -> None:
    """Delete the tag PATH: ASSET:TAG."""
    store = session.store()
    store.delete(store.path(path, need="ref").format(), resource="tag")


@click.command(cls=Verb)
@click.argument("evaluation_id", metavar="ID")
@pass_session
def evaluation(session: Session, evaluation_id: str) -> None:
    """Delete the evaluation with this ID."""
    session.store().delete_evaluation(evaluation_id)


@click.command(cls=Verb)
@click.argument("name")
@pass_session
def workflow(session: Session, name: str) -> None:
    """Delete the record and logs of the run NAME; what it committed stays."""
    session.store().get_workflow(name).delete()


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option("-f", "--force", is_flag=True, help="Also a folder with models or datasets in it.")
@pass_session
def by_path(session: Session, path: str, force: bool) -> None:
    """Delete what PATH names: model/FOLDER[/MODEL[:BRANCH or TAG]] or dataset/…."""
    session.store().delete(path, force=force)
