"""Who is whose ancestor, and where two histories meet.

Both questions are one walk, newest commits first, that ends where the histories have met: its cost
follows how far they are apart. Dates only choose what is looked at first; clocks that were wrong
cost reads and never give a wrong answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection

from ahstore.ids import CommitId
from ahstore.versions.repository import Repository

_OF_A, _OF_B, _BELOW = 1, 2, 4
_BOTH = _OF_A | _OF_B


def is_ancestor(repo: Repository, ancestor: CommitId, descendant: CommitId) -> bool:
    """Say whether ``ancestor`` is ``descendant`` or reached from it through parents."""
    return ancestor == descendant or merge_bases(repo, [ancestor], [descendant]) == [ancestor]


def merge_base(repo: Repository, a: CommitId, b: CommitId) -> CommitId | None:
    """Return the newest of the merge bases, None for unrelated histories."""
    return next(iter(merge_bases(repo, [a], [b])), None)


def merge_bases(
    repo: Repository, a: Collection[CommitId], b: Collection[CommitId]
) -> list[CommitId]:
    """Return the best common ancestors of two sets of commits, newest first.

    A common ancestor is one reached from (or in) both sets. The best are those from which no other
    one is reached the other way round: one in a plain history, several where branches were merged
    into one another, none for unrelated histories.
    """
    walk = _Walk(repo)
    for commit_id in a:
        walk.paint(commit_id, _OF_A)
    for commit_id in b:
        walk.paint(commit_id, _OF_B)
    return walk.meet()


class _Walk:
    """Colours run down from the commits of each side until they have met everywhere.

    A commit of both colours is a common ancestor; what is below one is marked so. When all that
    waits is below a common ancestor no better one can come.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._colours: dict[CommitId, int] = {}
        self._dates: dict[CommitId, int] = {}
        self._parents: dict[CommitId, tuple[CommitId, ...]] = {}
        self._heap: list[tuple[int, CommitId]] = []
        self._waiting: set[CommitId] = set()
        self._open = 0  # of those that wait: not below a common ancestor

    def paint(self, commit_id: CommitId, colours: int) -> None:
        """Add colours to a commit, and have them carried to its parents."""
        before = self._colours.get(commit_id, 0)
        after = before | colours
        if after == before:
            return
        self._colours[commit_id] = after
        if commit_id in self._waiting:
            self._open -= bool(after & _BELOW and not before & _BELOW)
            return
        if commit_id not in self._parents:
            commit = self._repo.read_commit(commit_id)
            self._dates[commit_id] = commit.date_us
            self._parents[commit_id] = commit.parents
        heapq.heappush(self._heap, (-self._dates[commit_id], commit_id))
        self._waiting.add(commit_id)
        self._open += not after & _BELOW

    def meet(self) -> list[CommitId]:
        """Return the best commits of both colours, newest first."""
        found: set[CommitId] = set()
        # Of several found, one may be reached from another by a way not yet walked.
        while self._heap and (self._open or len(found) > 1):
            commit_id = heapq.heappop(self._heap)[1]
            self._waiting.remove(commit_id)
            colours = self._colours[commit_id]
            if colours & _BELOW:
                found.discard(commit_id)
            else:
                self._open -= 1
                if colours & _BOTH == _BOTH:
                    found.add(commit_id)
                    colours |= _BELOW
            for parent in self._parents[commit_id]:
                self.paint(parent, colours)
        found = {each for each in found if not self._colours[each] & _BELOW}
        return sorted(found, key=lambda each: (-self._dates[each], each))
