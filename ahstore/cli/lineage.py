"""``ah lineage``: what a version was made of, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean


@click.command(cls=Verb)
@click.argument("path", type=PATH)
@click.option("--up", "direction", flag_value="up", help="Only what it was made of.")
@click.option("--down", "direction", flag_value="down", help="Only what came of it.")
@click.option("--dot", "form", flag_value="dot", help="As a graph for Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="As a Mermaid flowchart.")
@json_option
@pass_session
def lineage(
    session: Session, path: str, direction: str | None, form: str | None, as_json: bool
) -> None:
    """Show what the version PATH was made of, and what came of it: a tree both ways.

    Versions of datasets and models, code, and evaluations. What came of it is what this store's
    runs and evaluations say.

    \b
    Example:
      ah lineage dataset/image-classification/mnist --down
    """  # noqa: D301  \b is a control character here
    from ahstore.jobs.provenance import lineage_formats as formats  # start-up

    version = session.store().version(path)
    up, down = direction != "down", direction != "up"
    graph = version.lineage(up=up, down=down)
    if as_json:
        emit_json(graph.to_dict())
        return
    lines: Iterator[str]
    if form == "dot":
        lines = formats.as_dot(graph)
    elif form == "mermaid":
        lines = formats.as_mermaid(graph)
    else:
        lines = formats.as_tree(graph, up=up, down=down)
    emit(clean(line) + "\n" for line in lines)
