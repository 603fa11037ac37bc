"""What differs between two commits, by path; cost follows the difference."""

from __future__ import annotations

from collections.abc import Iterator

from ahstore.ids import CommitId
from ahstore.objects.diff import diff as diff_trees
from ahstore.objects.file import PATH, SIZE, check_rows, same_content
from ahstore.versions.adding.changes import Change
from ahstore.versions.repository import Repository


def diff(repo: Repository, old: CommitId, new: CommitId) -> Iterator[Change]:
    """Yield what turns ``old`` into ``new``, sorted by path. A differing mtime alone is nothing.

    Raises:
        NotFoundError: the store has no such commit.
    """
    trees = repo.read_commit(old).tree, repo.read_commit(new).tree
    for before, after in diff_trees(repo, trees[0], repo, trees[1], check=check_rows):
        if before is None and after is not None:
            yield Change("added", after[PATH], after[SIZE], None)
        elif before is not None and after is None:
            yield Change("deleted", before[PATH], None, before[SIZE])
        elif before is not None and after is not None and not same_content(before, after):
            yield Change("modified", after[PATH], after[SIZE], before[SIZE])
