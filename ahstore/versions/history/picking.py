"""One commit's change, done again or undone on a branch's head: cherry-pick and revert.

Both are three-way by path: a change that the head has already is no change, one that it contradicts
is a conflict. No bytes are written, only rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from ahstore.errors import InvalidInputError
from ahstore.ids import AssetId, CommitId, PageId
from ahstore.objects.edit import edit
from ahstore.objects.file import check_rows
from ahstore.objects.tree import build
from ahstore.versions.history.closure import check_rows_kept
from ahstore.versions.history.threeway import Base, Side, three_way
from ahstore.versions.publish import Proposal, Published, Signature, publish
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


@dataclass(frozen=True, slots=True)
class Picked:
    """A commit whose change is meant, against its parent ``mainline`` (1: the first).

    ``via`` names a live branch or tag from which it is reached, if one is known.
    """

    commit: CommitId
    mainline: int | None = None
    via: str | None = None


def revert(
    repo: Repository,
    asset: AssetId,
    branch: str,
    picked: Picked,
    signature: Signature,
    *,
    favour: Side | None = None,
    expect: CommitId | None = None,
) -> Published | None:
    """Commit to a branch the inverse of what a commit changed.

    Returns:
        The commit, None when the branch holds nothing of that change any more.

    Raises:
        MergeConflictError: what it changed was changed again since; nothing was done.
        InvalidInputError: it is a merge and ``mainline`` is missing, or has no such parent, or
            it is another asset's.
        NotFoundError: there is no such branch or commit.
        ConflictError: the branch is not at ``expect``.
    """
    return _apply(repo, asset, branch, picked, signature, favour, expect, inverse=True)


def cherry_pick(
    repo: Repository,
    asset: AssetId,
    branch: str,
    picked: Picked,
    signature: Signature,
    *,
    favour: Side | None = None,
    expect: CommitId | None = None,
) -> Published | None:
    """Commit to a branch what another commit changed; returns and raises as :func:`revert`."""
    return _apply(repo, asset, branch, picked, signature, favour, expect, inverse=False)


def _apply(
    repo: Repository,
    asset: AssetId,
    branch: str,
    picked: Picked,
    signature: Signature,
    favour: Side | None,
    expect: CommitId | None,
    *,
    inverse: bool,
) -> Published | None:
    with repo.session([ref_cell(asset, branch)]) as session:
        before, after = _both_sides(repo, asset, picked, session)
        base, theirs = (after, before) if inverse else (before, after)
        kept = Refs(repo).is_under(asset, picked.commit, [branch, picked.via])

        def propose(head: CommitId | None) -> Proposal | None:
            assert head is not None
            ours = repo.read_commit(head).tree
            edits = three_way(repo, Base(base), ours, theirs, favour=favour)
            if not edits:
                return None
            if not kept:
                check_rows_kept(repo, [row for _, row in edits if row is not None], session)
            return Proposal(edit(repo, ours, edits, session, check=check_rows), (head,))

        return publish(repo, session, asset, branch, propose, signature, expect=expect)


def _both_sides(
    repo: Repository, asset: AssetId, picked: Picked, session: WriteSession
) -> tuple[PageId, PageId]:
    """Return the trees before and after the change."""
    commit = repo.read_commit(picked.commit)
    shown = picked.commit.hex()[:8]
    if commit.asset != asset:
        raise InvalidInputError(f"commit {shown} belongs to another asset")
    count = len(commit.parents)
    if picked.mainline is None and count > 1:
        raise InvalidInputError(
            f"commit {shown} is a merge: say against which of its {count} parents (mainline 1 to {count})"
        )
    if picked.mainline is not None and not 1 <= picked.mainline <= count:
        raise InvalidInputError(f"commit {shown} has no parent {picked.mainline}")
    if not count:
        return build([], session), commit.tree
    return repo.read_commit(commit.parents[(picked.mainline or 1) - 1]).tree, commit.tree
