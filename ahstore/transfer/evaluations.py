"""Evaluations from one store to another: entries are written once, so both sides are united.

Only rows that differ are read. Each is checked as evaluations are, and goes only where its two
commits are complete, since a store keeps what its evaluations name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ahstore.codec.canonical import Value
from ahstore.hub.assets import evaluations_cell
from ahstore.hub.catalogue import Catalogue, Changes, View
from ahstore.hub.evaluation_rows import EvaluationReader
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.records import AssetRecord
from ahstore.ids import AssetId, CommitId, PageId
from ahstore.objects.diff import diff
from ahstore.objects.page import KEY
from ahstore.objects.tree import Row, Tree
from ahstore.versions.readahead import ReadAhead
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


def new_rows(
    source: Repository, root: PageId | None, here: Repository, view: View
) -> Iterator[Row]:
    """Yield the rows of the tree ``root`` of the source that ``view`` has not.

    Raises:
        CorruptError: a page is damaged or malformed.
    """
    if root is None:
        return
    if view.root is None:
        yield from Tree(ReadAhead(source), root).scan()
        return
    for row, known in diff(source, root, here, view.root):
        if row is not None and known is None:
            yield row


class Measured(NamedTuple):
    """The commits that evaluations name: they are worth nothing without both."""

    model: CommitId
    dataset: AssetId
    dataset_commit: CommitId


class Evaluations:
    """The evaluations of a model at the source that are not here.

    Args:
        source: has them.
        root: of their tree, None if there are none.
        here: is to get them.
        model: as it is at the source.
    """

    def __init__(
        self, source: Repository, root: PageId | None, here: Repository, model: AssetRecord
    ) -> None:
        self._source = source
        self._root = root
        self._here = here
        self._reader = EvaluationReader(model, lambda _, path: path)
        self._catalogue = Catalogue(here, evaluations_cell(model.id))

    def measured(self) -> set[Measured]:
        """Return what they were measured on.

        Raises:
            CorruptError: a page is malformed, or a row is no evaluation.
        """
        view = self._catalogue.view()
        return {measured for _, _, measured in self._new(view)}

    def unite(self, session: WriteSession, may_have: Callable[[Measured], bool]) -> int:
        """Add those of which ``may_have`` says that both commits are here; return how many.

        Raises:
            CorruptError: as ``measured``.
        """
        added = 0

        def propose(view: View, session: WriteSession) -> Changes:
            nonlocal added
            changes: Changes = [
                (key, make_row(session, key, value))
                for key, value, measured in self._new(view)
                if may_have(measured)
            ]
            added = len(changes)
            return changes

        if self._root is not None:
            self._catalogue.change(session, propose)
        return added

    def _new(self, view: View) -> Iterator[tuple[str, Value, Measured]]:
        for row in new_rows(self._source, self._root, self._here, view):
            value = read_row(self._source, row)
            found = self._reader.read(row[KEY], value)
            measured = Measured(found.model_commit, found.dataset, found.dataset_commit)
            yield row[KEY], value, measured
