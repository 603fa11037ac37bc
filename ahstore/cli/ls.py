"""``ah ls``: folders, assets, branches, tags, commits, objects, runs, evaluations."""

from __future__ import annotations

import click

from ahstore.cli import listings
from ahstore.cli.arguments import json_option
from ahstore.cli.lazy import FormGroup, Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session

FORMS = {
    "folder": ("ahstore.cli.ls:folder", "[model|dataset]"),
    "model": ("ahstore.cli.ls:model", "[FOLDER]"),
    "dataset": ("ahstore.cli.ls:dataset", "[FOLDER]"),
    "branch": ("ahstore.cli.ls:branch", "ASSET"),
    "tag": ("ahstore.cli.ls:tag", "ASSET"),
    "commit": ("ahstore.cli.ls:commit", "ASSET[:REF]"),
    "object": ("ahstore.cli.ls:object_", "ASSET[:REF] [PREFIX]"),
    "workflow": ("ahstore.cli.ls:workflow", "MODEL"),
    "evaluation": ("ahstore.cli.ls:evaluation", "MODEL[:REF]"),
    "environment": ("ahstore.cli.environment:ls", ""),
}


@click.command(cls=FormGroup, forms=FORMS, place="ahstore.cli.ls:by_path", no_args_is_help=False)
def ls() -> None:
    """List folders, the models or datasets of a folder, or what one of them has.

    The short form goes by the path alone: model lists folders, model/FOLDER models,
    model/FOLDER/MODEL[:REF] objects, or with --branch, --tag, --commit those.
    """


@click.command(cls=Verb)
@click.argument("type_", metavar="[model|dataset]", required=False)
@json_option
@pass_session
def folder(session: Session, type_: str | None, as_json: bool) -> None:
    """List the folders, of models and of datasets or of one kind."""
    listings.folders(session, session.store().list_folder(type_), as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="[FOLDER]", required=False)
@json_option
@pass_session
def model(session: Session, path: str | None, as_json: bool) -> None:
    """List the models of FOLDER; without it, the folders of models."""
    _in_folder(session, "model", path, as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="[FOLDER]", required=False)
@json_option
@pass_session
def dataset(session: Session, path: str | None, as_json: bool) -> None:
    """List the datasets of FOLDER; without it, the folders of datasets."""
    _in_folder(session, "dataset", path, as_json)


def _in_folder(session: Session, type_: str, path: str | None, as_json: bool) -> None:
    store = session.store()
    if path is None:
        listings.folders(session, store.list_folder(type_), as_json=as_json)
        return
    parts = store.path(path, type_=type_, need="folder")
    listings.assets(session, store.list(parts.format()), as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET")
@json_option
@pass_session
def branch(session: Session, path: str, as_json: bool) -> None:
    """List the branches of ASSET."""
    listings.refs(session, session.store().asset(path).list_branch(), "branches", as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET")
@json_option
@pass_session
def tag(session: Session, path: str, as_json: bool) -> None:
    """List the tags of ASSET."""
    listings.refs(session, session.store().asset(path).list_tag(), "tags", as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.option("-n", "--limit", type=click.IntRange(min=0), help="At most so many.")
@json_option
@pass_session
def commit(session: Session, path: str, limit: int | None, as_json: bool) -> None:
    """List the commits of a version's history, newest first."""
    version = session.store().version(path)
    listings.commits(session, version.iter_commit(limit), as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.argument("prefix", required=False, default="")
@json_option
@pass_session
def object_(session: Session, path: str, prefix: str, as_json: bool) -> None:
    """List the objects of a version, those whose paths start with PREFIX."""
    listings.objects(session, session.store().version(path), prefix, as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="MODEL")
@json_option
@pass_session
def workflow(session: Session, path: str, as_json: bool) -> None:
    """List the train and evaluate runs of MODEL, newest first."""
    runs = session.store().model(path).list_workflow()
    listings.workflows(session, runs, as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="MODEL[:REF]")
@click.option("-d", "--dataset", metavar="DATASET[:REF]", help="Only those on it.")
@click.option("-w", "--where", multiple=True, metavar="CONDITION", help="Only those with accuracy, accuracy>=0.9, loss<1; repeat for more.")  # fmt: skip
@click.option("-n", "--limit", type=click.IntRange(min=0), help="At most so many.")
@json_option
@pass_session
def evaluation(
    session: Session,
    path: str,
    dataset: str | None,
    where: tuple[str, ...],
    limit: int | None,
    as_json: bool,
) -> None:
    """List the evaluations of the commit that MODEL:REF names; without REF, all of MODEL's.

    \b
    Examples:
      ah ls evaluation llm/gpt2:v1
      ah ls evaluation llm/gpt2 -d text/wiki -w 'accuracy>=0.9'
    """  # noqa: D301  \b is a control character here
    store = session.store()
    if store.path(path, type_="model", need="asset").ref is None:
        found = store.model(path).list_evaluation(dataset=dataset, where=where)
    else:
        version = store.version(path, type_="model")
        found = version.list_evaluation(dataset=dataset, where=where)
    listings.evaluations(session, found[:limit], as_json=as_json)


@click.command(cls=Verb)
@click.argument("path", type=PATH, required=False)
@click.option("--branch", "what", flag_value="branch", help="List the asset's branches.")
@click.option("--tag", "what", flag_value="tag", help="List the asset's tags.")
@click.option("--commit", "what", flag_value="commit", help="List the commits of the history.")
@json_option
@pass_session
def by_path(session: Session, path: str | None, what: str | None, as_json: bool) -> None:
    """List what is in PATH; without it, all folders."""
    store = session.store()
    parts = None if path in (None, "model", "dataset") else store.path(path or "")
    if what is not None and (parts is None or parts.asset is None):
        raise click.UsageError(f"--{what} needs the path of a model or dataset.")
    if parts is None:
        listings.folders(session, store.list_folder(path), as_json=as_json)
    elif parts.asset is None:
        listings.assets(session, store.list(parts.format()), as_json=as_json)
    elif what == "branch":
        listings.refs(
            session, store.asset(parts.format()).list_branch(), "branches", as_json=as_json
        )
    elif what == "tag":
        listings.refs(session, store.asset(parts.format()).list_tag(), "tags", as_json=as_json)
    elif what == "commit":
        commits = store.version(parts.format()).iter_commit()
        listings.commits(session, commits, as_json=as_json)
    else:
        listings.objects(session, store.version(parts.format()), "", as_json=as_json)
