"""A branch's own history: which commits were its head, and when; also through a reset or a deletion.

It is read from the versions of the branch's cell, down to what gc has taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from ahstore.ids import AssetId, CommitId
from ahstore.storage.cells import CellState, CellVersion
from ahstore.versions.refs import read_ref, ref_cell
from ahstore.versions.repository import Repository

Event = Literal["created", "committed", "moved", "deleted"]

_SAME_MOMENT_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Head:
    """What a name became at a moment.

    Attributes:
        index: ``N`` of ``@{N}``; None for a deletion.
        commit: None when it was deleted.
        event: ``committed`` when the head before is a parent of this one, ``moved`` otherwise (a
            reset, a fast-forward over several commits).
        time: seconds since 1970, by the storage's clock.
        by: who did it, "" where that is not known.
    """

    index: int | None
    commit: CommitId | None
    event: Event
    time: float
    by: str


def heads(repo: Repository, asset: AssetId, name: str) -> Iterator[Head]:
    """Yield what a branch or tag has been, newest first; nothing for a name never used."""
    index = 0
    pending: CellVersion | None = None
    for version in _changes(repo, asset, name):
        if pending is not None:
            yield _head(repo, asset, name, index, pending, version)
            index += pending.state is CellState.LIVE
        pending = version
    if pending is not None:
        yield _head(repo, asset, name, index, pending, None)


def nth_head(repo: Repository, asset: AssetId, name: str, index: int) -> CommitId | None:
    """Return what a name meant ``index`` changes ago, None if it does not go back that far."""
    live = (each for each in _changes(repo, asset, name) if each.state is CellState.LIVE)
    version = next(islice(live, index, None), None)
    ref = None if version is None else read_ref(asset, name, version)
    return None if ref is None else ref.commit


def head_at(repo: Repository, asset: AssetId, name: str, moment: float) -> CommitId | None:
    """Return what a name meant at a moment (seconds since 1970), None if it was not there then."""
    for version in _changes(repo, asset, name):
        # Times are told to the microsecond: one told of a version finds that version.
        if version.time < moment + _SAME_MOMENT_SECONDS:
            ref = read_ref(asset, name, version)
            return None if ref is None else ref.commit
    return None


def _changes(repo: Repository, asset: AssetId, name: str) -> Iterator[CellVersion]:
    """Yield the versions that changed something, newest first: not those that only fence."""
    pending: CellVersion | None = None
    for version in repo.cells.history(ref_cell(asset, name)):
        if version.state not in (CellState.LIVE, CellState.DEAD):
            break
        if pending is not None and _meaning(pending) != _meaning(version):
            yield pending
        pending = version
    if pending is not None and pending.state is CellState.LIVE:
        yield pending


def _meaning(version: CellVersion) -> tuple[CellState, object]:
    return version.state, version.value.get("commit")


def _head(
    repo: Repository,
    asset: AssetId,
    name: str,
    index: int,
    version: CellVersion,
    before: CellVersion | None,
) -> Head:
    ref = read_ref(asset, name, version)
    if ref is None:
        return Head(None, None, "deleted", version.time, "")
    old = None if before is None else read_ref(asset, name, before)
    # At the end of what gc has left nothing tells what was before.
    event: Event = "created" if before is not None or version.number == 0 else "moved"
    if old is not None:
        parents = repo.read_commit(ref.commit).parents
        event = "committed" if old.commit in parents else "moved"
    by = version.value.get("by")
    return Head(index, ref.commit, event, version.time, by if isinstance(by, str) else "")
