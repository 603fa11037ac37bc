"""Merging a commit into a branch: fast-forward, three-way by path, or replace.

``replace`` is Asset Hub's way: the target becomes exactly the source. Three-way takes what each
side changed since their common ancestor; where both changed one path differently, nothing is done.
"""

from __future__ import annotations

from typing import Literal

from ahstore.errors import InvalidInputError, MergeConflictError
from ahstore.ids import AssetId, CommitId, PageId
from ahstore.objects.diff import diff
from ahstore.objects.edit import edit
from ahstore.objects.file import PATH, Row, check_rows, same_content
from ahstore.versions.adding.changeset import Edits, check_overlap
from ahstore.versions.history.log import is_ancestor, merge_base
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

Strategy = Literal["three-way", "replace"]
SHOWN_CONFLICTS = 10


def merge(
    repo: Repository,
    asset: AssetId,
    source: CommitId,
    target: str,
    *,
    committer: str,
    message: str,
    strategy: Strategy = "three-way",
    expect: CommitId | None = None,
) -> CommitId | None:
    """Merge ``source`` into the branch ``target`` and return the branch's new commit.

    Returns:
        ``source`` itself when the branch could simply move on to it (fast-forward), a merge commit
        otherwise, None when the branch holds ``source`` already.

    Raises:
        MergeConflictError: both sides changed a path differently; nothing was changed.
        NotFoundError: there is no such branch.
        ConflictError: the branch is not at ``expect``.
    """
    head = Refs(repo).get(asset, target, "branch").commit
    if is_ancestor(repo, source, head):
        return None
    if is_ancestor(repo, head, source) and repo.read_commit(source).asset == asset:
        # Only onto the head just seen: a branch that has moved on is merged the long way.
        moved = Refs(repo).move(asset, target, source, by=committer, expect=expect or head)
        return moved.commit
    with repo.session([ref_cell(asset, target)]) as session:

        def propose(head: CommitId | None) -> Proposal | None:
            assert head is not None
            if is_ancestor(repo, source, head):
                return None
            tree = (
                repo.read_commit(source).tree
                if strategy == "replace"
                else _three_way(repo, session, head, source)
            )
            return Proposal(tree, (head, source))

        made = publish(
            repo, session, asset, target, propose, Signature(message, committer), expect=expect
        )
        return made.id if made else None


def _three_way(repo: Repository, session: WriteSession, head: CommitId, source: CommitId) -> PageId:
    base = merge_base(repo, head, source)
    if base is None:
        raise InvalidInputError("the two have no common commit; merge with strategy 'replace'")
    base_tree, ours, theirs = (repo.read_commit(c).tree for c in (base, head, source))
    mine = _changed(repo, base_tree, ours)
    edits: Edits = []
    conflicts = []
    for path, row in sorted(_changed(repo, base_tree, theirs).items()):
        if path not in mine:
            edits.append((path, row))
        elif not _agree(mine[path], row):
            conflicts.append(path)
    if conflicts:
        shown = ", ".join(conflicts[:SHOWN_CONFLICTS])
        more = (
            f" and {len(conflicts) - SHOWN_CONFLICTS} more"
            if len(conflicts) > SHOWN_CONFLICTS
            else ""
        )
        raise MergeConflictError(
            f"both sides changed {shown}{more}; nothing was merged", paths=conflicts
        )
    gone = {path for path, row in edits if row is None}
    check_overlap(repo.files(head), [path for path, row in edits if row is not None], gone)
    return edit(repo, ours, edits, session, check=check_rows)


def _changed(repo: Repository, old: PageId, new: PageId) -> dict[str, Row | None]:
    """Return what ``new`` changed, by path; None for what it deleted."""
    changed: dict[str, Row | None] = {}
    for before, after in diff(repo, old, repo, new, check=check_rows):
        if before is None or after is None or not same_content(before, after):
            row = after if after is not None else before
            assert row is not None
            changed[row[PATH]] = after
    return changed


def _agree(mine: Row | None, theirs: Row | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return same_content(mine, theirs)
