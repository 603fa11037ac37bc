"""The tables and blocks of ``ah ls``, as the tutorial shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from ahstore.cli.emit import emit, emit_json_list
from ahstore.cli.quantity import age, exact_size, short_id
from ahstore.cli.session import Session
from ahstore.cli.table import block, clean, first_line, pairs, table

if TYPE_CHECKING:
    from ahstore.client.version import Version

Record = Mapping[str, Any]


def folders(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
    """Write folders: NAME PATH LABELS CREATED."""
    _named(session, records, "folders", as_json=as_json)


def assets(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
    """Write models or datasets: NAME PATH LABELS CREATED."""
    _named(session, records, "models or datasets", as_json=as_json)


def _named(session: Session, records: Iterable[Record], what: str, *, as_json: bool) -> None:
    if as_json:
        emit_json_list(records)
        return
    rows = (
        (
            record["name"],
            record["path"],
            clean(", ".join(record["labels"])),
            age(seconds(record["created"]), session.now),
        )
        for record in records
    )
    _table(session, ("NAME", "PATH", "LABELS", "CREATED"), rows, none=f"No {what}")


def refs(session: Session, records: Iterable[Record], what: str, *, as_json: bool) -> None:
    """Write branches or tags, as ``what`` says: NAME COMMIT_ID."""
    if as_json:
        emit_json_list(records)
        return
    rows = ((record["name"], short_id(record["commit_id"])) for record in records)
    _table(session, ("NAME", "COMMIT_ID"), rows, none=f"No {what}")


def commits(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
    """Write commits: COMMIT_ID MESSAGE CREATED."""
    if as_json:
        emit_json_list(records)
        return
    rows = (
        (
            short_id(record["id"]),
            first_line(record["message"]),
            age(record["creation_date"], session.now),
        )
        for record in records
    )
    _table(session, ("COMMIT_ID", "MESSAGE", "CREATED"), rows, none="No commits")


def objects(session: Session, version: Version, prefix: str, *, as_json: bool) -> None:
    """Write objects: PATH BYTES CHECKSUM MODIFIED."""
    if as_json:
        emit_json_list(version.iter_object(prefix))
        return
    # Files committed together often have few different times.
    aged = lru_cache(partial(age, now=session.now))
    rows = (
        (
            clean(record["path"]),
            exact_size(record["size_bytes"]),
            record["checksum"],
            aged(record["mtime"]),
        )
        for record in version.iter_object(prefix, located=False)
    )
    titles = ("PATH", "BYTES", "CHECKSUM", "MODIFIED")
    _table(session, titles, rows, right=("BYTES",), none="No objects")


def changes(session: Session, records: Iterable[Record], *, as_json: bool, none: str) -> None:
    """Write what changes: CHANGE PATH BYTES; ``none`` is said when nothing does."""
    if as_json:
        emit_json_list(records)
        return
    rows = ((record["change"], clean(record["path"]), size_change(record)) for record in records)
    _table(session, ("CHANGE", "PATH", "BYTES"), rows, right=("BYTES",), none=none)


def size_change(record: Record) -> str:
    """Return an object's size, or those before and after where they differ."""
    old, new = record["old_size_bytes"], record["size_bytes"]
    sizes = [exact_size(size) for size in (old, new) if size is not None]
    return " -> ".join(sizes if old != new else sizes[:1])


def _table(
    session: Session,
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    none: str,
    right: Sequence[str] = (),
) -> None:
    """Write a table; of no rows nothing but ``none``, as a message."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        session.info(none)
    else:
        emit(table(titles, chain([first], rows), right=right))


def workflows(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
    """Write runs, a block each."""
    if as_json:
        emit_json_list(records)
        return
    _blocks(session, (workflow_fields(record, session.now) for record in records), "runs")


def workflow_fields(record: Record, now: float) -> dict[str, str]:
    """Return what a run's block says."""
    fields = {
        "ID": record["id"],
        "TYPE": record["type"],
        "NAME": record["name"],
        "GIT_REPO": clean(record["git_repo"]),
        "GIT_REVISION": clean(record["git_revision"]),
        "GIT_SUBPATH": clean(record["git_subpath"]),
    }
    if record["type"] == "evaluate":
        fields["MODEL"] = record["checkpoint"]
    fields["DATASET"] = record["dataset"]
    if record["type"] == "train":
        if record["checkpoint"]:
            fields["CHECKPOINT"] = record["checkpoint"]
        fields["TARGET_BRANCH"] = record["branch"]
    fields["STATUS"] = record["status"]
    if record["reason"]:
        fields["REASON"] = first_line(record["reason"])
    fields["STARTED"] = age(seconds(record["start_time"]), now)
    return fields


def evaluations(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
    """Write evaluations, a block each."""
    if as_json:
        emit_json_list(records)
        return
    _blocks(session, (evaluation_fields(record, session.now) for record in records), "evaluations")


def evaluation_fields(record: Record, now: float) -> dict[str, str | list[str]]:
    """Return what an evaluation's block says."""
    results = {clean(key): clean(value) for key, value in record["results"].items()}
    return {
        "ID": record["id"],
        "MODEL": record["modelRef"],
        "MODEL_COMMIT": record["modelCommit"],
        "DATASET": record["datasetRef"],
        "DATASET_COMMIT": record["datasetCommit"],
        "UPLOADED": age(seconds(record["startTime"]), now),
        "RESULTS": pairs(("key", "value"), results),
    }


def _blocks(session: Session, blocks: Iterable[Mapping[str, Any]], what: str) -> None:
    def lines() -> Iterator[str]:
        first = True
        for fields in blocks:
            if not first:
                yield "\n"
            first = False
            yield from block(fields)
        if first:
            session.info(f"No {what}")

    emit(lines())


def seconds(iso: str) -> float:
    """Return seconds since 1970 of an ISO 8601 time of the Python interface."""
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()
