"""Three-way by path: what theirs changed since the base, put onto ours.

A path that one side left as it was in the base has the other side's state; where both changed it
differently, it is a conflict. What a change is, is said in ``objects.file.same_content``.

Histories that were merged into one another have several merge bases. They are merged first, by the
same rule, into a base that no commit holds: where that merge would have had a conflict, nothing
equals the base, so that any difference between the two sides is one as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final, Literal

from ahstore.errors import MergeConflictError
from ahstore.ids import CommitId, PageId
from ahstore.objects.file import PATH, Row, same_content
from ahstore.objects.overlap import find_overlaps
from ahstore.objects.tree import Tree
from ahstore.versions.history.ancestry import merge_bases
from ahstore.versions.history.paths import changed_rows
from ahstore.versions.repository import Repository

MAX_DEPTH = 32
"""So many bases of bases are merged; beyond, what they differ in is in conflict."""
SHOWN_CONFLICTS = 10

Side = Literal["ours", "theirs"]
Edits = list[tuple[str, "Row | None"]]


class _Unlike(Enum):
    """A state that equals none: the bases are in conflict here."""

    UNLIKE = "unlike"


_UNLIKE: Final = _Unlike.UNLIKE
_State = Row | _Unlike | None


@dataclass(frozen=True, slots=True)
class Base:
    """A tree, but for what ``instead`` says of some paths: a row, or none."""

    root: PageId
    instead: Mapping[str, _State] = field(default_factory=dict)


def common_base(repo: Repository, ours: CommitId, theirs: CommitId) -> Base | None:
    """Return what two commits are to be compared with, None for unrelated histories."""
    bases = merge_bases(repo, [ours], [theirs])
    return _merged(repo, bases, depth=0) if bases else None


def three_way(
    repo: Repository, base: Base, ours: PageId, theirs: PageId, *, favour: Side | None = None
) -> Edits:
    """Return, by path, the edits that bring into ``ours`` what ``theirs`` changed since ``base``.

    Args:
        repo: where the trees are.
        base: what both sides come from.
        ours: the tree to be changed.
        theirs: the tree with the changes.
        favour: the side whose state a path in conflict gets; None: conflicts are refused.

    Raises:
        MergeConflictError: both sides changed a path differently, or one has a file where the
            other has a folder; ``paths`` lists all such.
    """
    edits, conflicts = _compare(repo, base, Base(ours), Base(theirs), favour)
    clashes = _clashes(repo.files_at(ours), edits)
    if not favour and (conflicts or clashes):
        raise _refused(sorted({*conflicts, *(path for pair in clashes for path in pair)}))
    _give_way(edits, clashes, favour)
    return sorted((path, row) for path, row in edits.items() if row is not _UNLIKE)


def _compare(
    repo: Repository, base: Base, ours: Base, theirs: Base, favour: Side | None
) -> tuple[dict[str, _State], list[str]]:
    """Return what is to be done to ``ours``, and which paths are in conflict."""
    mine = _changed(repo, base, ours)
    edits: dict[str, _State] = {}
    conflicts = []
    for path, state in _changed(repo, base, theirs).items():
        if path not in mine:
            edits[path] = state
        elif not _equal(mine[path], state):
            conflicts.append(path)
            if favour == "theirs":
                edits[path] = state
    return edits, conflicts


def _changed(repo: Repository, old: Base, new: Base) -> dict[str, _State]:
    """Return the state in ``new`` of every path in which the two differ."""
    befores: dict[str, _State] = {}
    afters: dict[str, _State] = {}
    for before, after in changed_rows(repo, old.root, new.root):
        row = before if before is not None else after
        assert row is not None
        befores[row[PATH]], afters[row[PATH]] = before, after
    for path in {*old.instead, *new.instead}:
        if path not in befores:  # the same in both roots
            befores[path] = afters[path] = repo.files_at(old.root).find(path)
    befores.update(old.instead)
    afters.update(new.instead)
    return {path: after for path, after in afters.items() if not _equal(befores[path], after)}


def _equal(a: _State, b: _State) -> bool:
    if a is _UNLIKE or b is _UNLIKE:
        return False
    if a is None or b is None:
        return a is b
    return same_content(a, b)


def _merged(repo: Repository, bases: Sequence[CommitId], depth: int) -> Base:
    """Return the merge of several commits, the oldest first."""
    first, *rest = reversed(bases)
    merged, done = Base(repo.read_commit(first).tree), [first]
    for commit in rest:
        below = merge_bases(repo, done, [commit])
        theirs = Base(repo.read_commit(commit).tree)
        if below and depth < MAX_DEPTH:
            base = _merged(repo, below, depth + 1)
            edits, conflicts = _compare(repo, base, merged, theirs, None)
        else:
            edits, conflicts = {}, list(_changed(repo, merged, theirs))
        instead = {**merged.instead, **edits, **dict.fromkeys(conflicts, _UNLIKE)}
        merged = Base(merged.root, instead)
        done.append(commit)
    return merged


def _clashes(ours: Tree, edits: Mapping[str, _State]) -> list[tuple[str, str]]:
    """Return the files that would stand where a folder is needed, each with the paths below it."""
    puts = sorted(path for path, row in edits.items() if row is not None)
    gone = {path for path, row in edits.items() if row is None}
    found = dict.fromkeys(find_overlaps(ours, puts, gone))
    for file in {file for file, _ in found}:
        # Of the puts below a file one was enough to find it.
        for path in islice(puts, bisect_left(puts, file + "/"), None):
            if not path.startswith(file + "/"):
                break
            found[file, path] = None
    return list(found)


def _give_way(
    edits: dict[str, _State], clashes: Iterable[tuple[str, str]], favour: Side | None
) -> None:
    """Let a file, or what is below it, go: what ours has for theirs, or the other way round."""
    for pair in clashes:
        for path in pair:
            if favour == "ours":
                edits.pop(path, None)
            elif edits.get(path) is None:
                edits[path] = None


def _refused(paths: list[str]) -> MergeConflictError:
    shown = ", ".join(paths[:SHOWN_CONFLICTS])
    more = len(paths) - SHOWN_CONFLICTS
    tail = f" and {more} more" if more > 0 else ""
    return MergeConflictError(f"both sides changed {shown}{tail}; nothing was changed", paths=paths)
