"""Merging a commit into a branch: fast-forward, three-way by path, or replace.

Three-way takes what each side changed since their common ancestor; where both changed one path
differently nothing is done, or with ``ours`` (the branch's) or ``theirs`` (the source's) that side
has its way there. ``replace`` is Asset Hub's: the target becomes exactly the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ahstore.codec.canonical import Value
from ahstore.errors import ConflictError, InvalidInputError
from ahstore.ids import AssetId, CommitId, PageId
from ahstore.objects.edit import edit
from ahstore.objects.file import check_rows
from ahstore.versions.history.ancestry import is_ancestor
from ahstore.versions.history.threeway import Side, common_base, three_way
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import MAX_ATTEMPTS, WriteSession

Strategy = Literal["three-way", "ours", "theirs", "replace"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class _OnlyLagsError(Exception):
    """The branch has nothing of its own any more: it can simply move on."""


@dataclass(frozen=True, slots=True)
class _Merge:
    """What is merged (and the live branch or tag it was named by), into which branch, and how."""

    asset: AssetId
    source: CommitId
    via: str | None
    target: str
    strategy: Strategy
    signature: Signature


def merge(
    repo: Repository,
    asset: AssetId,
    source: CommitId,
    target: str,
    *,
    committer: str,
    message: str,
    metadata: dict[str, Value] | None = None,
    strategy: Strategy = "three-way",
    expect: CommitId | None = None,
    via: str | None = None,
) -> CommitId | None:
    """Merge ``source`` into the branch ``target`` and return the branch's new commit.

    Args:
        repo: where both are.
        asset: whose branch it is.
        source: what is merged.
        target: the branch that is changed.
        committer: of the merge commit.
        message: of the merge commit.
        metadata: of the merge commit.
        strategy: what becomes of paths that both sides changed.
        expect: the head that the branch must be at.
        via: a live branch or tag from which ``source`` is reached, if one is known: otherwise all
            that it needs is looked up.

    Returns:
        ``source`` itself when the branch could simply move on to it (fast-forward), a merge commit
        otherwise, None when the branch holds ``source`` already.

    Raises:
        MergeConflictError: both sides changed a path differently; nothing was changed.
        NotFoundError: there is no such branch.
        ConflictError: the branch is not at ``expect``.
        InvalidInputError: the two have no common commit, or the strategy is none.
    """
    if strategy not in STRATEGIES:
        raise InvalidInputError(
            f"there is no strategy {strategy!r}: use {', '.join(STRATEGIES)}", value=strategy
        )
    what = _Merge(
        asset, source, via, target, strategy, Signature(message, committer, metadata or {})
    )
    for _ in range(MAX_ATTEMPTS):
        head = Refs(repo).get(asset, target, "branch").commit
        try:
            if expect in (None, head) and _only_lags(repo, what, head):
                # Only onto the head just seen.
                Refs(repo).move(asset, target, source, by=committer, expect=head, via=via)
                return source
            return _merge_long(repo, what, expect)
        except _OnlyLagsError:
            continue
        except ConflictError as error:
            # A branch that has moved on is looked at again.
            if expect is not None or type(error) is not ConflictError:
                raise
    raise ConflictError(f"branch {target!r} changes too fast to merge into it; try again")


def _only_lags(repo: Repository, what: _Merge, head: CommitId) -> bool:
    return (
        head != what.source
        and is_ancestor(repo, head, what.source)
        and repo.read_commit(what.source).asset == what.asset
    )


def _merge_long(repo: Repository, what: _Merge, expect: CommitId | None) -> CommitId | None:
    source = what.source
    theirs = repo.read_commit(source).tree
    with repo.session([ref_cell(what.asset, what.target)]) as session:
        Refs(repo).check_kept(what.asset, source, [what.via, what.target], session)

        def propose(head: CommitId | None) -> Proposal | None:
            assert head is not None
            if is_ancestor(repo, source, head):
                if what.strategy != "replace" or repo.read_commit(head).tree == theirs:
                    return None
                # ``replace`` takes away what the branch has beyond the source, too.
                return Proposal(theirs, (head, source))
            if _only_lags(repo, what, head):
                raise _OnlyLagsError
            if what.strategy == "replace":
                return Proposal(theirs, (head, source))
            favour: Side | None = None if what.strategy == "three-way" else what.strategy
            return Proposal(_three_way(repo, session, head, source, favour), (head, source))

        made = publish(
            repo, session, what.asset, what.target, propose, what.signature, expect=expect
        )
        return made.id if made else None


def _three_way(
    repo: Repository, session: WriteSession, head: CommitId, source: CommitId, favour: Side | None
) -> PageId:
    base = common_base(repo, head, source)
    if base is None:
        raise InvalidInputError("the two have no common commit; merge with strategy 'replace'")
    ours, theirs = (repo.read_commit(each).tree for each in (head, source))
    edits = three_way(repo, base, ours, theirs, favour=favour)
    return edit(repo, ours, edits, session, cache=repo.page_cache, check=check_rows)
