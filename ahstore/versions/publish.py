"""The one way a branch gets a new commit: propose on the head, make durable, swap, or try again.

Write order: docs/format/write-order.md, "Commit". The caller's chunks are written once, before;
what depends on the head (pages, the commit) is made anew when another writer was first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ahstore.codec.canonical import Value
from ahstore.errors import InvalidInputError, NotFoundError, OutcomeUnknownError
from ahstore.ids import AssetId, CommitId, PageId
from ahstore.names import check_ref_name
from ahstore.objects.commit import Commit
from ahstore.storage.cells import CellVersion
from ahstore.versions.past import FIELD as COMMITS
from ahstore.versions.past import encode_past
from ahstore.versions.refs import Ref, check_expected, read_ref, ref_cell, ref_value
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession, retried

MAX_MESSAGE_BYTES = 64 * 1024
FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a commit on the head just seen would be."""

    tree: PageId
    parents: tuple[CommitId, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Who commits, with what message and metadata."""

    message: str
    committer: str
    metadata: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            size = len(self.message.encode())
        except UnicodeEncodeError:
            raise InvalidInputError("the commit message is not valid UTF-8") from None
        if size > MAX_MESSAGE_BYTES:
            raise InvalidInputError(
                f"the commit message has {size} bytes, the limit is {MAX_MESSAGE_BYTES}"
            )


@dataclass(frozen=True, slots=True)
class Published:
    """A commit that is now the head of its branch."""

    id: CommitId
    commit: Commit


@dataclass(frozen=True, slots=True)
class Seen:
    """A branch as it was read under the lease of a session, ``at`` by the monotonic clock."""

    ref: Ref
    version: CellVersion
    at: float

    @staticmethod
    def now(repo: Repository, asset: AssetId, branch: str) -> Seen:
        """Read the branch (or tag).

        Raises:
            NotFoundError: there is none of this name.
        """
        version = repo.cells.read(ref_cell(asset, check_ref_name(branch)))
        ref = read_ref(asset, branch, version)
        if ref is None:
            raise NotFoundError(f"there is no branch or tag {branch!r}", name=branch)
        return Seen(ref, version, time.monotonic())

    def is_worth_a_try(self, repo: Repository) -> bool:
        """Whether to build on it without reading again: if the branch has moved, the swap loses.

        Near by, reading costs less than a try that is lost.
        """
        return repo.storage.capabilities.far and time.monotonic() - self.at < FRESH_SECONDS


Propose = Callable[[CommitId | None], Proposal | None]
Guard = Callable[[CommitId], None]


def publish(
    repo: Repository,
    session: WriteSession,
    asset: AssetId,
    branch: str,
    propose: Propose,
    signature: Signature,
    *,
    expect: CommitId | None = None,
    may_create: bool = False,
    guard: Guard | None = None,
    seen: Seen | None = None,
) -> Published | None:
    """Move ``branch`` to the commit that ``propose(head)`` describes, on whatever head wins.

    ``propose`` gets None for a branch that is to be made (``may_create``) and returns None when
    nothing would change. ``guard`` runs with the commit's id right before each attempt to swap and
    stops it by raising. ``seen`` is the branch as the caller has just read it in this session.

    Returns:
        The commit, or None when nothing would change.

    Raises:
        NotFoundError: there is no such branch.
        ConflictError: it is not at ``expect``.
        OutcomeUnknownError: no answer came; ``details["commit"]`` has the id.
    """
    cell = ref_cell(asset, branch)
    first = [seen.version] if seen is not None and seen.is_worth_a_try(repo) else []

    def attempt() -> Published | None:
        current = first.pop() if first else repo.cells.read(cell)
        ref = read_ref(asset, branch, current)
        _check_branch(ref, branch, expect, may_create)
        proposal = propose(ref.commit if ref else None)
        if proposal is None:
            return None
        commit = _commit(asset, proposal, signature)
        commit_id = session.put_commit(commit)
        session.flush()
        if guard is not None:
            guard(commit_id)
        value = ref_value("branch", commit_id, signature.committer, session.newest_places())
        if repo.storage.capabilities.far:
            value[COMMITS] = encode_past(current, commit)
        try:
            session.swap(cell, current.number, value)
        except OutcomeUnknownError as error:
            raise OutcomeUnknownError(
                f"no answer came whether commit {commit_id.hex()} was made: look at the branch, "
                "a retry is safe",
                commit=commit_id.hex(),
            ) from error
        return Published(commit_id, commit)

    return retried(repo, cell, attempt)


def _check_branch(ref: Ref | None, branch: str, expect: CommitId | None, may_create: bool) -> None:
    if ref is None:
        if not may_create:
            raise NotFoundError(f"there is no branch {branch!r}", name=branch)
    elif ref.kind != "branch":
        raise InvalidInputError(f"{branch!r} is a tag; commits go to branches", name=branch)
    else:
        check_expected(ref, expect)


def _commit(asset: AssetId, proposal: Proposal, signature: Signature) -> Commit:
    return Commit(
        asset=asset,
        parents=proposal.parents,
        tree=proposal.tree,
        message=signature.message,
        committer=signature.committer,
        date_us=time.time_ns() // 1000,
        metadata=signature.metadata,
    )
