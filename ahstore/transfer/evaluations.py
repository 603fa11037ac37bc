"""Evaluations from one store to another: entries are written once, so both sides are united.

Only rows that differ are read. Each is checked as evaluations are, and goes only where its model's
commit is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ahstore.hub.assets import evaluations_cell
from ahstore.hub.catalogue import Catalogue, Changes, View
from ahstore.hub.evaluation_rows import EvaluationReader
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.readahead import ReadAhead
from ahstore.hub.records import AssetRecord
from ahstore.ids import CommitId, PageId
from ahstore.objects.diff import diff
from ahstore.objects.page import KEY
from ahstore.objects.tree import Row, Tree
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


def evaluated(
    source: Repository, root: PageId | None, here: Repository, model: AssetRecord
) -> set[CommitId]:
    """Return the model's commits on which the source has evaluations that are not here.

    Raises:
        CorruptError: a page is malformed, or a row is no evaluation.
    """
    view = Catalogue(here, evaluations_cell(model.id)).view()
    reader = EvaluationReader(model, lambda _, path: path)
    rows = new_rows(source, root, here, view)
    return {reader.read(row[KEY], read_row(source, row)).model_commit for row in rows}


def unite(
    source: Repository,
    root: PageId | None,
    here: Repository,
    session: WriteSession,
    model: AssetRecord,
    *,
    may_have: Callable[[CommitId], bool],
) -> int:
    """Add the source's evaluations that are not here; return how many.

    Args:
        source: has them.
        root: of their tree, None if there are none.
        here: gets them.
        session: names the cell of the model's evaluations.
        model: as it is at the source.
        may_have: whether a commit of the model is here with all it needs.

    Raises:
        CorruptError: a row is no evaluation.
    """
    if root is None:
        return 0
    catalogue = Catalogue(here, evaluations_cell(model.id))
    reader = EvaluationReader(model, lambda _, path: path)
    added = 0

    def propose(view: View, session: WriteSession) -> Changes:
        nonlocal added
        changes: Changes = []
        for row in new_rows(source, root, here, view):
            value = read_row(source, row)
            if may_have(reader.read(row[KEY], value).model_commit):
                changes.append((row[KEY], make_row(session, row[KEY], value)))
        added = len(changes)
        return changes

    catalogue.change(session, propose)
    return added
