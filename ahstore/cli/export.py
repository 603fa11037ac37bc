"""``ah export``: assets with their history as one file."""

from __future__ import annotations

import sys

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.quantity import rough_size
from ahstore.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="ASSET[:REF]...")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="The file; - is standard output."
)
@click.option(
    "--since", multiple=True, metavar="REF", help="Leave out the history of REF; repeat for more."
)
@click.option(
    "--branch", metavar="NAME", help="The branch that is to hold a version given by its commit."
)
@json_option
@pass_session
def export(
    session: Session,
    paths: tuple[str, ...],
    output: str,
    since: tuple[str, ...],
    branch: str | None,
    as_json: bool,
) -> None:
    """Write assets with all their versions into one file, a bundle.

    With :REF that branch or tag alone, with its history. A folder's path stands for all its assets.
    'ah import' brings a bundle into a store.
    """
    store = session.store()
    stdout = output == "-"
    if stdout and as_json:
        raise click.UsageError("--json and -o - both want standard output.")
    done = store.export(
        paths,
        sys.stdout.buffer if stdout else output,
        since=since,
        branch=branch,
        monitor=session.monitor(),
    )
    if as_json:
        emit_json(done.to_dict())
    else:
        session.info(f"{done.traffic.commits} commits, {rough_size(done.size)}")
