"""A deleted branch or tag brought back to where it was, as long as gc has not forgotten it.

Implements "Undelete" of docs/format/write-order.md.
"""

from __future__ import annotations

from ahstore.codec.canonical import Value
from ahstore.errors import AlreadyExistsError, ConflictError, NotFoundError
from ahstore.ids import AssetId
from ahstore.names import check_ref_name
from ahstore.storage.cells import CellState, CellVersion
from ahstore.versions.gc_plan import expired_below
from ahstore.versions.refs import Ref, RefKind, read_ref, ref_cell, ref_value
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


def undelete(repo: Repository, asset: AssetId, name: str, kind: RefKind | None, *, by: str) -> Ref:
    """Make a deleted branch or tag live again, at the commit it was at.

    ``kind``: which of both it has to have been; None: whichever it was.

    Raises:
        AlreadyExistsError: the name is in use.
        NotFoundError: there was none of this kind and name, or gc has taken it away.
    """
    what = kind or "branch or tag"
    cell = ref_cell(asset, check_ref_name(name, what=f"{what} name"))

    def change(current: CellVersion, _: WriteSession) -> dict[str, Value]:
        taken = read_ref(asset, name, current)
        if taken is not None:
            raise AlreadyExistsError(f"{taken.kind} {name!r} is not deleted", name=name)
        # The session holds its lease: a gc that has no plan yet waits for the outcome. One that has
        # is asked before the cell is read, for it may empty the cell at any moment.
        below = expired_below(repo.cells, repo.packs, cell)
        last = _last(repo, asset, name)
        if last is None and current.state is not CellState.DEAD:
            raise NotFoundError(f"there never was a {what} {name!r}", name=name)
        if last is None or last.number < below:
            raise NotFoundError(f"deleted {what} {name!r} is gone: gc has taken it away", name=name)
        if kind not in (None, last.kind):
            raise NotFoundError(f"{name!r} was a {last.kind} when it was deleted", name=name)
        return ref_value(last.kind, last.commit, by)

    made = read_ref(asset, name, repo.update(cell, change))
    if made is None:
        raise ConflictError(f"{what} {name!r} was deleted again meanwhile", name=name)
    return made


def _last(repo: Repository, asset: AssetId, name: str) -> Ref | None:
    """Return what the name was last, None if it never was anything or gc has emptied that."""
    versions = repo.cells.history(ref_cell(asset, name))
    return next((ref for each in versions if (ref := read_ref(asset, name, each))), None)
