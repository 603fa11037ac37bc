"""Pointing a branch at another commit; its former heads stay in its history (``@{1}``)."""

from __future__ import annotations

from ahstore.errors import InvalidInputError
from ahstore.ids import AssetId, CommitId
from ahstore.versions.refs import Ref, Refs
from ahstore.versions.repository import Repository


def reset(
    repo: Repository,
    asset: AssetId,
    branch: str,
    commit: CommitId,
    *,
    committer: str,
    expect: CommitId | None = None,
    via: str | None = None,
) -> Ref:
    """Make ``commit`` the head of ``branch``; ``via`` names a live ref it is reached from, if known.

    Raises:
        NotFoundError: there is no such branch or commit.
        InvalidInputError: the commit is another asset's.
        ConflictError: the branch is not at ``expect``.
    """
    if repo.read_commit(commit).asset != asset:
        raise InvalidInputError(f"commit {commit.hex()[:8]} belongs to another asset")
    return Refs(repo).move(asset, branch, commit, by=committer, expect=expect, via=via)
