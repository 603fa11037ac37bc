"""Folders: their catalogue, made, found, changed, deleted.

Owns the catalogue ``root`` (owner/type/name → folder) and the cells ``folder/<id>``, which only
say where to look a folder up by its id. What is in a folder is the business of ``assets``; here
its catalogue is only closed, which is the commit point of deleting the folder.
Write order: docs/format/hub.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from ahstore.codec.canonical import Value
from ahstore.errors import AhError, AlreadyExistsError, NotEmptyError, NotFoundError
from ahstore.hub.catalogue import Catalogue, Changes, View
from ahstore.hub.edits import Edit
from ahstore.hub.labels import check_description, check_labels
from ahstore.hub.paths import AssetType, check_type
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.records import FolderRecord, Listing, parse_folder_key, parse_stored_id
from ahstore.ids import FolderId, new_entity_id
from ahstore.names import check_name
from ahstore.objects.page import KEY
from ahstore.objects.tree import Row
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession

ROOT_CELL = Cell("catalogue", ("root",))


def folder_cell(folder: FolderId) -> Cell:
    """Return the cell that tells a folder's key by its id."""
    return Cell("folder", (folder,))


def catalogue_cell(folder: FolderId) -> Cell:
    """Return the cell of the catalogue of a folder's assets."""
    return Cell("catalogue", (folder,))


