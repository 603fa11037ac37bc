"""``ah fsck``: check a store, and mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.exit_codes import DAMAGED
from ahstore.cli.lazy import Verb
from ahstore.cli.quantity import count, rough_size, short_id
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean

if TYPE_CHECKING:
    from ahstore.upkeep.damage import Damage, FsckReport, Use

EPILOG = """\
\b
Exit status 5: something is damaged or missing, and was not repaired.
"""


@click.command(cls=Verb, epilog=EPILOG)
@click.option(
    "--read-data",
    is_flag=False,
    flag_value="1/1",
    metavar="[N/T]",
    help="Read and verify every byte, or the N-th of T parts.",
)
@click.option(
    "--repair", is_flag=True, help="Set damaged packs aside, keeping all that is whole of them."
)
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="With --repair: fetch what is missing from another store.",
)
@json_option
@pass_session
def fsck(
    session: Session, read_data: str | None, repair: bool, source: str | None, as_json: bool
) -> int:
    """Check that everything is there and is what it should be."""
    report = session.store().fsck(
        read_data=read_data or False,
        repair=repair,
        source=source,
        monitor=session.monitor(),
    )
    if as_json:
        emit_json(report.to_dict())
    else:
        emit(line + "\n" for line in _lines(report))
    return 0 if report.clean else DAMAGED


def _lines(report: FsckReport) -> Iterator[str]:
    for damage in report.damages:
        yield from _tell(damage)
    yield (
        f"{count(report.packs, 'pack')}, {count(report.cells, 'version')} of cells, "
        f"{count(report.commits, 'commit')}, {count(report.pages, 'page')} checked"
    )
    if report.read_packs:
        yield f"{rough_size(report.bytes)} in {count(report.read_packs, 'pack')} and {count(report.files, 'file')} read"
    left = sum(not damage.repaired for damage in report.damages)
    if not report.damages:
        yield "No damage found"
    else:
        yield f"{count(len(report.damages), 'damage')} found, {left} not repaired"


def _tell(damage: Damage) -> Iterator[str]:
    where = f" ({damage.key})" if damage.key and damage.key not in damage.message else ""
    yield f"{damage.what}: {clean(damage.message)}{where}"
    for use in damage.uses:
        yield f"  {_name(use)}"
    if damage.repaired:
        yield f"  repaired: {damage.repaired}"


def _name(use: Use) -> str:
    commits = ", ".join(short_id(commit) for commit in use.commits)
    more = f" and {use.more} more" if use.more else ""
    path = f" {use.path}" if use.path else ""
    return clean(f"{use.asset}{path} in {commits}{more}")
