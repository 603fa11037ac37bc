"""What lists of history are asked with, and the dictionaries they return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypedDict

from ahstore.client import describe
from ahstore.client.core import check_sequence
from ahstore.client.times import iso_micros
from ahstore.ids import AssetId, CommitId
from ahstore.versions.history.heads import heads
from ahstore.versions.history.log import LogFilter, Step, in_order_of_parents, log, steps
from ahstore.versions.moments import parse_moment
from ahstore.versions.repository import Repository

Record = dict[str, Any]


class LogOptions(TypedDict, total=False):
    """Which commits are listed; all of them when nothing is said.

    Attributes:
        paths: only commits that changed one of these objects, or something below these folders.
        author: a regular expression found in the committer's name.
        message: a regular expression found in the message.
        since: only commits from this moment on: a `datetime`, seconds since 1970, or text such as
            ``2026-01-31`` or ``2 weeks ago``.
        until: only commits up to this moment.
        first_parent: of merges only the first parent is followed.
    """

    paths: Sequence[str]
    author: str | None
    message: str | None
    since: datetime | float | str | None
    until: datetime | float | str | None
    first_parent: bool


def commits(
    repo: Repository, head: CommitId, limit: int | None, options: LogOptions
) -> Iterator[Record]:
    """Yield the commits of a history, newest first."""
    for commit_id, body in log(repo, head, limit=limit, only=_filter(options)):
        yield describe.commit(commit_id, body)


def graph(
    repo: Repository, head: CommitId, limit: int | None, options: LogOptions
) -> Iterator[tuple[Record, list[str]]]:
    """Yield commits with their nearest listed ancestors, none before one of its children."""
    found: list[Step] = list(steps(repo, head, _filter(options)))
    for step in in_order_of_parents(found)[:limit]:
        yield describe.commit(step.id, step.commit), [each.hex() for each in step.parents]


def branch_heads(repo: Repository, asset: AssetId, name: str) -> Iterator[Record]:
    """Yield what a branch has been, newest first."""
    for head in heads(repo, asset, name):
        yield {
            "by": head.by,
            "commit_id": None if head.commit is None else head.commit.hex(),
            "event": head.event,
            "index": head.index,
            "message": None if head.commit is None else repo.read_commit(head.commit).message,
            "time": iso_micros(head.time),
        }


def origins(repo: Repository, head: CommitId, path: str) -> Iterator[Record]:
    """Yield objects with the commit that brought each its content."""
    from ahstore.versions.history.blame import blame  # start-up

    known: dict[CommitId, Record] = {}
    for origin in blame(repo, head, path):
        if origin.commit not in known:
            body = repo.read_commit(origin.commit)
            known[origin.commit] = {
                "commit_id": origin.commit.hex(),
                "committer": body.committer,
                "creation_date": body.date_us // 10**6,
                "message": body.message,
            }
        yield known[origin.commit] | {"path": origin.row[0], "size_bytes": origin.row[1]}


def summary(repo: Repository, commit: CommitId) -> Record:
    """Return how many objects a commit added, modified and deleted, and by how much it grew."""
    from ahstore.versions.history.summary import summarize  # start-up

    counts = summarize(repo, commit)
    return {
        "added": counts.added,
        "deleted": counts.deleted,
        "grown_bytes": counts.grown_bytes,
        "modified": counts.modified,
    }


def seconds(moment: datetime | float | str | None) -> float | None:
    """Return a moment in seconds since 1970.

    Raises:
        InvalidInputError: a text that is no time.
    """
    if isinstance(moment, str):
        return parse_moment(moment)
    return moment.timestamp() if isinstance(moment, datetime) else moment


def _filter(options: LogOptions) -> LogFilter:
    return LogFilter.of(
        paths=check_sequence(options.get("paths"), "paths"),
        author=options.get("author"),
        message=options.get("message"),
        since=seconds(options.get("since")),
        until=seconds(options.get("until")),
        first_parent=options.get("first_parent", False),
    )
