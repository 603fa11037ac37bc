"""``ah log``: the history of a version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json_list
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.quantity import short_id
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean, first_line


@click.command(cls=Verb)
@click.argument("path", type=PATH, metavar="ASSET[:REF]")
@click.option("-n", "--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("--oneline", is_flag=True, help="A line for each commit.")
@json_option
@pass_session
def log(session: Session, path: str, limit: int | None, oneline: bool, as_json: bool) -> None:
    """Show the commits of a version's history, newest first."""
    commits = session.store().version(path).iter_commit(limit)
    if as_json:
        emit_json_list(commits)
    elif oneline:
        emit(f"{short_id(c['id'])} {first_line(c['message'])}\n" for c in commits)
    else:
        emit(_in_full(commits))


def _in_full(commits: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for number, commit in enumerate(commits):
        if number:
            yield "\n"
        yield f"commit {commit['id']}\n"
        if len(commit["parents"]) > 1:
            yield f"Merge:     {' '.join(map(short_id, commit['parents']))}\n"
        yield f"Committer: {clean(commit['committer'])}\n"
        yield f"Date:      {local_time(commit['creation_date'])}\n\n"
        for line in commit["message"].strip().splitlines() or [""]:
            yield f"    {clean(line)}".rstrip() + "\n"


def local_time(seconds: float) -> str:
    """Return a time of the reader's zone: ``2022-12-01 10:32:48 +0000``."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
