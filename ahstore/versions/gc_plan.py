"""The gc cell: what gc is about to delete, as writers, undelete and other gcs read it.

Implements docs/format/gc.md, "The gc cell". Writers need the condemned packs; who brings a deleted
cell back needs to know whether its old versions expire; a gc that finds a plan finishes it. Plans
are made and carried out by ``upkeep``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

from ahstore.codec import canonical
from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import Address, PackId, check_address, parse_pack_id
from ahstore.packs.place import Place
from ahstore.packs.reader import PackReader
from ahstore.storage.cells import Cell, Cells, CellState, CellVersion

GC_CELL = Cell("gc", ("main",))

Phase: TypeAlias = Literal["open", "final", "done"]
PHASES: tuple[Phase, ...] = ("open", "final", "done")


class Mark(NamedTuple):
    """What a plan says of a cell.

    Attributes:
        number: its newest version when gc marked it; -1 if it had none.
        below: live bodies of versions below this number expire. 0: none does.
    """

    number: int
    below: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A version of the gc cell that holds a plan.

    Attributes:
        number: of the version, for compare-and-swap.
        phase: ``open``: condemned, may be rescued; ``final``: agreed, being deleted; ``done``.
        packs: condemned, or in the final phase to be deleted.
        marks: by cell folder, those that stand in the cell itself.
        tables: where records with further marks lie.
    """

    number: int
    phase: Phase
    packs: tuple[PackId, ...]
    marks: Mapping[str, Mark]
    tables: tuple[tuple[Address, Place], ...] = ()

    @property
    def is_pending(self) -> bool:
        """Whether something remains to be done for it."""
        return self.phase != "done"

    def to_value(self) -> dict[str, Value]:
        """Return the value of the gc cell."""
        return {
            "phase": self.phase,
            "packs": [str(pack) for pack in self.packs],
            "marks": encode_marks(self.marks),
            "tables": [[bytes(address), place.to_value()] for address, place in self.tables],
        }

    def all_marks(self, reader: PackReader) -> dict[str, Mark]:
        """Return the marks of all cells.

        Raises:
            MissingError: the plan is done meanwhile, and its records are gone.
            CorruptError: a record is damaged.
        """
        marks = dict(self.marks)
        for address, place in self.tables:
            marks.update(decode_marks(canonical.decode(reader.read(address, place, trusted=False))))
        return marks


def encode_marks(marks: Mapping[str, Mark]) -> dict[str, Value]:
    """Return the form that marks are stored in."""
    return {folder: [mark.number, mark.below] for folder, mark in marks.items()}


def decode_marks(value: Value) -> dict[str, Mark]:
    """Return marks as they were stored.

    Raises:
        CorruptError: it is something else.
    """
    if not isinstance(value, dict):
        raise _not_a_plan("its marks are no map")
    marks = {}
    for folder, mark in value.items():
        if not isinstance(mark, list) or [*map(type, mark)] != [int, int]:
            raise _not_a_plan(f"the mark of {folder!r}")
        marks[folder] = Mark(cast("int", mark[0]), cast("int", mark[1]))
    return marks


def read_plan(cells: Cells) -> Plan | None:
    """Return the newest plan, also one that is done; None if there never was one.

    Raises:
        CorruptError: the gc cell is damaged.
    """
    version = cells.read(GC_CELL)
    return decode_plan(version) if version.state is CellState.LIVE else None


def decode_plan(version: CellVersion) -> Plan:
    """Return the plan that a live version of the gc cell holds.

    Raises:
        CorruptError: it holds something else.
    """
    value = version.value
    phase, packs, tables = value.get("phase"), value.get("packs"), value.get("tables", [])
    if phase not in PHASES or not isinstance(packs, list) or not isinstance(tables, list):
        raise _not_a_plan("its fields")
    try:
        return Plan(
            number=version.number,
            phase=phase,
            packs=tuple(parse_pack_id(pack) for pack in packs),
            marks=decode_marks(value.get("marks", {})),
            tables=tuple(_table(item) for item in tables),
        )
    except InvalidInputError as error:
        raise _not_a_plan(str(error)) from error


def expired_below(cells: Cells, reader: PackReader, cell: Cell) -> int:
    """Return below which number a pending plan lets the versions of a cell expire; 0: none.

    Whoever brings an old version back to life asks this under his lease and *before* he reads the
    cell: a gc that is done in between has emptied what expired, and he sees that then.
    """
    mark = pending_marks(cells, reader, unless=cell).get(cell.folder)
    return 0 if mark is None else mark.below


def pending_marks(
    cells: Cells, reader: PackReader, *, unless: Cell | None = None
) -> Mapping[str, Mark]:
    """Return what a pending plan says of all cells, for who brings many back; as `expired_below`.

    Only what stands in the gc cell itself, if that says something of the cell ``unless``.
    """
    while True:
        plan = read_plan(cells)
        if plan is None or not plan.is_pending:
            return {}
        if not plan.tables or (unless is not None and unless.folder in plan.marks):
            return plan.marks
        try:
            return plan.all_marks(reader)
        except (LookupError, CorruptError):
            if read_plan(cells) == plan:
                raise
            # It is done meanwhile, and its records are gone.


def _table(item: Value) -> tuple[Address, Place]:
    if not isinstance(item, list) or len(item) != 2:
        raise _not_a_plan("a table")
    return check_address(item[0]), Place.from_value(item[1])


def _not_a_plan(what: str) -> CorruptError:
    return CorruptError(f"the gc cell holds no plan that this program knows: {what}")
