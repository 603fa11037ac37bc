"""Roots: what each version of each cell needs, by the cell's kind.

Owns the list of kinds. A kind that is not known here belongs to a later ahstore: then nothing may
be deleted, for nobody can say what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ahstore.errors import CorruptError, InvalidInputError, UnsupportedError
from ahstore.hub.catalogue import ROOT
from ahstore.ids import AssetId, CommitId, PageId, RunId, check_address, parse_entity_id
from ahstore.jobs.records import RunRecord
from ahstore.packs.place import Kind
from ahstore.storage.cells import Cell, CellState, CellVersion
from ahstore.versions.gc_plan import decode_plan
from ahstore.versions.refs import read_ref


@dataclass(frozen=True, slots=True)
class Needs:
    """What a version of a cell points to.

    Attributes:
        commits: with all of their history and content.
        catalogue: root of a tree whose rows may name records.
        evaluations: root of a tree whose rows name commits too.
        keys: single blobs: address and kind.
    """

    commits: tuple[CommitId, ...] = ()
    catalogue: PageId | None = None
    evaluations: PageId | None = None
    keys: tuple[bytes, ...] = ()


NOTHING = Needs()


def needs_of(cell: Cell, version: CellVersion) -> Needs:
    """Return what a version needs, so that it can be read.

    Raises:
        CorruptError: its value is not one of the cell's kind.
        UnsupportedError: the kind is not known.
    """
    read = _KINDS.get(cell.kind)
    if read is None:
        raise UnsupportedError(
            f"the store holds {cell}, of a kind that this version of ahstore does not know",
            cell=str(cell),
        )
    if version.state is not CellState.LIVE:
        return NOTHING
    try:
        return read(cell, version)
    except (CorruptError, InvalidInputError) as error:
        raise CorruptError(
            f"version {version.number} of {cell} can't be read: {error}", cell=str(cell)
        ) from error


def has_history(cell: Cell) -> bool:
    """Tell whether former values of a cell may be asked for: heads, and rows that were deleted."""
    return cell.kind in ("ref", "catalogue")


def _nothing(_cell: Cell, _version: CellVersion) -> Needs:
    return NOTHING


def _ref(cell: Cell, version: CellVersion) -> Needs:
    asset, name = cell.key
    ref = read_ref(AssetId(parse_entity_id(asset)), name, version)
    return Needs(commits=(ref.commit,)) if ref is not None else NOTHING


def _catalogue(_cell: Cell, version: CellVersion) -> Needs:
    return Needs(catalogue=PageId(check_address(version.value.get(ROOT))))


def _evaluations(_cell: Cell, version: CellVersion) -> Needs:
    return Needs(evaluations=PageId(check_address(version.value.get(ROOT))))


def _run(cell: Cell, version: CellVersion) -> Needs:
    record = RunRecord.from_version(RunId(parse_entity_id(cell.key[1])), version)
    commits = [record.spec.dataset.commit]
    if record.spec.checkpoint is not None:
        commits.append(record.spec.checkpoint.commit)
    if record.spec.code.changes is not None:
        commits.append(record.spec.code.changes.commit)
    # What a run that failed was about to publish was never published, or its branch needs it.
    if record.commit is not None and record.state in ("Committing", "Succeeded"):
        commits.append(record.commit)
    return Needs(commits=tuple(dict.fromkeys(commits)))


def _gc(_cell: Cell, version: CellVersion) -> Needs:
    plan = decode_plan(version)
    if not plan.is_pending:
        return NOTHING
    return Needs(keys=tuple(address + bytes([Kind.RECORD]) for address, _ in plan.tables))


_KINDS: dict[str, Callable[[Cell, CellVersion], Needs]] = {
    "asset": _nothing,
    "catalogue": _catalogue,
    "evaluations": _evaluations,
    "folder": _nothing,
    "gc": _gc,
    "index": _nothing,
    "lease": _nothing,
    "ref": _ref,
    "run": _run,
    "runname": _nothing,
}
