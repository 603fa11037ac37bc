"""What becomes of each branch and tag: made, moved on, left, or refused.

A branch only moves forward, a tag never moves; what would need more is named and left, unless
the user forces branches. Decided before anything is copied, to copy no more than is needed, and
again on the newest value, right before it is swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ahstore.codec.canonical import Value
from ahstore.ids import Address, AssetId, CommitId
from ahstore.packs.place import Kind, Place
from ahstore.storage.cells import CellVersion
from ahstore.transfer.offers import RefOffer
from ahstore.versions.refs import Ref, RefKind, read_ref, ref_cell, ref_value
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

Action = Literal[
    "created",
    "moved",
    "forced",
    "deleted",
    "same",
    "ahead",
    "diverged",
    "tag differs",
    "kind differs",
]

MOVING = frozenset({"created", "moved", "forced"})
REFUSED = frozenset({"diverged", "tag differs", "kind differs"})

Descends = Callable[[CommitId, CommitId], bool]
"""Whether the first commit is the second, or descends from it."""


@dataclass(frozen=True, slots=True)
class RefResult:
    """What became of a branch or tag at the destination.

    Attributes:
        name: its name.
        kind: ``branch`` or ``tag``.
        action: ``created``; ``moved`` forward; ``forced``: made what it is at the source;
            ``deleted``: pruned; ``same``; ``ahead``: has more commits than at the source;
            refused: ``diverged``, ``tag differs``, ``kind differs`` (a tag here, a branch there).
        before: the commit it was at, None if it was not there.
        after: the commit it is at, None if it is not there.
    """

    name: str
    kind: RefKind
    action: Action
    before: CommitId | None
    after: CommitId | None

    @property
    def refused(self) -> bool:
        """Whether it was left because it may not be moved."""
        return self.action in REFUSED


def decide(
    current: Ref | None,
    offer: RefOffer,
    *,
    force: bool,
    descends: Descends,
    remains: int | None = None,
) -> RefResult:
    """Return what is to become of a ref that stands at ``current`` now.

    ``remains`` is the number of a version that counts for nothing: what a transfer that was cut
    short left of an asset that is not there.
    """
    if current is None or current.number == remains:
        return RefResult(offer.name, offer.kind, "created", None, offer.commit)
    action = _action(current, offer, force, descends)
    after = offer.commit if action in MOVING else current.commit
    return RefResult(offer.name, current.kind, action, current.commit, after)


def _action(current: Ref, offer: RefOffer, force: bool, descends: Descends) -> Action:
    if current.kind != offer.kind:
        return "kind differs"
    if current.commit == offer.commit:
        return "same"
    if current.kind == "tag":
        return "tag differs"
    if descends(offer.commit, current.commit):
        return "moved"
    if force:
        return "forced"
    return "ahead" if descends(current.commit, offer.commit) else "diverged"


def publish_ref(
    repo: Repository,
    session: WriteSession,
    asset: AssetId,
    offer: RefOffer,
    *,
    by: str,
    force: bool,
    descends: Descends,
    remains: int | None = None,
) -> RefResult:
    """Put a ref where the source has it, if it may be; the commit is there, and all it needs."""
    results: list[RefResult] = []

    def change(current: CellVersion, _: WriteSession) -> dict[str, Value] | None:
        result = decide(
            read_ref(asset, offer.name, current),
            offer,
            force=force,
            descends=descends,
            remains=remains,
        )
        results.append(result)
        if result.action not in MOVING:
            return None
        return ref_value(offer.kind, offer.commit, by, _places(repo, offer.commit))

    session.update(ref_cell(asset, offer.name), change)
    return results[-1]


def _places(repo: Repository, commit: CommitId) -> list[tuple[Address, Place]]:
    """Return where commit and root lie, so that a cold reader needs no index."""
    found: list[tuple[Address, Place]] = []
    place = repo.index.find(Kind.COMMIT, commit)
    if place is not None:
        found.append((commit, place))
        root = repo.read_commit(commit).tree
        page = repo.index.find(Kind.PAGE, root)
        if page is not None:
            found.append((root, page))
    return found


def prune(
    repo: Repository, asset: AssetId, here: Iterable[Ref], offered: Iterable[str]
) -> list[RefResult]:
    """Delete the branches and tags that the source does not have."""
    names = set(offered)
    results = []
    for ref in here:
        if ref.name not in names:
            repo.kill(ref_cell(asset, ref.name))
            results.append(RefResult(ref.name, ref.kind, "deleted", ref.commit, None))
    return results
