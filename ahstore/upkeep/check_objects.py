"""Checking objects: from every kept version of every cell down to the chunks.

A walk like gc's marking that does not stop at what is wrong: it takes it down and goes on. What
pages say of the pages below (rows, bytes, last key) is compared when all have been read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from struct import Struct

from ahstore.codec.digests import sha256
from ahstore.errors import AhError, CorruptError, InvalidInputError, NotFoundError
from ahstore.ids import Address, LeaseId, PageId, parse_entity_id
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, MD5, REF_BYTES, REFS
from ahstore.objects.page import COUNT, KEY, PAGE_ID, WEIGHT, InnerRow, Page, Row
from ahstore.packs.place import KINDS, Kind
from ahstore.storage.cells import Cell, CellState
from ahstore.storage.contract import MissingError
from ahstore.storage.lease_record import LeaseRecord
from ahstore.storage.paths import version_name, version_number
from ahstore.upkeep.blobs import read_blobs
from ahstore.upkeep.cell_walk import CELLS, cell_of
from ahstore.upkeep.census import Census, wrong_lengths
from ahstore.upkeep.damage import Damage, FsckReport
from ahstore.upkeep.marking import AnyAddress, Leaf, Marker
from ahstore.upkeep.roots import has_history, needs_of
from ahstore.upkeep.sorted_keys import KeySorter
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository

_COUNTS = Struct(">QQ")
_CLAIM_BYTES = 32 + _COUNTS.size + 16
MAX_WEIGHT = 2**64 - 1
LEASE = "lease"
_REFS_BYTES = 160
FILE_BYTES = 16 + 1 + 1 + _REFS_BYTES


class Checker(Marker):
    """Marks everything, and takes down what can't be read. ``files`` collects what to hash."""

    def __init__(
        self,
        repo: Repository,
        report: FsckReport,
        *,
        scratch: str | None = None,
        monitor: Monitor,
        files: KeySorter | None = None,
    ) -> None:
        super().__init__(repo, scratch=scratch, monitor=monitor)
        self._report = report
        self._bad: set[tuple[Kind, Address]] = set()
        self._files = files
        self._claims = KeySorter(_CLAIM_BYTES, scratch)
        self._facts = KeySorter(_CLAIM_BYTES, scratch)
        self._lengths = KeySorter(REF_BYTES, scratch)

    def compare(self) -> None:
        """Report the pages that are not what the pages above say of them."""
        with self._claims.finish() as claims, self._facts.finish() as facts:
            for claim in claims:
                page = PageId(Address(claim[:32]))
                if (Kind.PAGE, page) not in self._bad and claim not in facts:
                    self._report.damages.append(
                        Damage(
                            "tree",
                            f"page {page.hex()} is not what the page above says of it",
                            kind=Kind.PAGE,
                            address=page,
                        )
                    )

    def check_lengths(self, census: Census) -> None:
        """Report the chunks that are not as long as the files say."""
        with self._lengths.finish() as claims:
            for chunk, length in wrong_lengths(census, claims):
                self._take_down(
                    Kind.CHUNK,
                    Address(chunk),
                    CorruptError(f"chunk {chunk.hex()} does not have {length} bytes"),
                )

    def report_missing(self, keys: list[bytes]) -> None:
        """Report blobs that are in no pack which can be read."""
        for key in keys:
            kind, address = KINDS[key[-1]], Address(key[:-1])
            name = f"{kind.name.lower()} {address.hex()}"
            self._take_down(kind, address, NotFoundError(f"{name} is in no pack that can be read"))

    def _enter(
        self,
        page_id: PageId,
        data: bytes,
        level: int | None,
        levels: defaultdict[int, KeySorter],
        leaf: Leaf,
    ) -> Page:
        page = super()._enter(page_id, data, level, levels, leaf)
        if page.rows:
            self._facts.add(_claim(page.as_row(page_id)))
        if page.level:
            self._claims.update(map(_claim, page.rows))
        self._report.pages += 1
        return page

    def _mark_files(self, rows: list[Row]) -> None:
        super()._mark_files(rows)
        if self._files is not None:
            self._files.update(pack_file(row) for row in rows)

    def _mark_chunks(self, refs: bytes) -> None:
        super()._mark_chunks(refs)
        self._lengths.update(refs[at : at + REF_BYTES] for at in range(0, len(refs), REF_BYTES))

    def _try(self, kind: Kind, address: Address, action: Callable[[], object]) -> None:
        try:
            action()
        except (CorruptError, InvalidInputError) as error:
            self._take_down(kind, address, error)
        else:
            self._report.commits += kind is Kind.COMMIT

    def _read(
        self,
        kind: Kind,
        ids: Sequence[Address],
        owners: Mapping[AnyAddress, str],
    ) -> Iterator[tuple[Address, bytes]]:
        """Yield what can be read and makes sense; take down the rest."""
        left = dict.fromkeys(i for i in ids if (kind, i) not in self._bad)
        try:
            for address, data in read_blobs(self._repo, kind, list(left)):
                del left[address]
                yield address, data
        except (NotFoundError, CorruptError):
            names: dict[Address, str] = dict(owners.items())
            for address in left:
                owner = names.get(address, "")
                yield from self._read_one(kind, address, owner)

    def _read_one(
        self, kind: Kind, address: Address, owner: str
    ) -> Iterator[tuple[Address, bytes]]:
        try:
            found = list(read_blobs(self._repo, kind, [address]))
        except (NotFoundError, CorruptError) as error:
            self._take_down(kind, address, error, owner)
        else:
            yield from found

    def _take_down(self, kind: Kind, address: Address, error: AhError, owner: str = "") -> None:
        if (kind, address) in self._bad:
            return
        self._bad.add((kind, address))
        place = error.details.get("pack"), error.details.get("family")
        missing = isinstance(error, NotFoundError) or "packs" in error.details
        self._report.damages.append(
            Damage(
                "missing" if missing else "blob",
                f"{error} ({owner} needs it)" if owner else str(error),
                kind=kind,
                address=address,
                pack=place[0],  # type: ignore[arg-type]
                family=place[1],  # type: ignore[arg-type]
            )
        )


