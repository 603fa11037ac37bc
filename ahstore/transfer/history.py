"""Commits: which of them another store lacks, and who descends from whom.

Commits are read through a function, so that what one place does not have another may.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator

from ahstore.errors import NotFoundError
from ahstore.ids import CommitId
from ahstore.objects.commit import Commit
from ahstore.packs.place import Kind
from ahstore.versions.repository import Repository

ReadCommit = Callable[[CommitId], Commit]
FindCommit = Callable[[CommitId], Commit | None]

DAY_US = 86_400_000_000


class Complete:
    """The commits of which a place surely has everything: those that its heads reach.

    What a live head reaches is complete, by the first rule of every store; a commit that merely
    lies in some pack may be what a killed transfer left. The history is walked only as far as the
    questions need: to commits a day older than the one asked about, since clocks differ. A commit
    that is missed by this costs time, and nothing else.

    Args:
        find: returns a commit, None if the place does not seem to have it.
        read: reads a commit that the place is known to have.
        heads: the heads.
    """

    def __init__(self, find: FindCommit, read: ReadCommit, heads: Iterable[CommitId]) -> None:
        self._find = find
        self._read = read
        self._reached: set[CommitId] = set()
        self._ahead: list[tuple[int, CommitId, Commit]] = []
        for head in heads:
            self.add(head)

    def add(self, head: CommitId) -> None:
        """Take in a further head, known to be complete."""
        if head not in self._reached:
            self._reached.add(head)
            commit = self._read(head)
            heapq.heappush(self._ahead, (-commit.date_us, head, commit))

    def __contains__(self, commit: CommitId) -> bool:
        if commit in self._reached:
            return True
        body = self._find(commit)
        if body is None:
            return False
        while self._ahead and -self._ahead[0][0] >= body.date_us - DAY_US:
            _, _, newest = heapq.heappop(self._ahead)
            for parent in newest.parents:
                self.add(parent)
            if commit in self._reached:
                return True
        return False


def complete_at(repo: Repository, heads: Iterable[CommitId]) -> Complete:
    """Return the commits of a store that ``heads`` reach."""

    def find(commit: CommitId) -> Commit | None:
        # A stale index costs sending again what is there; to list the store costs more.
        known = bool(repo.index.look_up(Kind.COMMIT, [commit]))
        return repo.read_commit(commit) if known else None

    return Complete(find, repo.read_commit, heads)


def finder(*repos: Repository) -> FindCommit:
    """Return what finds a commit in the first of these stores that has it."""

    def find(commit: CommitId) -> Commit | None:
        for repo in repos:
            try:
                return repo.read_commit(commit)
            except NotFoundError:
                continue
        return None

    return find


def missing(
    tips: Iterable[CommitId], complete: Complete, read: ReadCommit
) -> Iterator[tuple[CommitId, Commit]]:
    """Yield the commits that ``tips`` reach and ``complete`` has not, in no particular order."""
    seen: set[CommitId] = set()
    ahead = list(dict.fromkeys(tips))
    while ahead:
        commit = ahead.pop()
        if commit in seen or commit in complete:
            continue
        seen.add(commit)
        body = read(commit)
        yield commit, body
        ahead.extend(body.parents)


def parents_first(parents: dict[CommitId, tuple[CommitId, ...]]) -> Iterator[CommitId]:
    """Yield the keys of ``parents`` so that each comes after those of its parents that are keys."""
    done: set[CommitId] = set()
    for start in parents:
        stack = [start]
        while stack:
            commit = stack[-1]
            waiting = [p for p in parents[commit] if p in parents and p not in done]
            if commit in done or not waiting:
                stack.pop()
                if commit not in done:
                    done.add(commit)
                    yield commit
            else:
                stack.extend(waiting)


def descends(new: CommitId, old: CommitId, find: FindCommit) -> bool:
    """Say whether ``old`` is ``new`` or reached from it, as far as ``find`` knows commits."""
    if new == old:
        return True
    seen = {new}
    ahead: list[tuple[int, CommitId, Commit]] = []
    first = find(new)
    if first is not None:
        ahead.append((-first.date_us, new, first))
    while ahead:
        _, _, commit = heapq.heappop(ahead)
        for parent in commit.parents:
            if parent == old:
                return True
            if parent not in seen:
                seen.add(parent)
                body = find(parent)
                if body is not None:
                    heapq.heappush(ahead, (-body.date_us, parent, body))
    return False
