"""``ah diff``: what differs between two versions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from ahstore.cli import listings
from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json, emit_json_list
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.quantity import count, exact_size
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean, table

Record = Mapping[str, Any]
NONE = "Nothing differs"
KINDS = ("added", "modified", "renamed", "deleted")
INDENT = "    "


@click.command(cls=Verb)
@click.argument("old", type=PATH, metavar="ASSET:OLD")
@click.argument("new", metavar="NEW")
@click.argument("paths", metavar="[PATH]…", nargs=-1)
@click.option("--stat", is_flag=True, help="Only how many objects and bytes.")
@click.option("--name-only", is_flag=True, help="Only the paths.")
@click.option(
    "--deep", is_flag=True, help="Look into files: which tensors, arrays or columns differ."
)
@click.option("--values", is_flag=True, help="As --deep, and how far their values are apart.")
@click.option("-M", "--similar", is_flag=True, help="Find renamed objects that were changed, too.")
@click.option(
    "--similarity",
    type=click.IntRange(1, 100),
    default=50,
    metavar="PERCENT",
    help="How much of the content must be the same for -M (50).",
)
@click.option("--no-renames", is_flag=True, help="Show what moved as deleted and added.")
@click.option(
    "--rename-limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="Look for renames among at most so many differences (200000).",
)
@json_option
@pass_session
def diff(
    session: Session,
    old: str,
    new: str,
    paths: tuple[str, ...],
    stat: bool,
    name_only: bool,
    deep: bool,
    values: bool,
    similar: bool,
    similarity: int,
    no_renames: bool,
    rename_limit: int | None,
    as_json: bool,
) -> None:
    """Show what turns one version into another: NEW is a REF of the same asset, or ASSET:REF.

    With PATH only that object, or with 'sub/' what is in that folder. Local files are compared
    by 'ah status'.
    """
    if stat + name_only + (deep or values) > 1:
        raise click.UsageError("Give one of --stat, --name-only and --deep or --values.")
    if no_renames and (similar or rename_limit is not None):
        raise click.UsageError("--no-renames goes with neither -M nor --rename-limit.")
    store = session.store()
    before = store.version(old)
    after = store.version(new) if ":" in new else before.asset.version(new)
    limit = {} if rename_limit is None else {"rename_limit": rename_limit}
    found = before.diff(
        after,
        paths=paths,
        renames=not no_renames,
        similarity=similarity / 100 if similar else None,
        deep=deep,
        values=values,
        **limit,
    )
    if stat:
        _write_stat(session, found, as_json=as_json)
    elif name_only:
        _write_names(found, as_json=as_json)
    elif as_json:
        emit_json_list(found)
    else:
        _write_table(session, found)


def _write_names(found: Iterable[Record], *, as_json: bool) -> None:
    names = (record["path"] for record in found)
    if as_json:
        emit_json_list(names)
    else:
        emit(f"{clean(name)}\n" for name in names)


def _write_stat(session: Session, found: Iterable[Record], *, as_json: bool) -> None:
    """Write for each kind of change how many objects, and their bytes before and after."""
    totals = {kind: {"objects": 0, "old_size_bytes": 0, "size_bytes": 0} for kind in KINDS}
    for record in found:
        total = totals[record["change"]]
        total["objects"] += 1
        total["old_size_bytes"] += record["old_size_bytes"] or 0
        total["size_bytes"] += record["size_bytes"] or 0
    if as_json:
        emit_json(totals)
        return
    rows = [
        (
            kind,
            str(total["objects"]),
            exact_size(total["old_size_bytes"]),
            exact_size(total["size_bytes"]),
        )
        for kind, total in totals.items()
        if total["objects"]
    ]
    titles = ("CHANGE", "OBJECTS", "BYTES_BEFORE", "BYTES_AFTER")
    if rows:
        emit(table(titles, rows, right=titles[1:]))
    else:
        session.info(NONE)


def _write_table(session: Session, found: Iterable[Record]) -> None:
    shown: deque[Record] = deque()

    def rows() -> Iterator[tuple[str, str, str]]:
        for record in found:
            shown.append(record)
            yield record["change"], _path(record), listings.size_change(record)

    lines = table(("CHANGE", "PATH", "BYTES"), rows(), right=("BYTES",))
    title = next(lines)
    if not shown:
        session.info(NONE)
        return
    emit([title])
    emit(each for line in lines for each in (line, *_inside(shown.popleft())))


def _path(record: Record) -> str:
    path = clean(record["path"])
    if record["old_path"] is not None:
        path = f"{clean(record['old_path'])} -> {path}"
        if record["similarity"] < 1:
            path += f" ({record['similarity']:.0%})"
    elif record["what"] and "content" not in record["what"]:
        path += f" ({', '.join(record['what'])})"
    return path


def _inside(record: Record) -> Iterator[str]:
    """Yield the lines that go below an object: its parts that differ."""
    inside = record.get("inside")
    if inside is None:
        return
    if inside["note"]:
        yield f"{INDENT}{clean(inside['note'])}\n"
        return
    rows = [_part(part) for part in inside["parts"]]
    titles = ("CHANGE", "NAME", "TYPE", "SHAPE", "DIFFERENCE")
    if rows:
        lines = table(titles, rows)
        next(lines)
        yield from (INDENT + line for line in lines)
    yield f"{INDENT}{count(inside['unchanged'], NOUNS[inside['format']])} unchanged\n"


NOUNS = {
    "safetensors": "tensor",
    "npy": "array",
    "npz": "array",
    "pytorch": "record",
    "zip": "member",
    "parquet": "column",
}


def _part(part: Record) -> tuple[str, str, str, str, str]:
    return (
        part["change"],
        _turned(part["old_name"], part["name"]) or "",
        _turned(part["old_dtype"], part["dtype"]),
        _turned(_shape(part["old_shape"]), _shape(part["shape"])),
        _how_far(part),
    )


def _turned(old: str | None, new: str | None) -> str:
    sides = [clean(side) for side in (old, new) if side is not None]
    return " -> ".join(sides if old != new else sides[:1])


def _shape(shape: list[int] | None) -> str | None:
    return None if shape is None else "x".join(map(str, shape)) or "scalar"


def _how_far(part: Record) -> str:
    """Return what differs in a part, and how far values are apart."""
    values = part["values"]
    told = [clean(part["note"])] if part["note"] else []
    if values is None:
        what = ", ".join(part["what"])
        return "; ".join([what, *told] if what else told)
    told.append(f"{values['changed']} of {values['total']} differ")
    if values["l2"] is not None:
        told.append(f"L2 {values['l2']:.6g}, max {values['max']:.6g}")
    if values["not_finite"]:
        told.append(f"{values['not_finite']} not finite")
    return "; ".join(told)
