"""A tree under one cell that is changed by compare-and-swap: catalogues, and evaluations of a model.

Owns reading the cell's root and swapping it for an edited one. What rows mean is said by
``records``; the cell's value is ``{"root": page id}`` (docs/format/hub.md). A cell that was never
made is an empty tree; one that was deleted is closed, until what it belongs to is brought back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import PageId, check_address
from ahstore.objects.edit import edit
from ahstore.objects.tree import Row, Tree, build
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.readahead import ReadAhead
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession, retried

ROOT = "root"

Changes = list[tuple[str, Row | None]]
"""Rows to put, by key; None takes the key away."""


@dataclass(frozen=True, slots=True)
class View:
    """The rows at one version of the cell."""

    repo: Repository
    version: CellVersion

    @property
    def closed(self) -> bool:
        """Whether the cell was deleted."""
        return self.version.state is CellState.DEAD

    @property
    def root(self) -> PageId | None:
        """The tree's root, None when there are no rows.

        Raises:
            CorruptError: the cell's value is something else.
        """
        if self.version.state is not CellState.LIVE:
            return None
        try:
            return PageId(check_address(self.version.value.get(ROOT)))
        except InvalidInputError:
            raise CorruptError("a catalogue's cell names no root") from None

    def find(self, key: str) -> Row | None:
        """Return the row of ``key``."""
        root = self.root
        return None if root is None else self.repo.tree(root).find(key)

    def scan(self, prefix: str = "") -> Iterator[Row]:
        """Yield the rows whose keys start with ``prefix``, in order, read in few large reads."""
        root = self.root
        if root is not None:
            yield from Tree(ReadAhead(self.repo, prefix), root).scan(prefix=prefix)

    def is_empty(self) -> bool:
        """Say whether there are no rows, from the root page alone."""
        root = self.root
        return root is None or self.repo.tree(root).count() == 0


class Catalogue:
    """One cell and its rows."""

    def __init__(self, repo: Repository, cell: Cell) -> None:
        self.cell = cell
        self._repo = repo

    def view(self) -> View:
        """Return the rows as they are now."""
        return View(self._repo, self._repo.cells.read(self.cell))

    def last_open(self) -> View | None:
        """Return the newest version that had rows, also of a closed catalogue."""
        for version in self._repo.cells.history(self.cell):
            if version.state is CellState.LIVE:
                return View(self._repo, version)
        return None

    def change(
        self, session: WriteSession, propose: Callable[[View, WriteSession], Changes]
    ) -> None:
        """Apply ``propose(view)`` to whatever rows win; it is asked again when a race is lost.

        ``session`` must name the cell. ``propose`` raises to give up, and returns no changes when
        nothing is to be done.
        """

        def swap(current: CellVersion, session: WriteSession) -> dict[str, Value] | None:
            view = View(self._repo, current)
            changes = propose(view, session)
            if not changes:
                return None
            return {ROOT: bytes(self._edit(view, changes, session))}

        session.update(self.cell, swap)

    def close(self, check: Callable[[View], None]) -> View:
        """Delete the cell at a version that ``check`` let pass; return that version.

        Of this and of changes that race with it, exactly one wins each number: a change either
        comes before and is seen by ``check``, or fails on a closed catalogue.
        """

        def attempt() -> View:
            view = self.view()
            if not view.closed:
                check(view)
                self._repo.cells.kill(self.cell, view.version.number)
            return view

        return retried(self._repo, self.cell, attempt)

    def _edit(self, view: View, changes: Changes, session: WriteSession) -> PageId:
        root = view.root
        ordered: Sequence[tuple[str, Row | None]] = sorted(changes, key=lambda change: change[0])
        if root is None:
            return build((row for _, row in ordered if row is not None), session)
        return edit(self._repo, root, ordered, session)
