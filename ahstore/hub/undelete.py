"""Deleted models, datasets and folders brought back, as long as gc has not forgotten them.

Owns finding what a name meant when it was deleted, and the order in which its cells come to life:
everything below first, the name last, then every cell once more, so that a deletion which is still
at work comes too late. Implements "Undeleting a folder or an asset" of docs/format/write-order.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ahstore.codec.canonical import Value
from ahstore.errors import AhError, AlreadyExistsError, ConflictError, NotFoundError
from ahstore.hub.assets import WITH_ASSET, Assets, asset_cell, evaluations_cell
from ahstore.hub.catalogue import ROOT, Catalogue, Changes, View
from ahstore.hub.folders import ROOT_CELL, Folders, catalogue_cell, folder_cell, folder_key
from ahstore.hub.paths import check_type
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.records import AssetRecord, FolderRecord, Listing
from ahstore.ids import AssetId, EntityId, FolderId
from ahstore.index.recent_packs import FIELD as PACKS
from ahstore.names import check_name
from ahstore.objects.diff import diff
from ahstore.objects.page import KEY
from ahstore.objects.tree import build
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.gc_plan import Mark, pending_marks
from ahstore.versions.locators import PLACES
from ahstore.versions.past import FIELD as COMMITS
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

REFS_AT_ONCE = 200
"""So many cells one lease names at most."""


class Deleted(NamedTuple):
    """What a catalogue said of a name before it was taken out."""

    id: EntityId
    listing: Listing


class Undelete:
    """Brings back what was deleted in a store."""

    def __init__(self, repo: Repository, folders: Folders, assets: Assets) -> None:
        self._repo = repo
        self._folders = folders
        self._assets = assets

    def asset(self, home: FolderRecord, name: str) -> AssetRecord:
        """Bring back the asset that had this name last, with what was deleted with it.

        That is its branches and tags, but not those that were deleted before, and its evaluations.

        Raises:
            AlreadyExistsError: the folder has an asset of this name.
            NotFoundError: none of this name was deleted, or gc has taken it away.
        """
        what = f"{home.type} {check_name(name, what=home.type)!r}"
        catalogue = Catalogue(self._repo, catalogue_cell(home.id))
        found = self._find(catalogue, name, what=what, where=f"folder {home.path}")
        asset = AssetId(found.id)
        gone = self._assets.absence(home.id, asset)
        revival = Revival(self._repo, asset, home.id, name, what)
        with self._repo.session([asset_cell(asset), catalogue.cell]) as session:
            try:
                revival.run(session.beat)
                _put_back(self._repo, catalogue, session, name, found, what)
            except (AlreadyExistsError, NotFoundError):
                with suppress(AhError):
                    self._assets.tombstone(asset, gone=gone)
                raise
            with suppress(AhError):  # it is back: what fails now must not read as a failure
                revival.run(session.beat)
        if gone():
            self._assets.tombstone(asset, gone=gone)
            raise ConflictError(f"{what} was deleted again meanwhile", id=asset)
        return self._assets.get_by_id(asset)

    def folder(self, type_: str, name: str, *, owner: str) -> FolderRecord:
        """Bring back the folder that had this name last, with the assets that were in it.

        Raises:
            AlreadyExistsError: there is a folder of this name.
            NotFoundError: none of this name was deleted, or gc has taken it away.
            ConflictError: it was deleted again meanwhile.
        """
        key = folder_key(owner, check_type(type_), check_name(name, what="folder"))
        what = f"{type_} folder {name!r}"
        root = Catalogue(self._repo, ROOT_CELL)
        found = self._find(root, key, what=what, is_there=self._folders.is_there)
        folder = FolderId(found.id)
        catalogue = Catalogue(self._repo, catalogue_cell(folder))
        with self._repo.session([folder_cell(folder), catalogue.cell, ROOT_CELL]) as session:
            try:
                self._revive_all(session, folder, key, what)
                _reopen(self._repo, session, catalogue.cell, what)
                _put_back(self._repo, root, session, key, found, what, self._folders.is_there)
            except (AlreadyExistsError, NotFoundError):
                with suppress(AhError):
                    self._give_up(folder)
                raise
            with suppress(AhError):  # it is back: what fails now must not read as a failure
                self._revive_all(session, folder, key, what)
                session.update(catalogue.cell, _touch)
        if not self._folders.is_there(folder):
            self._give_up(folder)
            raise ConflictError(f"{what} was deleted again meanwhile", id=folder)
        return self._folders.get_by_id(folder)

    def _revive_all(self, session: WriteSession, folder: FolderId, key: str, what: str) -> None:
        """Bring back what belongs to a closed folder: its record, and the assets that it had."""
        session.update(folder_cell(folder), lambda *_: {"id": str(folder), "key": key})
        last = Catalogue(self._repo, catalogue_cell(folder)).last_open()
        for row in () if last is None else last.scan():
            asset = AssetId(_id_of(self._repo, row))
            name = str(row[KEY])
            revival = Revival(self._repo, asset, folder, name, f"{name!r} in {what}")
            revival.run(session.beat)

    def _give_up(self, folder: FolderId) -> None:
        """Delete again what has come to life of a folder that can't come back."""
        if not self._folders.is_there(folder):
            Catalogue(self._repo, catalogue_cell(folder)).close(lambda _: None)
            self._folders.finish_deletion(folder, self._assets.tombstone_all)

    def _find(
        self,
        catalogue: Catalogue,
        key: str,
        *,
        what: str,
        where: str = "",
        is_there: Callable[[FolderId], bool] = lambda _: True,
    ) -> Deleted:
        newest = catalogue.view()
        there = newest.find(key)
        found = _find_deleted(self._repo, catalogue, newest, key)
        if there is not None:
            entity = _id_of(self._repo, there)
            if is_there(FolderId(entity)):
                if found is None:
                    raise AlreadyExistsError(f"{what} is not deleted", id=entity)
                raise _taken(what, entity)
            # Its deletion was cut short: what is in it was deleted, its row was not.
            return Deleted(entity, Listing.from_value(read_row(self._repo, there)))
        if found is None:
            raise NotFoundError(
                f"there is no deleted {what}{where and ' in ' + where}: there never was one, or gc "
                "has taken it away",
                name=key,
            )
        return found


