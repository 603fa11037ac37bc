"""History: the commits reachable from one, newest first, all or those that are asked for.

With paths a commit is listed if it changed an object there. As in git, where a merge took one
parent's state of these paths whole, only that parent is followed: what the others did there is no
part of how the paths came to be as they are.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ahstore.errors import InvalidInputError
from ahstore.ids import CommitId
from ahstore.objects.commit import Commit
from ahstore.versions.history.paths import PathRange, differ, path_ranges
from ahstore.versions.repository import Repository

__all__ = ["EVERYTHING", "LogFilter", "Step", "in_order_of_parents", "log", "steps"]


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which commits of a history are listed; those left out by ``paths`` may be followed or not.

    Attributes:
        ranges: only commits that changed an object in one of these; empty: all.
        author: found in the committer's name.
        message: found in the message.
        since: seconds since 1970; older commits are neither listed nor followed.
        until: seconds since 1970; younger commits are not listed.
        first_parent: of merges only the first parent is followed.
    """

    ranges: tuple[PathRange, ...] = ()
    author: re.Pattern[str] | None = None
    message: re.Pattern[str] | None = None
    since: float | None = None
    until: float | None = None
    first_parent: bool = False

    @staticmethod
    def of(
        *,
        paths: Sequence[str] = (),
        author: str | None = None,
        message: str | None = None,
        since: float | None = None,
        until: float | None = None,
        first_parent: bool = False,
    ) -> LogFilter:
        """Return the filter that these describe; ``author`` and ``message`` are regular expressions.

        Raises:
            InvalidInputError: a path or an expression is malformed.
        """
        return LogFilter(
            ranges=tuple(each for path in paths for each in path_ranges(path)),
            author=_pattern(author),
            message=_pattern(message),
            since=since,
            until=until,
            first_parent=first_parent,
        )

    def lists(self, commit: Commit) -> bool:
        """Say whether a commit may be listed, as far as its own fields tell."""
        seconds = commit.date_us / 10**6
        return (
            (self.until is None or seconds <= self.until)
            and (self.author is None or self.author.search(commit.committer) is not None)
            and (self.message is None or self.message.search(commit.message) is not None)
        )

    def is_too_old(self, commit: Commit) -> bool:
        """Say whether a commit is neither to be listed nor followed."""
        return self.since is not None and commit.date_us / 10**6 < self.since


EVERYTHING = LogFilter()


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that the walk came to: the parents it went on to, and whether it is listed."""

    id: CommitId
    commit: Commit
    parents: tuple[CommitId, ...] = field(default=())
    listed: bool = True


def log(
    repo: Repository,
    start: CommitId,
    *,
    limit: int | None = None,
    only: LogFilter = EVERYTHING,
) -> Iterator[tuple[CommitId, Commit]]:
    """Yield ``start`` and its ancestors once each, newest first, at most ``limit`` of them."""
    left = limit
    if left == 0:
        return
    for step in steps(repo, start, only):
        if step.listed:
            yield step.id, step.commit
            left = None if left is None else left - 1
            if left == 0:
                return


def steps(repo: Repository, start: CommitId, only: LogFilter = EVERYTHING) -> Iterator[Step]:
    """Yield every commit that the walk comes to, newest first."""
    first = repo.read_commit(start)
    heap = [(-first.date_us, 0, start, first)]
    seen = {start}
    while heap:
        _, order, commit_id, commit = heapq.heappop(heap)
        if only.is_too_old(commit):
            continue
        step = _step(repo, commit_id, commit, only)
        yield step
        for parent_id in step.parents:
            if parent_id not in seen:
                seen.add(parent_id)
                parent = repo.read_commit(parent_id)
                # `order` breaks ties of date by depth, so that equal dates keep parents below.
                heapq.heappush(heap, (-parent.date_us, order + len(seen), parent_id, parent))


def _step(repo: Repository, commit_id: CommitId, commit: Commit, only: LogFilter) -> Step:
    parents = commit.parents[:1] if only.first_parent else commit.parents
    if not only.ranges:
        return Step(commit_id, commit, parents, only.lists(commit))
    if not parents:
        touched = any(each.holds(repo.files(commit_id)) for each in only.ranges)
        return Step(commit_id, commit, (), touched and only.lists(commit))
    for parent in parents:
        if not differ(repo, repo.read_commit(parent).tree, commit.tree, only.ranges):
            return Step(commit_id, commit, (parent,), listed=False)
    return Step(commit_id, commit, parents, only.lists(commit))


def in_order_of_parents(found: Sequence[Step]) -> list[Step]:
    """Return the listed steps, no commit after one of its parents, lines of history kept together.

    Each step's parents are then the nearest listed ones.
    """
    nearest = _Nearest(found)
    listed = {step.id: nearest.of(step) for step in found if step.listed}
    children = dict.fromkeys(listed, 0)
    for step in listed.values():
        for parent in step.parents:
            children[parent] += 1
    # The last in is the first out: a line is followed to its end before another is begun.
    ready = [each for each in reversed(listed) if not children[each]]
    ordered = []
    while ready:
        step = listed[ready.pop()]
        ordered.append(step)
        for parent in step.parents:
            children[parent] -= 1
            if not children[parent]:
                ready.append(parent)
    return ordered


class _Nearest:
    """For each step the nearest listed steps below it."""

    def __init__(self, found: Sequence[Step]) -> None:
        self._steps = {step.id: step for step in found}
        self._known: dict[CommitId, tuple[CommitId, ...]] = {}

    def of(self, step: Step) -> Step:
        """Return a listed step with the nearest listed ones as its parents."""
        below = [each for parent in step.parents for each in self._listed(parent)]
        return Step(step.id, step.commit, tuple(dict.fromkeys(below)))

    def _listed(self, commit_id: CommitId) -> tuple[CommitId, ...]:
        pending = [commit_id]
        while pending:
            at = pending[-1]
            step = self._steps.get(at)
            if step is None or step.listed:
                self._known[at] = (at,) if step else ()
            missing = (
                [] if at in self._known else [p for p in self._rest(at) if p not in self._known]
            )
            if missing:
                pending += missing
                continue
            if at not in self._known:
                below = [each for parent in self._rest(at) for each in self._known[parent]]
                self._known[at] = tuple(dict.fromkeys(below))
            pending.pop()
        return self._known[commit_id]

    def _rest(self, commit_id: CommitId) -> tuple[CommitId, ...]:
        return self._steps[commit_id].parents


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidInputError(
            f"invalid regular expression {text!r}: {error}", value=text
        ) from None
