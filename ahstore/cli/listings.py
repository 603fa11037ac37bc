"""The tables and blocks of ``ah ls``, as the tutorial shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache, partial
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
    _named(session, records, as_json=as_json)


def assets(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
    """Write models or datasets: NAME PATH LABELS CREATED."""
    _named(session, records, as_json=as_json)


def _named(session: Session, records: Iterable[Record], *, as_json: bool) -> None:
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
    emit(table(("NAME", "PATH", "LABELS", "CREATED"), rows))


def refs(records: Iterable[Record], *, as_json: bool) -> None:
    """Write branches or tags: NAME COMMIT_ID."""
    if as_json:
        emit_json_list(records)
        return
    rows = ((record["name"], short_id(record["commit_id"])) for record in records)
    emit(table(("NAME", "COMMIT_ID"), rows))


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
    emit(table(("COMMIT_ID", "MESSAGE", "CREATED"), rows))


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
    emit(table(("PATH", "BYTES", "CHECKSUM", "MODIFIED"), rows, right=("BYTES",)))


def changes(session: Session, records: Iterable[Record], *, as_json: bool, none: str) -> None:
    """Write what changes: CHANGE PATH BYTES; ``none`` is said when nothing does."""
    if as_json:
        emit_json_list(records)
        return
    rows = [
        (record["change"], clean(record["path"]), _change_of_size(record)) for record in records
    ]
    if rows:
        emit(table(("CHANGE", "PATH", "BYTES"), rows))
    else:
        session.info(none)


def _change_of_size(record: Record) -> str:
    old, new = record["old_size_bytes"], record["size_bytes"]
    sizes = [exact_size(size) for size in (old, new) if size is not None]
    return " -> ".join(sizes if old != new else sizes[:1])


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