class Revival:
    """Makes the cells of a deleted asset live again: its branches and tags, and its evaluations."""

    def __init__(
        self, repo: Repository, asset: AssetId, home: FolderId, name: str, what: str
    ) -> None:
        self._repo = repo
        self._asset = asset
        self._hint: dict[str, Value] = {"folder": str(home), "id": str(asset), "name": name}
        self._what = what

    def run(self, beat: Callable[[], None]) -> None:
        """Write every cell anew: those that are dead as they were, those that live as they are.

        To be run again when the asset is there. Branches and tags that were deleted by themselves
        stay so. ``beat`` is called often.

        Raises:
            NotFoundError: gc has taken one of them away.
        """
        cells = [asset_cell(self._asset), evaluations_cell(self._asset)]
        with self._repo.session(cells) as session:
            session.update(cells[0], lambda *_: self._hint)
            _reopen(self._repo, session, cells[1], self._what)
        refs = list(self._repo.cells.list("ref", self._asset))
        for at in range(0, len(refs), REFS_AT_ONCE):
            some = refs[at : at + REFS_AT_ONCE]
            with self._repo.session(some) as session:
                marks = pending_marks(self._repo.cells, self._repo.packs)
                for cell in some:
                    beat()
                    session.beat()
                    self._revive_ref(session, cell, marks)

    def _revive_ref(self, session: WriteSession, cell: Cell, marks: Mapping[str, Mark]) -> None:
        def change(current: CellVersion, _: WriteSession) -> dict[str, Value] | None:
            if current.state is CellState.LIVE:
                return _without_locators(current.value)
            if current.state is not CellState.DEAD or current.value != WITH_ASSET:
                return None
            last = _last_live(self._repo, cell, marks, f"{cell.key[1]!r} of {self._what}")
            return None if last is None else _without_locators(last.value)

        session.update(cell, change)


def _touch(current: CellVersion, _: WriteSession) -> dict[str, Value] | None:
    """Write a catalogue that is open as it is: whoever read it before comes too late."""
    return {ROOT: current.value[ROOT]} if current.state is CellState.LIVE else None


