"""Models and datasets: made in a folder with their branch ``main``, found, changed, deleted.

Owns the catalogue of each folder (name → asset) and the cells ``asset/<id>``, which only say where
to look an asset up by its id. Branches, tags and commits are the business of ``versions``.
Write order: docs/format/hub.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from ahstore.codec.canonical import Value
from ahstore.errors import AhError, AlreadyExistsError, NotFoundError
from ahstore.hub.catalogue import Catalogue, Changes, View
from ahstore.hub.edits import Edit
from ahstore.hub.folders import Folders, catalogue_cell
from ahstore.hub.labels import check_description, check_labels
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.records import AssetRecord, FolderRecord, Listing, parse_stored_id
from ahstore.ids import AssetId, FolderId, new_entity_id
from ahstore.names import check_name
from ahstore.objects.page import KEY
from ahstore.objects.tree import Row
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.refs import ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

MAIN = "main"
WITH_ASSET: dict[str, Value] = {"with": "asset"}
"""Stands in the tombstones of branches and tags that were deleted with their asset."""


def asset_cell(asset: AssetId) -> Cell:
    """Return the cell that tells an asset's folder and name by its id."""
    return Cell("asset", (asset,))


def evaluations_cell(model: AssetId) -> Cell:
    """Return the cell of the tree of a model's evaluations."""
    return Cell("evaluations", (model,))


class _CameBackError(Exception):
    """What was about to be deleted is there again."""


