"""From what a user writes after the colon to a commit: names, ids, prefixes, ``~N``, ``@{…}``.

A bare name is looked up as branch, tag, then commit; ``branch/x``, ``tag/x``, ``commit/x`` say which
is meant. ``~N`` follows first parents, ``^N`` takes the N-th parent, ``@{N}`` is the branch N moves
ago, ``@{2026-01-01}``, ``@{yesterday}``, ``@{3.days.ago}`` the branch as it was at that time
(``moments`` says how times are written).
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.ids import MIN_PREFIX_DIGITS, AssetId, CommitId
from ahstore.packs.place import Kind
from ahstore.versions.history.heads import head_at, nth_head
from ahstore.versions.moments import parse_moment
from ahstore.versions.refs import RefKind, Refs
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

_SUFFIX = re.compile(r"~(\d*)|\^(\d*)|@\{([^{}]*)\}")
_BASE_END = re.compile(r"[~^]|@\{")
_HEX = re.compile(r"[0-9a-f]+\Z")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A commit and how it was named; ``name`` is the branch or tag, or the full commit id."""

    commit: CommitId
    kind: Literal["branch", "tag", "commit"]
    name: str
    via: str | None = None
    """The live branch or tag from which the commit was reached, if any."""


def resolve(repo: Repository, asset: AssetId, ref: str) -> Resolved:
    """Return the commit that ``ref`` means for this asset.

    Raises:
        NotFoundError: nothing has this name, or the history is not that long.
        InvalidInputError: it is malformed, or a prefix of several commits.
    """
    end = _BASE_END.search(ref)
    base, rest = (ref[: end.start()], ref[end.start() :]) if end else (ref, "")
    found = _resolve_base(repo, asset, base)
    while rest:
        match = _SUFFIX.match(rest)
        if match is None:
            raise InvalidInputError(f"invalid reference {ref!r}: {rest!r} is not understood")
        found = _step(repo, asset, ref, found, match)
        rest = rest[match.end() :]
    return found


def check_kept(
    repo: Repository, asset: AssetId, ref: str, commit: CommitId, session: WriteSession
) -> None:
    """Make sure that gc keeps a commit which ``ref`` named, now that ``session`` holds its lease.

    For who is about to refer to it from elsewhere than a branch: a run, an evaluation.

    Raises:
        NotFoundError: something the commit needs is not in the store.
    """
    via = None
    with suppress(NotFoundError, InvalidInputError):
        via = resolve(repo, asset, ref).via
    Refs(repo).check_kept(asset, commit, [via, "main"], session)


def _resolve_base(repo: Repository, asset: AssetId, base: str) -> Resolved:
    kind, slash, name = base.partition("/")
    if slash and kind not in ("branch", "tag", "commit"):
        raise InvalidInputError(
            f"invalid reference {base!r}: before '/' only branch, tag or commit may stand", ref=base
        )
    if not slash:
        kind, name = "", base
    if kind != "commit":
        wanted: RefKind | None = "branch" if kind == "branch" else "tag" if kind == "tag" else None
        ref = Refs(repo).find(asset, name)
        if ref is not None and wanted in (None, ref.kind):
            return Resolved(ref.commit, ref.kind, name, via=name)
    if kind in ("", "commit"):
        commit = _find_commit(repo, asset, name)
        if commit is not None:
            return Resolved(commit, "commit", commit.hex())
    what = kind or "branch, tag or commit"
    raise NotFoundError(f"there is no {what} {name!r}", ref=base)


def _find_commit(repo: Repository, asset: AssetId, text: str) -> CommitId | None:
    if not _HEX.match(text) or not MIN_PREFIX_DIGITS <= len(text) <= 64:
        return None
    if len(text) < 64 or repo.index.find_prefix(Kind.COMMIT, text) == []:
        repo.index.refresh()
    candidates = [CommitId(a) for a in repo.index.find_prefix(Kind.COMMIT, text)]
    mine = [c for c in candidates if repo.read_commit(c).asset == asset]
    if len(mine) > 1:
        shown = ", ".join(c.hex()[:12] for c in mine[:5])
        raise InvalidInputError(f"{text!r} is ambiguous: it begins {shown}", ref=text)
    return mine[0] if mine else None


def _step(
    repo: Repository, asset: AssetId, ref: str, found: Resolved, match: re.Match[str]
) -> Resolved:
    tilde, caret, at = match.groups()
    if at is not None:
        return _earlier(repo, asset, ref, found, at)
    commit = found.commit
    if tilde is not None:
        for _ in range(_count(tilde, ref)):
            commit = _parent(repo, ref, commit, 1)
    elif caret != "0":
        commit = _parent(repo, ref, commit, _count(caret, ref))
    return Resolved(commit, "commit", commit.hex(), via=found.via)


def _count(digits: str, ref: str) -> int:
    if len(digits) > 9:
        raise InvalidInputError(f"invalid reference {ref!r}: {digits} is too large", ref=ref)
    return int(digits) if digits else 1


def _parent(repo: Repository, ref: str, commit: CommitId, nth: int) -> CommitId:
    parents = repo.read_commit(commit).parents
    if nth > len(parents):
        raise NotFoundError(f"{ref!r}: commit {commit.hex()[:8]} has no parent {nth}", ref=ref)
    return parents[nth - 1]


def _earlier(repo: Repository, asset: AssetId, ref: str, found: Resolved, when: str) -> Resolved:
    if found.kind != "branch":
        raise InvalidInputError(f"invalid reference {ref!r}: @{{…}} follows a branch", ref=ref)
    if when.isascii() and when.isdigit() and len(when) < len("20260101"):
        wanted = nth_head(repo, asset, found.name, _count(when, ref))
    else:
        wanted = head_at(repo, asset, found.name, _moment(ref, when))
    if wanted is None:
        raise NotFoundError(f"{ref!r}: branch {found.name!r} does not go back that far", ref=ref)
    # An older value need not be reachable from today's head, so no `via`.
    return Resolved(
        wanted, "commit", wanted.hex(), via=found.via if wanted == found.commit else None
    )


def _moment(ref: str, text: str) -> float:
    try:
        return parse_moment(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"invalid reference {ref!r}: {error}", ref=ref) from None
