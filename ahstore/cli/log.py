"""``ah log``: the history of a version, and with ``-g`` that of a branch's heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json_list
from ahstore.cli.graph import Graph
from ahstore.cli.lazy import Verb
from ahstore.cli.metadata import metadata_lines
from ahstore.cli.paths import PATH
from ahstore.cli.quantity import short_id
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean, first_line, table

if TYPE_CHECKING:
    from ahstore.client.history import LogOptions

Record = Mapping[str, Any]


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.argument("objects", metavar="[PATH…]", nargs=-1)
@click.option("-n", "--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option(
    "--since", metavar="TIME", help="Only commits from then on: 2026-01-31, '2 weeks ago'."
)
@click.option("--until", metavar="TIME", help="Only commits up to then.")
@click.option("--author", metavar="PATTERN", help="Only by committers whose name matches.")
@click.option("--grep", metavar="PATTERN", help="Only with a message that matches.")
@click.option("--first-parent", is_flag=True, help="Of merges, follow only the first parent.")
@click.option("--oneline", is_flag=True, help="A line for each commit.")
@click.option("--graph", is_flag=True, help="Draw how the lines of history run.")
@click.option("-g", "--heads", is_flag=True, help="List what the branch has been: its @{N}.")
@json_option
@pass_session
def log(
    session: Session,
    path: str,
    objects: tuple[str, ...],
    limit: int | None,
    since: str | None,
    until: str | None,
    author: str | None,
    grep: str | None,
    first_parent: bool,
    oneline: bool,
    graph: bool,
    heads: bool,
    as_json: bool,
) -> None:
    """Show the commits of a version's history, newest first.

    With PATHs only those that changed one of these objects, or something below these folders; as
    in git, what a merge did not take is left out.

    \b
    Examples:
      ah log model/llm/gpt2:v1 --oneline --graph
      ah log dataset/image/mnist -n 1 labels/train.csv
      ah log model/llm/gpt2 -g
    """  # noqa: D301  \b is a control character here
    if heads:
        if objects or graph or since or until or author or grep or first_parent or oneline:
            raise click.UsageError("-g lists a branch's heads: only -n and --json go with it.")
        _heads(session, path, limit, as_json)
        return
    only: LogOptions = {
        "paths": objects,
        "author": author,
        "message": grep,
        "since": since,
        "until": until,
        "first_parent": first_parent,
    }
    version = session.store().version(path)
    if graph and not as_json:
        emit(_drawn(version.iter_graph(limit, **only), oneline))
        return
    if graph:
        commits: Iterable[Record] = (commit for commit, _ in version.iter_graph(limit, **only))
    else:
        commits = version.iter_commit(limit, **only)
    if as_json:
        emit_json_list(commits)
    else:
        emit(_plain(commits, oneline))


def _heads(session: Session, path: str, limit: int | None, as_json: bool) -> None:
    branch = session.store().branch(path)
    records = branch.list_head(limit)
    if as_json:
        emit_json_list(records)
        return
    rows = (
        (
            "" if record["index"] is None else f"{branch.name}@{{{record['index']}}}",
            "" if record["commit_id"] is None else short_id(record["commit_id"]),
            local_time(datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()),
            clean(record["by"]),
            record["event"],
            first_line(record["message"] or ""),
        )
        for record in records
    )
    emit(table(("HEAD", "COMMIT_ID", "SINCE", "BY", "EVENT", "MESSAGE"), rows))


def _plain(commits: Iterable[Record], oneline: bool) -> Iterator[str]:
    for number, commit in enumerate(commits):
        if number and not oneline:
            yield "\n"
        for line in _lines(commit, oneline):
            yield line + "\n"


def _drawn(commits: Iterable[tuple[Record, list[str]]], oneline: bool) -> Iterator[str]:
    graph = Graph()
    for commit, parents in commits:
        first, *rest = _lines(commit, oneline)
        yield f"{graph.node(commit['id'])} {first}\n"
        edges = graph.edges(commit["id"], parents)
        if not oneline:
            rest.append("")
        for at in range(max(len(edges), len(rest))):
            drawn = edges[at] if at < len(edges) else graph.going_on()
            text = rest[at] if at < len(rest) else ""
            yield f"{drawn} {text}".rstrip() + "\n"


def _lines(commit: Record, oneline: bool) -> list[str]:
    if oneline:
        return [f"{short_id(commit['id'])} {first_line(commit['message'])}"]
    lines = [f"commit {commit['id']}"]
    if len(commit["parents"]) > 1:
        lines.append(f"Merge:     {' '.join(map(short_id, commit['parents']))}")
    lines.append(f"Committer: {clean(commit['committer'])}")
    lines.append(f"Date:      {local_time(commit['creation_date'])}")
    if commit["metadata"]:
        first, *more = metadata_lines(commit["metadata"])
        lines += [f"Metadata:  {first}", *(f"           {line}" for line in more)]
    message = commit["message"].strip().splitlines() or [""]
    return [*lines, "", *(f"    {clean(line)}".rstrip() for line in message)]


def local_time(seconds: float) -> str:
    """Return a time of the reader's zone: ``2022-12-01 10:32:48 +0000``."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