class Folders:
    """The folders of a store, acted on by ``user``, who owns those he makes."""

    def __init__(self, repo: Repository, user: str) -> None:
        self._repo = repo
        self._user = user
        self._root = Catalogue(repo, ROOT_CELL)

    def create(
        self, type_: str, name: str, *, labels: Iterable[str] = (), description: str = ""
    ) -> FolderRecord:
        """Make a folder of the user's.

        Raises:
            AlreadyExistsError: the user has one of this kind and name.
            InvalidInputError: kind, name, labels or description are malformed.
        """
        folder = FolderId(new_entity_id())
        key = folder_key(self._user, check_type(type_), check_name(name, what="folder"))
        listing = Listing(folder, check_labels(labels), check_description(description), time.time())
        self._refuse_taken(self._root.view(), key)

        def propose(view: View, session: WriteSession) -> Changes:
            self._refuse_taken(view, key)
            return [(key, make_row(session, key, listing.to_value()))]

        cell = folder_cell(folder)
        with self._repo.session([cell, ROOT_CELL]) as session:
            session.swap(cell, -1, {"id": str(folder), "key": key})
            try:
                self._root.change(session, propose)
            except AlreadyExistsError:
                self._repo.kill(cell)
                raise
        return _record(key, listing)

    def find(self, type_: str, name: str, *, owner: str | None = None) -> FolderRecord | None:
        """Return the folder of this kind and name, the user's own if no owner is given."""
        key = folder_key(owner or self._user, check_type(type_), check_name(name, what="folder"))
        row = self._root.view().find(key)
        return None if row is None else self._open_record(row)

    def get(self, type_: str, name: str, *, owner: str | None = None) -> FolderRecord:
        """Return what `find` does.

        Raises:
            NotFoundError: there is none; it tells where one of this name is, if others have one.
        """
        found = self.find(type_, name, owner=owner)
        if found is None:
            raise self._not_found(type_, name, owner or self._user)
        return found

    def get_by_id(self, folder: FolderId) -> FolderRecord:
        """Return the folder of this id.

        Raises:
            NotFoundError: there is none.
        """
        row = self._row_by_id(self._root.view(), folder)
        found = None if row is None else self._open_record(row)
        if found is None:
            raise _no_such_id(folder)
        return found

    def list(self, type_: str | None = None, *, owner: str | None = None) -> list[FolderRecord]:
        """Return the folders, of all kinds and owners or of one, by owner, kind and name."""
        wanted = None if type_ is None else check_type(type_)
        prefix = "" if owner is None else check_name(owner, what="user") + "/"
        found = map(self._open_record, self._root.view().scan(prefix))
        return [record for record in found if record and wanted in (None, record.type)]

    def update(
        self,
        folder: FolderId,
        *,
        name: str | None = None,
        labels: Iterable[str] | None = None,
        description: str | None = None,
    ) -> FolderRecord:
        """Change what is given and return the folder as it is then.

        Raises:
            NotFoundError: there is no such folder.
            AlreadyExistsError: its owner has one of the new name.
            InvalidInputError: name, labels or description are malformed.
        """
        edit = Edit.check("folder", name, labels, description)
        made: list[FolderRecord] = []

        def propose(view: View, session: WriteSession) -> Changes:
            row = self._row_by_id(view, folder)
            if row is None or self._is_closed(folder):
                raise _no_such_id(folder)
            owner, type_, old = parse_folder_key(row[KEY])
            key = folder_key(owner, type_, edit.name or old)
            if key != row[KEY]:
                self._refuse_taken(view, key)
            listing = self._listing(row)
            made.append(_record(key, edit.apply(listing)))
            return edit.changes(session, row[KEY], key, listing)

        cell = folder_cell(folder)
        with self._repo.session([cell, ROOT_CELL]) as session:
            self._root.change(session, propose)
            if edit.name is not None:
                # The rename is done; a hint not updated only makes look-ups by id slower.
                with suppress(AhError):
                    session.update(cell, self._new_hint)
        return made[-1]

    def delete(
        self,
        folder: FolderId,
        *,
        force: bool,
        tombstone: Callable[[View, Callable[[], bool]], None],
    ) -> None:
        """Delete a folder; with ``force`` also when assets are in it.

        Its catalogue is closed first, so that of this and a creation in it exactly one succeeds.
        Deleting again what was left half way by a crash finishes it.

        Args:
            folder: which.
            force: whether it may hold assets.
            tombstone: called with the last rows of the catalogue, to delete what they name, and
                with what tells whether the folder is still gone.

        Raises:
            NotFoundError: there is no such folder.
            NotEmptyError: it holds assets and ``force`` was not said.
        """
        if self._repo.cells.read(folder_cell(folder)).state is not CellState.LIVE:
            raise _no_such_id(folder)

        def check(view: View) -> None:
            if not force and not view.is_empty():
                record = self.get_by_id(folder)
                raise NotEmptyError(
                    f"folder {record.path} is not empty: delete its assets first, or force it",
                    id=folder,
                )

        catalogue = Catalogue(self._repo, catalogue_cell(folder))
        catalogue.close(check)
        # Deleted. What fails from here on leaves rubbish and nothing that can be seen.
        with suppress(AhError):
            self._take_out(folder)
            self.finish_deletion(folder, tombstone)

    def finish_deletion(
        self, folder: FolderId, tombstone: Callable[[View, Callable[[], bool]], None]
    ) -> None:
        """Delete the cells that belong to a folder that is not there, its own last."""

        def gone() -> bool:
            return not self.is_there(folder)

        last = Catalogue(self._repo, catalogue_cell(folder)).last_open()
        if last is not None:
            tombstone(last, gone)
        self._repo.kill(folder_cell(folder), still=gone)

    def is_there(self, folder: FolderId) -> bool:
        """Tell whether there is a folder of this id."""
        if self._is_closed(folder):
            return False
        return self._row_by_id(self._root.view(), folder) is not None

    def _take_out(self, folder: FolderId) -> None:
        """Free the name of a closed folder."""

        def propose(view: View, _: WriteSession) -> Changes:
            # Brought back at this moment, it is not closed, and its row has been written anew.
            row = self._row_by_id(view, folder) if self._is_closed(folder) else None
            return [] if row is None else [(row[KEY], None)]

        with self._repo.session([ROOT_CELL]) as session:
            self._root.change(session, propose)

    def _row_by_id(self, view: View, folder: FolderId) -> Row | None:
        hint = self._repo.cells.read(folder_cell(folder))
        key = hint.value.get("key")
        if not isinstance(key, str):
            return None
        row = view.find(key)
        if row is not None and self._listing(row).id == folder:
            return row
        # Renamed, and its cell not told yet: the writer died in between, or is about to.
        return next((row for row in view.scan() if self._listing(row).id == folder), None)

    def _new_hint(self, current: CellVersion, _: WriteSession) -> dict[str, Value] | None:
        if current.state is not CellState.LIVE:
            return None
        row = self._row_by_id(self._root.view(), FolderId(parse_stored_id(current.value["id"])))
        return (
            None
            if row is None or row[KEY] == current.value["key"]
            else {**current.value, "key": row[KEY]}
        )

    def _refuse_taken(self, view: View, key: str) -> None:
        row = view.find(key)
        # A closed folder is deleted: who closed it died before he freed the name.
        if row is not None and not self._is_closed(FolderId(self._listing(row).id)):
            owner, type_, name = parse_folder_key(key)
            raise AlreadyExistsError(
                f"{type_} folder {name!r} of user {owner} already exists", name=name
            )

    def _is_closed(self, folder: FolderId) -> bool:
        return Catalogue(self._repo, catalogue_cell(folder)).view().closed

    def _open_record(self, row: Row) -> FolderRecord | None:
        record = _record(row[KEY], self._listing(row))
        return None if self._is_closed(record.id) else record

    def _listing(self, row: Row) -> Listing:
        return Listing.from_value(read_row(self._repo, row))

    def _not_found(self, type_: str, name: str, owner: str) -> NotFoundError:
        others = [found.path for found in self.list(type_) if found.name == name][:3]
        hint = f"; there is {', '.join(others)}" if others else ""
        return NotFoundError(
            f"there is no {type_} folder {name!r} of user {owner}{hint}", name=name
        )


def folder_key(owner: str, type_: AssetType, name: str) -> str:
    """Return a folder's key in the root catalogue.

    Raises:
        InvalidInputError: the owner is malformed.
    """
    return f"{check_name(owner, what='user')}/{type_}/{name}"


def _record(key: str, listing: Listing) -> FolderRecord:
    owner, type_, name = parse_folder_key(key)
    return FolderRecord(
        id=FolderId(listing.id),
        owner=owner,
        type=type_,
        name=name,
        labels=listing.labels,
        description=listing.description,
        created=listing.created,
    )


def _no_such_id(folder: FolderId) -> NotFoundError:
    return NotFoundError(f"there is no folder with the id {folder}", id=folder)
