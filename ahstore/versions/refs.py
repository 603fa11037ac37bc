"""Branches and tags of an asset: one cell a name, so a branch and a tag can't share one.

Cell ``ref/<asset>/<name>``; its value is described in docs/format/cells.md. A branch's cell also
carries locators: where its commit and the newest tree pages lie, so a cold reader needs no index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from ahstore.codec.canonical import Value
from ahstore.errors import (
    AlreadyExistsError,
    ConflictError,
    CorruptError,
    InvalidInputError,
    NotFoundError,
)
from ahstore.ids import Address, AssetId, CommitId, check_address
from ahstore.names import check_ref_name
from ahstore.packs.place import Place
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.history.ancestry import is_ancestor
from ahstore.versions.history.closure import check_complete
from ahstore.versions.locators import PLACES, encode_places
from ahstore.versions.ref_listing import read_newest
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

RefKind = Literal["branch", "tag"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or tag as it stood at version ``number`` of its cell; ``time`` in seconds (UTC)."""

    asset: AssetId
    name: str
    kind: RefKind
    commit: CommitId
    number: int
    time: float


def ref_cell(asset: AssetId, name: str) -> Cell:
    """Return the cell of a name."""
    return Cell("ref", (asset, name))


def ref_value(
    kind: RefKind, commit: CommitId, by: str, places: list[tuple[Address, Place]] | None = None
) -> dict[str, Value]:
    """Return the value of a ref's cell. ``places`` become locators."""
    value: dict[str, Value] = {"kind": kind, "commit": bytes(commit), "by": by}
    if places:
        value[PLACES] = encode_places(places)
    return value


def read_ref(asset: AssetId, name: str, version: CellVersion) -> Ref | None:
    """Return what a version of a ref's cell says, None when it is deleted or never made.

    Raises:
        CorruptError: the value is not a ref's.
    """
    if version.state is not CellState.LIVE:
        return None
    kind = version.value.get("kind")
    if kind not in ("branch", "tag"):
        raise CorruptError(f"the cell of {name!r} is neither a branch nor a tag", name=name)
    try:
        commit = CommitId(check_address(version.value.get("commit")))
    except InvalidInputError:
        raise CorruptError(f"the cell of {name!r} names no commit", name=name) from None
    return Ref(asset, name, cast("RefKind", kind), commit, version.number, version.time)


