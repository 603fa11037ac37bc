"""Folders and assets that come from another store, with the ids they have there.

Owns giving them their place in the catalogues; their commits, refs and evaluations are brought by
``transfer``, before an asset gets its name here. Write order: docs/format/hub.md, "Adopt".
"""

from __future__ import annotations

from contextlib import suppress

from ahstore.codec.canonical import Value
from ahstore.errors import AlreadyExistsError, ConflictError, NotFoundError
from ahstore.hub.assets import asset_cell, evaluations_cell
from ahstore.hub.catalogue import ROOT, Catalogue, Changes, View
from ahstore.hub.folders import ROOT_CELL, catalogue_cell, folder_cell
from ahstore.hub.hub import Hub
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.records import AssetRecord, FolderRecord, Listing
from ahstore.ids import EntityId, FolderId, new_entity_id
from ahstore.objects.tree import Row, build
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


def find_home(hub: Hub, folder: FolderRecord) -> FolderRecord | None:
    """Return the folder that is here what ``folder`` is elsewhere: of its id, else of its name."""
    try:
        return hub.get_folder_by_id(folder.id)
    except NotFoundError:
        return hub.find_folder(folder.type, folder.name, owner=folder.owner)


def adopt_folder(hub: Hub, folder: FolderRecord) -> FolderRecord:
    """Return the folder that is here what ``folder`` is elsewhere, made if there is none.

    It keeps its id, owner, labels and description; an id that was used here before gives way to a
    new one, since ids are never used again.
    """
    repo = hub.repo
    for _ in range(2):
        home = find_home(hub, folder)
        if home is not None:
            return home
        folder_id = _free_id(repo, folder.id)
        key = folder.path
        listing = Listing(folder_id, folder.labels, folder.description, folder.created)

        def propose(view: View, session: WriteSession) -> Changes:
            row = view.find(key)  # noqa: B023  called at once
            if row is not None and not _is_closed(repo, row):
                return []  # another made it meanwhile
            if any(_id_of(repo, row) == folder_id for row in view.scan()):  # noqa: B023
                return []  # another did, under the name that it had then
            return [(key, make_row(session, key, listing.to_value()))]  # noqa: B023

        cell = folder_cell(folder_id)
        hint: dict[str, Value] = {"id": str(folder_id), "key": key}
        with repo.session([cell, ROOT_CELL]) as session:
            session.update(cell, lambda current, _: _unless_same(current, hint))  # noqa: B023
            Catalogue(repo, ROOT_CELL).change(session, propose)
    home = find_home(hub, folder)
    if home is None:
        raise ConflictError(f"folder {folder.path} was deleted while it was made", id=folder.id)
    return home


def _free_id(repo: Repository, folder: FolderId) -> FolderId:
    """Return the id, or a new one if a folder of this id has been deleted here."""
    state = repo.cells.read(catalogue_cell(folder)).state
    return FolderId(new_entity_id()) if state in (CellState.LIVE, CellState.DEAD) else folder


def _is_closed(repo: Repository, row: Row) -> bool:
    return Catalogue(repo, catalogue_cell(FolderId(_id_of(repo, row)))).view().closed


def _id_of(repo: Repository, row: Row) -> EntityId:
    return Listing.from_value(read_row(repo, row)).id


def _unless_same(current: CellVersion, value: dict[str, Value]) -> dict[str, Value] | None:
    same = current.state is CellState.LIVE and current.value == value
    return None if same else value


def _unless_open(current: CellVersion, session: WriteSession) -> dict[str, Value] | None:
    return {ROOT: bytes(build((), session))} if current.state is CellState.DEAD else None


class AssetAdoption:
    """Makes an asset of another store one of this store's, under its own id.

    The caller's session names ``cells`` and the cells of the refs; he brings the refs between
    ``begin`` and ``finish``.
    """

    def __init__(self, hub: Hub, home: FolderRecord, asset: AssetRecord, name: str) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._home = home
        self._name = name
        self._listing = Listing(EntityId(asset.id), asset.labels, asset.description, asset.created)
        self._catalogue = Catalogue(hub.repo, catalogue_cell(home.id))
        self._id = asset.id

    @property
    def cells(self) -> list[Cell]:
        """The cells that are published to, but for the refs."""
        return [asset_cell(self._id), evaluations_cell(self._id), self._catalogue.cell]

    def check(self) -> None:
        """Refuse early what ``finish`` would refuse.

        Raises:
            AlreadyExistsError: the folder has another asset of this name.
            NotFoundError: the folder was deleted.
        """
        self._row(self._catalogue.view())

    def begin(self, session: WriteSession) -> None:
        """Say where the asset is to be found by its id, and open the evaluations of a deleted one.

        If it is there by now, at whatever place, that is left as it is.

        Raises:
            ConflictError: another is just bringing it here, to another place.
        """
        cell = asset_cell(self._id)
        value: dict[str, Value] = {
            "folder": str(self._home.id),
            "id": str(self._id),
            "name": self._name,
        }

        def change(current: CellVersion, session: WriteSession) -> dict[str, Value] | None:
            told = _unless_same(current, value)
            if told is None or current.state is not CellState.LIVE:
                return told
            busy = cell in session.held_by_others()
            with suppress(NotFoundError):
                self._hub.get_asset_by_id(self._id)
                return None
            if busy:
                raise ConflictError(
                    f"another is just bringing {self._home.type} {self._name!r} here, as "
                    f"{current.value.get('name')!r}: try again when it is there",
                    id=self._id,
                )
            return told

        session.update(cell, change)
        session.update(evaluations_cell(self._id), _unless_open)

    def finish(self, session: WriteSession) -> None:
        """Give the asset its name: the commit point.

        Raises:
            AlreadyExistsError: the folder has another asset of this name.
            NotFoundError: the folder was deleted.
        """

        def propose(view: View, session: WriteSession) -> Changes:
            if self._row(view) is not None:
                return []
            return [(self._name, make_row(session, self._name, self._listing.to_value()))]

        self._catalogue.change(session, propose)

    def _row(self, view: View) -> Row | None:
        """Return the row of the asset, None if its name is free."""
        if view.closed:
            raise NotFoundError(f"folder {self._home.path} was deleted meanwhile", id=self._home.id)
        row = view.find(self._name)
        if row is not None and _id_of(self._repo, row) != self._id:
            raise AlreadyExistsError(
                f"folder {self._home.path} has another {self._home.type} {self._name!r}: "
                "rename one of the two, or say by which path this one is to go",
                name=self._name,
                id=_id_of(self._repo, row),
            )
        if row is None:
            row = next((row for row in view.scan() if _id_of(self._repo, row) == self._id), None)
        return row
