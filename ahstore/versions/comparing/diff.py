"""What differs between two commits, by path, with renames; cost follows the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from ahstore.errors import InvalidInputError
from ahstore.ids import CommitId
from ahstore.objects.diff import diff as diff_trees
from ahstore.objects.file import PATH, Row, check_rows, same_content
from ahstore.versions.comparing.difference import Difference
from ahstore.versions.comparing.renames import exact, similar
from ahstore.versions.repository import Repository

RENAME_LIMIT = 200_000
"""Differences among which renames are looked for: they are all held, some 400 bytes each."""


def diff(
    repo: Repository,
    old: CommitId,
    new: CommitId,
    *,
    paths: Sequence[str] = (),
    renames: bool = True,
    similarity: float | None = None,
    rename_limit: int = RENAME_LIMIT,
    on_limit: Callable[[int], None] | None = None,
) -> Iterator[Difference]:
    """Yield what turns ``old`` into ``new``, sorted by path. A differing mtime alone is nothing.

    Args:
        repo: the store.
        old: the commit before.
        new: the commit after; of any asset.
        paths: only these objects (``a/b``) and what is in these folders (``a/``).
        renames: show an object that was deleted in one place and added with the same content in
            another as ``renamed``.
        similarity: look for renamed objects also among those of which this share of the content
            (0 to 1) is the same, told by common chunks.
        rename_limit: with more differences than these no renames are looked for, and what is found
            comes at once.
        on_limit: is told the limit when it is passed.

    Raises:
        NotFoundError: the store has no such commit.
        InvalidInputError: ``similarity`` or ``rename_limit`` is out of bounds.
    """
    if similarity is not None and not 0 < similarity <= 1:
        raise InvalidInputError(f"the similarity must be above 0 and at most 1, not {similarity}")
    if rename_limit < 0:
        raise InvalidInputError("the limit for renames must not be negative")
    found = _by_path(repo, old, new, paths)
    if not renames:
        return found
    return _with_renames(repo, found, similarity, rename_limit, on_limit)


def _by_path(
    repo: Repository, old: CommitId, new: CommitId, paths: Sequence[str]
) -> Iterator[Difference]:
    trees = repo.read_commit(old).tree, repo.read_commit(new).tree
    objects = frozenset(path for path in paths if not path.endswith("/"))
    folders = tuple(path for path in paths if path.endswith("/"))
    for before, after in diff_trees(repo, trees[0], repo, trees[1], check=check_rows):
        row = before if after is None else after
        assert row is not None
        if paths and row[PATH] not in objects and not row[PATH].startswith(folders):
            continue
        if before is None:
            yield Difference("added", None, after)
        elif after is None:
            yield Difference("deleted", before, None)
        elif not same_content(before, after):
            yield Difference("modified", before, after)


def _with_renames(
    repo: Repository,
    found: Iterator[Difference],
    similarity: float | None,
    limit: int,
    on_limit: Callable[[int], None] | None,
) -> Iterator[Difference]:
    held: list[Difference] = []
    for difference in found:
        held.append(difference)
        if len(held) > limit:
            if on_limit is not None:
                on_limit(limit)
            yield from chain(held, found)
            return
    yield from _matched(repo, held, similarity)


def _matched(
    repo: Repository, held: list[Difference], similarity: float | None
) -> Iterator[Difference]:
    deleted = [each.old for each in held if each.kind == "deleted" and each.old is not None]
    added = [each.new for each in held if each.kind == "added" and each.new is not None]
    renamed: dict[str, Difference] = {}
    gone: set[str] = set()

    def take(pairs: Iterator[tuple[Row, Row, float]]) -> None:
        for before, after, likeness in pairs:
            gone.add(before[PATH])
            renamed[after[PATH]] = Difference("renamed", before, after, likeness)

    take(exact(deleted, added))
    if similarity is not None:
        deleted = [row for row in deleted if row[PATH] not in gone]
        added = [row for row in added if row[PATH] not in renamed]
        take(similar(deleted, added, repo.read_chunk, threshold=similarity))
    for each in held:
        if each.kind == "added":
            yield renamed.get(each.path, each)
        elif each.kind == "modified" or each.path not in gone:
            yield each
