"""History: the commits reachable from one, newest first, and who is whose ancestor."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ahstore.ids import CommitId
from ahstore.objects.commit import Commit
from ahstore.versions.repository import Repository


def log(
    repo: Repository, start: CommitId, *, limit: int | None = None
) -> Iterator[tuple[CommitId, Commit]]:
    """Yield ``start`` and its ancestors once each, newest first."""
    first = repo.read_commit(start)
    heap = [(-first.date_us, 0, start, first)]
    seen = {start}
    while heap and (limit is None or limit > 0):
        _, order, commit_id, commit = heapq.heappop(heap)
        yield commit_id, commit
        limit = None if limit is None else limit - 1
        for parent_id in commit.parents:
            if parent_id not in seen:
                seen.add(parent_id)
                parent = repo.read_commit(parent_id)
                # `order` breaks ties of date by depth, so that equal dates keep parents below.
                heapq.heappush(heap, (-parent.date_us, order + len(seen), parent_id, parent))


def is_ancestor(repo: Repository, ancestor: CommitId, descendant: CommitId) -> bool:
    """Say whether ``ancestor`` is ``descendant`` or reached from it through parents."""
    return any(commit_id == ancestor for commit_id, _ in log(repo, descendant))


def merge_base(repo: Repository, a: CommitId, b: CommitId) -> CommitId | None:
    """Return the newest commit reachable from both, None for unrelated histories."""
    of_a = {commit_id for commit_id, _ in log(repo, a)}
    return next((commit_id for commit_id, _ in log(repo, b) if commit_id in of_a), None)
