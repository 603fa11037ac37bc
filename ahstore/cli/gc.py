"""``ah gc``: give back the space of what nothing needs any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.quantity import count, parse_duration, rough_size
from ahstore.cli.session import Session, pass_session

if TYPE_CHECKING:
    from ahstore.upkeep.report import GcReport, Tally

EPILOG = """\
\b
Kept: what a branch, a tag, an evaluation or a run needs; and for 30 days the
former heads of branches, and what was deleted. Durations: 12h, 30d, 8w, 1y.
Others may commit, download and gc meanwhile; gc waits for those who write,
and can be interrupted at any time: the next one goes on.
"""


@click.command(cls=Verb, epilog=EPILOG)
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be deleted, and why.")
@click.option("--now", is_flag=True, help="Keep nothing for a while: no retention, no minimum age.")
@click.option(
    "--retention", metavar="TIME", help="Keep former heads and deleted things so long (30d)."
)
@click.option(
    "--keep-last",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Keep N former heads of each branch, however old.",
)
@click.option("--min-age", metavar="TIME", help="Leave packs alone that are younger (1h).")
@click.option("--no-repack", is_flag=True, help="Delete only whole packs; rewrite none.")
@click.option(
    "--wait", metavar="TIME", help="Give up after waiting so long for those who write (10m)."
)
@json_option
@pass_session
def gc(
    session: Session,
    dry_run: bool,
    now: bool,
    retention: str | None,
    keep_last: int,
    min_age: str | None,
    no_repack: bool,
    wait: str | None,
    as_json: bool,
) -> None:
    """Give back the space of what nothing needs any more."""
    times = {"retention": retention, "min_age": min_age, "wait": wait}
    given = {name: parse_duration(text) for name, text in times.items() if text is not None}
    report = session.store().gc(
        dry_run=dry_run,
        now=now,
        keep_last=keep_last,
        repack=not no_repack,
        monitor=session.monitor(),
        **given,
    )
    if as_json:
        emit_json(report.to_dict())
        return
    emit(line + "\n" for line in _lines(report))
    if report.missing:
        session.info("Something that is needed is missing: see 'ah fsck'")


def _lines(report: GcReport) -> list[str]:
    gone = [
        ("unneeded", report.unneeded),
        ("held twice", report.duplicates),
        ("unused parts of packs that are rewritten", report.rewritten),
    ]
    kept = [
        ("needed", report.live),
        ("unused parts of packs", report.waste),
        ("unneeded, but too young", report.young),
        ("in packs that can't be read: see 'ah fsck'", report.unreadable),
        ("came into use meanwhile", report.rescued),
    ]
    heading = "Would delete" if report.dry_run else "Deleted"
    lines = [f"{heading} {rough_size(report.reclaimed)}", *_table(gone), "Kept", *_table(kept)]
    for number, what in ((report.expired, "former value"), (report.orphans, "half deleted asset")):
        if number:
            lines.append(
                f"{count(number, what)} {'would go' if report.dry_run else 'went'} for good"
            )
    return lines


def _table(rows: list[tuple[str, Tally]]) -> list[str]:
    return [
        f"  {rough_size(tally.bytes):>10}  {count(tally.packs, 'pack'):>10}  {what}"
        for what, tally in rows
        if tally.packs
    ]
