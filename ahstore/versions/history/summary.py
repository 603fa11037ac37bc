"""How much a commit changed against its first parent: counts and bytes, no paths."""

from __future__ import annotations

from dataclasses import dataclass

from ahstore.ids import CommitId
from ahstore.objects.file import SIZE
from ahstore.versions.history.paths import changed_rows
from ahstore.versions.repository import Repository


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of objects by what became of them, and by how many bytes the commit grew."""

    added: int
    modified: int
    deleted: int
    grown_bytes: int


def summarize(repo: Repository, commit: CommitId) -> Summary:
    """Return what a commit changed against its first parent; cost follows the change.

    Raises:
        NotFoundError: the store has no such commit.
    """
    body = repo.read_commit(commit)
    tree = repo.files_at(body.tree)
    before = repo.files(body.parents[0]) if body.parents else None
    if before is None or not before.count():
        return Summary(tree.count(), 0, 0, tree.weight())
    added = modified = deleted = grown = 0
    for old, new in changed_rows(repo, before.root, tree.root):
        added += old is None
        deleted += new is None
        modified += old is not None and new is not None
        grown += (new[SIZE] if new else 0) - (old[SIZE] if old else 0)
    return Summary(added, modified, deleted, grown)