class Refs:
    """The branches and tags of a store's assets."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    def find(self, asset: AssetId, name: str) -> Ref | None:
        """Return the branch or tag of this name, None if there is none now."""
        version = self._repo.cells.read(ref_cell(asset, check_ref_name(name)))
        return read_ref(asset, name, version)

    def get(self, asset: AssetId, name: str, kind: RefKind | None = None) -> Ref:
        """Return the branch or tag of this name.

        Raises:
            NotFoundError: there is none, or it is of the other kind.
        """
        ref = self.find(asset, name)
        if ref is None or kind not in (None, ref.kind):
            raise NotFoundError(f"there is no {kind or 'branch or tag'} {name!r}", name=name)
        return ref

    def list(self, asset: AssetId, kind: RefKind | None = None) -> list[Ref]:
        """Return the live branches and tags (or one kind) by name."""
        refs = self._far(asset) if self._repo.storage.capabilities.far else self._near(asset)
        found = [ref for ref in refs if ref is not None and kind in (None, ref.kind)]
        return sorted(found, key=lambda ref: ref.name)

    def _near(self, asset: AssetId) -> Iterator[Ref | None]:
        for cell in self._repo.cells.list("ref", asset):
            yield read_ref(asset, cell.key[1], self._repo.cells.read(cell))

    def _far(self, asset: AssetId) -> Iterator[Ref | None]:
        for cell, (number, value, time) in read_newest(self._repo, asset):
            state = CellState.LIVE if value else CellState.DEAD
            version = CellVersion(number=number, state=state, value=value, nonce=b"", time=time)
            yield read_ref(asset, cell.key[1], version)

    def create(
        self,
        asset: AssetId,
        name: str,
        kind: RefKind,
        commit: CommitId,
        *,
        by: str,
        via: str | None = None,
    ) -> Ref:
        """Make a branch or tag at ``commit``; ``via`` names a live ref from which it is reached.

        Raises:
            AlreadyExistsError: the name is taken by a branch or a tag.
            NotFoundError: the commit, or something it needs, is not in the store.
        """
        check_ref_name(name, what=f"{kind} name")
        cell = ref_cell(asset, name)

        def change(current: CellVersion, session: WriteSession) -> dict[str, Value]:
            taken = read_ref(asset, name, current)
            if taken is not None:
                raise AlreadyExistsError(f"{taken.kind} {name!r} already exists", name=name)
            self.check_kept(asset, commit, [via], session)
            return ref_value(kind, commit, by)

        made = read_ref(asset, name, self._repo.update(cell, change))
        if made is None:
            raise ConflictError(f"{kind} {name!r} was deleted while it was made", name=name)
        return made

    def check_kept(
        self, asset: AssetId, commit: CommitId, via: Iterable[str | None], session: WriteSession
    ) -> None:
        """Make sure that gc keeps all that a commit needs, now that ``session`` holds its lease.

        A commit under a live head is kept; any other must be shown to be complete.

        Args:
            asset: whose refs are looked at.
            commit: what is to be referred to.
            via: names of branches and tags under which it may be.
            session: of the writer who is about to refer to it.

        Raises:
            NotFoundError: something the commit needs is not in the store.
        """
        if not self.is_under(asset, commit, via):
            check_complete(self._repo, commit, session)

    def is_under(self, asset: AssetId, commit: CommitId, via: Iterable[str | None]) -> bool:
        """Say whether a commit is reached from one of these branches and tags as they are now."""
        heads = (self.find(asset, name) for name in dict.fromkeys(via) if name)
        return any(is_ancestor(self._repo, commit, ref.commit) for ref in heads if ref)

    def move(
        self,
        asset: AssetId,
        name: str,
        commit: CommitId,
        *,
        by: str,
        expect: CommitId | None,
        via: str | None = None,
    ) -> Ref:
        """Point an existing branch at another commit; ``via`` as for :meth:`create`.

        Raises:
            NotFoundError: there is no such branch, or the commit is not in the store.
            ConflictError: the branch is not at ``expect``.
        """
        cell = ref_cell(asset, name)

        def change(current: CellVersion, session: WriteSession) -> dict[str, Value] | None:
            ref = read_ref(asset, name, current)
            if ref is None or ref.kind != "branch":
                raise NotFoundError(f"there is no branch {name!r}", name=name)
            check_expected(ref, expect)
            if ref.commit == commit:
                return None
            self.check_kept(asset, commit, [name, via], session)
            return ref_value("branch", commit, by)

        moved = read_ref(asset, name, self._repo.update(cell, change))
        if moved is None:
            raise ConflictError(f"branch {name!r} was deleted meanwhile", name=name)
        return moved

    def delete(self, asset: AssetId, name: str, kind: RefKind) -> None:
        """Delete a branch or tag; its commits stay as long as something else needs them.

        Raises:
            NotFoundError: there is none of this kind.
        """
        self.get(asset, name, kind)
        self._repo.kill(ref_cell(asset, name))

    def history(self, asset: AssetId, name: str) -> Iterator[Ref]:
        """Yield the values a ref has had, newest first, without repeats by fences."""
        last: CommitId | None = None
        for version in self._repo.cells.history(ref_cell(asset, name)):
            ref = read_ref(asset, name, version)
            if ref is not None and ref.commit != last:
                last = ref.commit
                yield ref


def check_expected(ref: Ref, expect: CommitId | None) -> None:
    """Refuse to go on when the caller must build on another head than there is.

    Raises:
        ConflictError: the branch has moved.
    """
    if expect is not None and ref.commit != expect:
        raise ConflictError(
            f"branch {ref.name!r} is at {ref.commit.hex()[:8]}, not at the expected {expect.hex()[:8]}",
            name=ref.name,
            actual=ref.commit.hex(),
            expected=expect.hex(),
        )