def _claim(row: InnerRow) -> bytes:
    """Return what a row says of a page, at a fixed width."""
    key = sha256(row[KEY].encode())
    page: bytes = row[PAGE_ID]
    return page + _COUNTS.pack(row[COUNT], min(row[WEIGHT], MAX_WEIGHT)) + key[:16]


def pack_file(row: Row) -> bytes:
    """Return what hashing a file takes, at a fixed width: MD5, level, references."""
    refs: bytes = row[REFS]
    md5: bytes = row[MD5]
    head = md5 + bytes((row[FLAGS] >> LEVEL_SHIFT, len(refs)))
    return head + refs.ljust(_REFS_BYTES, b"\0")


def unpack_file(record: bytes) -> tuple[bytes, int, bytes]:
    """Return MD5, level and references that ``pack_file`` packed."""
    return record[:16], record[16], record[18 : 18 + record[17]]


def check_cells(repo: Repository, checker: Checker, report: FsckReport, monitor: Monitor) -> None:
    """Read every version of every cell, and give what the kept ones need to the checker.

    What is damaged, in the wrong place, of another kind than its cell, or missing in the row of
    numbers is reported.
    """
    monitor.start("Checking cells")
    for folder, keys in groupby(
        repo.storage.list(CELLS), key=lambda key: key[: key.rfind("/") + 1]
    ):
        try:
            cell = cell_of(folder)
        except CorruptError as error:
            report.damages.append(Damage("cell", str(error), folder))
            continue
        names = [key[len(folder) :] for key in keys]
        _check_cell(repo, cell, [version_number(name) for name in names], checker, report)
        monitor.advance(files=len(names))
    monitor.finish()


def _check_cell(
    repo: Repository, cell: Cell, numbers: list[int], checker: Checker, report: FsckReport
) -> None:
    """Check one cell; ``numbers`` of its versions, newest first."""
    is_lease = cell.kind == LEASE
    if not is_lease and numbers != list(range(numbers[0], -1, -1)):
        report.damages.append(
            Damage("cell", f"versions of {cell} are missing below number {numbers[0]}", cell.folder)
        )
    kept = True
    newest: CellState | None = None
    for number in numbers:
        key = cell.folder + version_name(number)
        try:
            version = repo.cells.read_version(cell, number)
            needs = needs_of(cell, version)
            if is_lease:
                LeaseRecord.from_version(LeaseId(parse_entity_id(cell.key[0])), version)
        except MissingError:
            continue  # a lease that has ended meanwhile
        except AhError as error:
            report.damages.append(Damage("lease" if is_lease else "cell", str(error), key))
            continue
        report.cells += 1
        kept = kept and version.state is not CellState.EMPTIED
        if kept and version.state is CellState.LIVE:
            checker.add(needs, str(cell))
            # Only heads and catalogues have a history to ask for; of others the last value counts.
            kept = has_history(cell)
        newest = newest or version.state
    if newest is CellState.EMPTIED:
        report.damages.append(Damage("cell", f"the newest version of {cell} is empty", cell.folder))