class Assets:
    """The assets of a store, acted on by ``user``."""

    def __init__(self, repo: Repository, folders: Folders, user: str) -> None:
        self._repo = repo
        self._folders = folders
        self._user = user

    def create(
        self,
        folder: FolderRecord | FolderId,
        name: str,
        *,
        labels: Iterable[str] = (),
        description: str = "",
    ) -> AssetRecord:
        """Make an asset with a branch ``main`` at its first commit. The folder's owner owns it.

        Raises:
            NotFoundError: there is no such folder.
            AlreadyExistsError: the folder holds an asset of this name.
            InvalidInputError: name, labels or description are malformed.
        """
        from ahstore.versions.adding.commits import create_asset_root  # start-up

        home = self._folders.get_by_id(folder.id if isinstance(folder, FolderRecord) else folder)
        check_name(name, what=home.type)
        asset = AssetId(new_entity_id())
        listing = Listing(asset, check_labels(labels), check_description(description), time.time())
        catalogue = Catalogue(self._repo, catalogue_cell(home.id))

        def propose(view: View, session: WriteSession) -> Changes:
            _refuse_closed(view, home)
            if view.find(name) is not None:
                raise _taken(home, name)
            return [(name, make_row(session, name, listing.to_value()))]

        if catalogue.view().find(name) is not None:
            raise _taken(home, name)
        cell = asset_cell(asset)
        with self._repo.session([cell, catalogue.cell]) as session:
            session.swap(cell, -1, {"folder": str(home.id), "id": str(asset), "name": name})
            create_asset_root(self._repo, asset, committer=self._user)
            try:
                catalogue.change(session, propose)
            except (AlreadyExistsError, NotFoundError):
                # Another was first. What was made for this one goes, unless that fails too.
                with suppress(AhError):
                    self.tombstone(asset)
                raise
        return _record(home, name, listing)

    def find(self, folder: FolderRecord | FolderId, name: str) -> AssetRecord | None:
        """Return the asset of this name in a folder.

        Raises:
            NotFoundError: there is no such folder.
        """
        home = self._home(folder)
        row = self._view(home.id).find(check_name(name, what=home.type))
        return None if row is None else self._record(home, row)

    def get(self, folder: FolderRecord | FolderId, name: str) -> AssetRecord:
        """Return what `find` does.

        Raises:
            NotFoundError: there is no such folder, or no such asset in it.
        """
        home = self._home(folder)
        found = self.find(home, name)
        if found is None:
            raise NotFoundError(
                f"there is no {home.type} {name!r} in folder {home.path}", name=name
            )
        return found

    def get_by_id(self, asset: AssetId) -> AssetRecord:
        """Return the asset of this id.

        Raises:
            NotFoundError: there is none.
        """
        home = self._home_of(asset)
        row = self._row_by_id(self._view(home.id), asset)
        if row is None:
            raise _no_such_id(asset)
        return self._record(home, row)

    def list(self, folder: FolderRecord | FolderId) -> list[AssetRecord]:
        """Return the assets in a folder, by name.

        Raises:
            NotFoundError: there is no such folder.
        """
        home = self._home(folder)
        return [self._record(home, row) for row in self._view(home.id).scan()]

    def update(
        self,
        asset: AssetId,
        *,
        name: str | None = None,
        labels: Iterable[str] | None = None,
        description: str | None = None,
    ) -> AssetRecord:
        """Change what is given and return the asset as it is then.

        Raises:
            NotFoundError: there is no such asset.
            AlreadyExistsError: its folder holds one of the new name.
            InvalidInputError: name, labels or description are malformed.
        """
        home = self._home_of(asset)
        edit = Edit.check(home.type, name, labels, description)
        made: list[AssetRecord] = []

        def propose(view: View, session: WriteSession) -> Changes:
            row = self._row_by_id(view, asset)
            if row is None:
                raise _no_such_id(asset)
            key = edit.name or row[KEY]
            if key != row[KEY] and view.find(key) is not None:
                raise _taken(home, key)
            listing = self._listing(row)
            made.append(_record(home, key, edit.apply(listing)))
            return edit.changes(session, row[KEY], key, listing)

        cell = asset_cell(asset)
        catalogue = Catalogue(self._repo, catalogue_cell(home.id))
        with self._repo.session([cell, catalogue.cell]) as session:
            catalogue.change(session, propose)
            if edit.name is not None:
                # The rename is done; a hint not updated only makes look-ups by id slower.
                with suppress(AhError):
                    session.update(cell, self._new_hint)
        return made[-1]

    def delete(self, asset: AssetId) -> None:
        """Delete an asset with its branches, tags and evaluations.

        Deleting again what was left half way by a crash finishes it.

        Raises:
            NotFoundError: there is no such asset.
        """
        home = FolderId(parse_stored_id(self._hint(asset)["folder"]))
        catalogue = Catalogue(self._repo, catalogue_cell(home))

        def propose(view: View, _: WriteSession) -> Changes:
            row = self._row_by_id(view, asset)
            return [] if row is None else [(row[KEY], None)]

        with self._repo.session([catalogue.cell]) as session:
            catalogue.change(session, propose)
        # Deleted. What fails from here on leaves rubbish and nothing that can be seen.
        with suppress(AhError):
            self.tombstone(asset, gone=self.absence(home, asset))

    def tombstone_all(self, view: View, gone: Callable[[], bool]) -> None:
        """Delete what belongs to the assets of a closed catalogue; ``gone`` as for `tombstone`."""
        for row in view.scan():
            self.tombstone(AssetId(self._listing(row).id), gone=gone)

    def tombstone(self, asset: AssetId, *, gone: Callable[[], bool] | None = None) -> None:
        """Delete the cells of an asset that no catalogue names; its own last, to find them by.

        ``gone`` is asked after each cell was read: once the asset is there again, nothing more is
        deleted. Who brings it back touches every cell after that, so a tombstone that was asked
        for before comes too late.
        """

        def check(_: View) -> None:
            if gone is not None and not gone():
                raise _CameBackError

        self._repo.kill(ref_cell(asset, MAIN), why=WITH_ASSET, still=gone)
        for cell in self._repo.cells.list("ref", asset):
            self._repo.kill(cell, why=WITH_ASSET, still=gone)
        # Closed even if never made: who evaluates the model at this moment then fails.
        with suppress(_CameBackError):
            Catalogue(self._repo, evaluations_cell(asset)).close(check)
        self._repo.kill(asset_cell(asset), still=gone)

    def absence(self, home: FolderId, asset: AssetId) -> Callable[[], bool]:
        """Return what tells whether a folder's catalogue lacks an asset, looked up when it changed."""
        catalogue = Catalogue(self._repo, catalogue_cell(home))
        seen, answer = -2, True

        def gone() -> bool:
            nonlocal seen, answer
            view = catalogue.view()
            if view.version.number != seen:
                answer = all(self._listing(row).id != asset for row in view.scan())
                seen = view.version.number
            return answer

        return gone

    def _home(self, folder: FolderRecord | FolderId) -> FolderRecord:
        return folder if isinstance(folder, FolderRecord) else self._folders.get_by_id(folder)

    def _home_of(self, asset: AssetId) -> FolderRecord:
        folder = FolderId(parse_stored_id(self._hint(asset)["folder"]))
        try:
            return self._folders.get_by_id(folder)
        except NotFoundError:
            raise _no_such_id(asset) from None

    def _view(self, folder: FolderId) -> View:
        return Catalogue(self._repo, catalogue_cell(folder)).view()

    def _hint(self, asset: AssetId) -> dict[str, Value]:
        version = self._repo.cells.read(asset_cell(asset))
        if version.state is not CellState.LIVE:
            raise _no_such_id(asset)
        return version.value

    def _row_by_id(self, view: View, asset: AssetId) -> Row | None:
        row = view.find(str(self._hint(asset).get("name")))
        if row is not None and self._listing(row).id == asset:
            return row
        # Renamed, and its cell not told yet: the writer died in between, or is about to.
        return next((row for row in view.scan() if self._listing(row).id == asset), None)

    def _new_hint(self, current: CellVersion, _: WriteSession) -> dict[str, Value] | None:
        if current.state is not CellState.LIVE:
            return None
        asset = AssetId(parse_stored_id(current.value["id"]))
        folder = FolderId(parse_stored_id(current.value["folder"]))
        row = self._row_by_id(self._view(folder), asset)
        if row is None or row[KEY] == current.value["name"]:
            return None
        return {**current.value, "name": row[KEY]}

    def _record(self, home: FolderRecord, row: Row) -> AssetRecord:
        return _record(home, row[KEY], self._listing(row))

    def _listing(self, row: Row) -> Listing:
        return Listing.from_value(read_row(self._repo, row))


def _record(home: FolderRecord, name: str, listing: Listing) -> AssetRecord:
    return AssetRecord(
        id=AssetId(listing.id),
        folder=home.id,
        owner=home.owner,
        type=home.type,
        folder_name=home.name,
        name=name,
        labels=listing.labels,
        description=listing.description,
        created=listing.created,
    )


def _refuse_closed(view: View, home: FolderRecord) -> None:
    if view.closed:
        raise NotFoundError(f"folder {home.path} was deleted meanwhile", id=home.id)


def _taken(home: FolderRecord, name: str) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{home.type} {name!r} already exists in folder {home.path}", name=name
    )


def _no_such_id(asset: AssetId) -> NotFoundError:
    return NotFoundError(f"there is no asset with the id {asset}", id=asset)
