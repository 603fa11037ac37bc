"""Which commit brought each object its content, in one walk over the history.

The answer is what ``log -n 1`` says of each path: at a merge a path is followed to the first parent
that has the same content. Most objects go one way together, so they are not listed: what is walked
with is "all but these", and only what leaves that way is kept by name. So cost and memory follow
the changes between commits, and the objects of the oldest commit need none.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ahstore.ids import CommitId, PageId
from ahstore.objects.commit import Commit
from ahstore.objects.file import PATH, Row, same_content
from ahstore.versions.adding.changeset import rows_at
from ahstore.versions.history.paths import ALL, PathRange, changed_rows, path_ranges
from ahstore.versions.repository import Repository


@dataclass(frozen=True, slots=True)
class Origin:
    """An object, as a row of the tree, and the commit that brought its content."""

    row: Row
    commit: CommitId


def blame(repo: Repository, start: CommitId, path: str = "") -> Iterator[Origin]:
    """Yield each object at or below ``path`` in the commit ``start``, by path, with its origin.

    Raises:
        InvalidInputError: ``path`` can't be an object's or a folder's.
    """
    for each in path_ranges(path) if path else (ALL,):
        known, rest = _Walk(repo, each).run(start)
        for row in each.rows(repo.files(start)):
            origin = known.get(row[PATH], rest)
            assert origin is not None
            yield Origin(row, origin)


@dataclass(slots=True)
class _Suspects:
    """Objects that a commit has as ``start`` has them: ``paths``, and perhaps all the rest."""

    paths: set[str] = field(default_factory=set)
    rest: bool = False


class _Walk:
    """From commit to commit, each handing to its parents what they have alike."""

    def __init__(self, repo: Repository, where: PathRange) -> None:
        self._repo = repo
        self._where = where
        self._known: dict[str, CommitId] = {}
        self._apart: set[str] = set()  # not of the rest any more: known, or followed by name
        self._rest_of: CommitId | None = None
        self._heap: list[tuple[int, CommitId]] = []
        self._suspects: dict[CommitId, _Suspects] = {}

    def run(self, start: CommitId) -> tuple[Mapping[str, CommitId], CommitId | None]:
        """Return the origins of some paths, and that of all others."""
        total = self._where.count(self._repo.files(start))
        self._hand(start, _Suspects(rest=True))
        while self._heap and len(self._known) < total:
            _, commit_id = heapq.heappop(self._heap)
            suspects = self._suspects.pop(commit_id, None)
            if suspects is not None:
                self._look(commit_id, self._repo.read_commit(commit_id), suspects)
        return self._known, self._rest_of

    def _hand(self, commit_id: CommitId, suspects: _Suspects) -> None:
        if not suspects.paths and not suspects.rest:
            return
        waiting = self._suspects.get(commit_id)
        if waiting is None:
            self._suspects[commit_id] = suspects
            heapq.heappush(self._heap, (-self._repo.read_commit(commit_id).date_us, commit_id))
        else:
            waiting.paths |= suspects.paths
            waiting.rest |= suspects.rest

    def _look(self, commit_id: CommitId, commit: Commit, suspects: _Suspects) -> None:
        by_name = False
        for parent in commit.parents:
            root = self._repo.read_commit(parent).tree
            if by_name:
                alike = self._alike(root, commit.tree, suspects.paths)
                self._hand(parent, _Suspects(alike))
                suspects.paths -= alike
            elif self._where.holds(self._repo.files_at(root)):
                suspects = self._hand_unchanged(parent, root, commit.tree, suspects)
                by_name = True
            # A parent that has nothing here has nothing alike, and need not be compared.
        self._known.update(dict.fromkeys(suspects.paths, commit_id))
        if suspects.rest:
            self._rest_of = commit_id

    def _hand_unchanged(
        self, parent: CommitId, root: PageId, tree: PageId, suspects: _Suspects
    ) -> _Suspects:
        """Hand on all that has not changed since a parent, and return what has, by name."""
        changed, gone = set(), set()
        for before, after in changed_rows(self._repo, root, tree, [self._where]):
            if after is not None:
                changed.add(after[PATH])
            elif before is not None:
                gone.add(before[PATH])
        mine = changed & suspects.paths
        if suspects.rest:
            mine |= changed - self._apart
            self._apart |= mine | gone  # what this commit has not is none of the rest below it
        self._hand(parent, _Suspects(suspects.paths - mine, suspects.rest))
        return _Suspects(mine)

    def _alike(self, root: PageId, tree: PageId, paths: set[str]) -> set[str]:
        """Return those of the paths at which another parent has the same content."""
        wanted = sorted(paths)
        theirs = rows_at(self._repo.files_at(root), wanted)
        mine = rows_at(self._repo.files_at(tree), list(theirs))
        return {path for path, row in theirs.items() if same_content(row, mine[path])}