def _reopen(repo: Repository, session: WriteSession, cell: Cell, what: str) -> None:
    """Make a closed catalogue live again with the rows it had; an open one is written anew."""
    marks = pending_marks(repo.cells, repo.packs)

    def change(current: CellVersion, session: WriteSession) -> dict[str, Value]:
        last = current if current.state is CellState.LIVE else _last_live(repo, cell, marks, what)
        return {ROOT: bytes(build((), session)) if last is None else last.value[ROOT]}

    session.update(cell, change)


def _last_live(
    repo: Repository, cell: Cell, marks: Mapping[str, Mark], what: str
) -> CellVersion | None:
    """Return the last live version of a cell, None if it never had one.

    ``marks`` were read under the session's lease and before the cell: a gc that has a plan may
    empty it at any moment, and one that has none yet waits for the lease.

    Raises:
        NotFoundError: gc has taken it away, or is about to.
    """
    mark = marks.get(cell.folder)
    for version in repo.cells.history(cell):
        expired = mark is not None and version.number < mark.below
        if version.state is CellState.EMPTIED or (expired and version.state is CellState.LIVE):
            raise NotFoundError(f"{what} is gone: gc has taken it away", cell=str(cell))
        if version.state is CellState.LIVE:
            return version
    return None


_HINTS = (PLACES, PACKS, COMMITS)


def _without_locators(value: Mapping[str, Value]) -> dict[str, Value]:
    """Return a ref's value without where its blobs lay then: they may have been moved."""
    return {field: kept for field, kept in value.items() if field not in _HINTS}


def _put_back(
    repo: Repository,
    catalogue: Catalogue,
    session: WriteSession,
    key: str,
    found: Deleted,
    what: str,
    is_there: Callable[[FolderId], bool] = lambda _: True,
) -> None:
    """Give the name back: the commit point. A row that is there is written anew, as a fence.

    Raises:
        AlreadyExistsError: another has the name.
        NotFoundError: the folder was deleted.
    """

    def propose(view: View, session: WriteSession) -> Changes:
        if view.closed:
            raise NotFoundError(f"the folder of {what} was deleted meanwhile", name=key)
        row = view.find(key)
        if row is not None:
            entity = _id_of(repo, row)
            if entity != found.id and is_there(FolderId(entity)):
                raise _taken(what, entity)
        return [(key, make_row(session, key, found.listing.to_value()))]

    catalogue.change(session, propose)


def _find_deleted(repo: Repository, catalogue: Catalogue, newest: View, key: str) -> Deleted | None:
    """Return what was called ``key`` when it was taken out of a catalogue last.

    What was only renamed does not count, nor what is there again. Versions that gc has let go can't
    be read, and end the search.
    """
    newer = newest
    marks = pending_marks(repo.cells, repo.packs)
    mark = marks.get(catalogue.cell.folder)
    with suppress(NotFoundError):
        for version in repo.cells.history(catalogue.cell):
            if mark is not None and version.number < mark.below:
                break
            if version.state is not CellState.LIVE or version.number >= newest.version.number:
                continue  # what came since is not looked at: `newest` is what counts
            older = View(repo, version)
            row = older.find(key)
            if row is not None:
                listing = Listing.from_value(read_row(repo, row))
                if _left(repo, older, newer, key, listing.id) and not _has(newest, listing.id):
                    return Deleted(listing.id, listing)
            newer = older
    return None


def _left(repo: Repository, older: View, newer: View, key: str, entity: EntityId) -> bool:
    """Tell whether what was called ``key`` is in ``newer`` under no name at all."""
    row = newer.find(key)
    if row is not None and _id_of(repo, row) == entity:
        return False
    if older.root is None or newer.root is None:
        return True
    changed = (new for _, new in diff(repo, older.root, repo, newer.root) if new is not None)
    return all(_id_of(repo, row) != entity for row in changed)


def _has(view: View, entity: EntityId) -> bool:
    return any(_id_of(view.repo, row) == entity for row in view.scan())


def _id_of(repo: Repository, row: Sequence[Value]) -> EntityId:
    return Listing.from_value(read_row(repo, list(row))).id


def _taken(what: str, entity: EntityId) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"there is another {what} by now: rename or delete it, then bring back the one before",
        id=entity,
    )
