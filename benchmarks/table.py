"""The table as Markdown and everything measured as JSON."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from benchmarks.measured import Results
from benchmarks.ours import NAME
from benchmarks.references import COPY, HASHLIB, MD5SUM, PACK_WRITE
from benchmarks.rows import IN_PROCESS, WHOLE, Goal, Row
from benchmarks.workloads import Sizes

REFERENCES = (MD5SUM, COPY, HASHLIB, PACK_WRITE)
# What md5sum took on the machine and in the hour in which the goals were set.
GOAL_MD5SUM_SECONDS = {"W1": 0.32, "W2": 1.65}


def markdown(results: Results, sizes: Sizes, rounds: int) -> str:
    """Return the tables: at the command line, in process, references."""
    peers = [name for name in results.tools() if name not in (NAME, *REFERENCES)]
    parts = [_head(results, sizes, rounds)]
    whole = [row for row in WHOLE if row.key in results.values]
    if whole:
        heads = ("", "what", "goal", NAME, "met", "÷ md5sum", "÷ cp+sync", "CPU s", "peak MiB",
                 "adds MiB", *peers)  # fmt: skip
        parts.append(_table(heads, [_whole(results, sizes, row, peers) for row in whole]))
        parts.append(_peers_added(results, whole, peers))
    inside = [row for row in IN_PROCESS if row.key in results.values]
    if inside:
        heads = ("", "in process", "goal", NAME, "met")
        parts.append(_table(heads, [_inside(results, sizes, row) for row in inside]))
    references = [name for name in REFERENCES if name in results.tools()]
    if references:
        keys = [
            row.key
            for row in WHOLE
            if any(n in results.values.get(row.key, {}) for n in references)
        ]
        lines = [
            [f"`{name}`", *(_shown(results.series(key, name, "seconds")) for key in keys)]
            for name in references
        ]
        parts.append(_table(("reference, seconds", *keys), lines))
    parts.append(_failures(results))
    return "\n".join(part for part in parts if part)


def as_json(results: Results, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """Return all values with what is needed to read them."""
    goals = {
        row.key: [{**asdict(goal), "met": met(results, sizes, row, goal)} for goal in row.goals]
        for row in (*WHOLE, *IN_PROCESS)
        if row.key in results.values
    }
    return {
        "date": _now(),
        "machine": _machine(results),
        "sizes": asdict(sizes),
        "rounds": rounds,
        "rows": {row.key: row.what for row in (*WHOLE, *IN_PROCESS)},
        "goals": goals,
        "values": results.values,
        "failed": results.failed,
    }


def met(results: Results, sizes: Sizes, row: Row, goal: Goal) -> bool | None:
    """Say whether ours reached a goal; None: not measured, or not at the goals' sizes."""
    value = results.median(row.key, NAME, goal.measure)
    if value is None or not sizes.full:
        return None
    return value <= goal.limit


def pace(results: Results) -> float | None:
    """Return this run's ``md5sum`` over the one of the hour in which the goals were set."""
    factors = [
        statistics.median(series) / GOAL_MD5SUM_SECONDS[key]
        for key in GOAL_MD5SUM_SECONDS
        if (series := results.series(key, MD5SUM, "seconds"))
    ]
    return statistics.mean(factors) if factors else None


def _head(results: Results, sizes: Sizes, rounds: int) -> str:
    lines = [
        f"{_now()} · {_machine(results)}",
        "",
        _sizes(sizes, rounds),
    ]
    if not sizes.full:
        lines.append("The sizes are not those of the goals, so none is judged.")
    elif (factor := pace(results)) is not None:
        lines.append(
            f"`md5sum` took {factor:.2f} times what it took when the goals were set; in brackets "
            "what a missed goal in seconds would be at that pace."
        )
    return "\n".join(lines) + "\n"


def _sizes(sizes: Sizes, rounds: int) -> str:
    return (
        f"{sizes.files:,} files of 4 KiB, one file of {sizes.large_mib} MiB, {sizes.tiny:,} of 200 B, "
        f"{sizes.objects:,} objects, {sizes.writers} × {sizes.commits} commits; rounds: {rounds}. "
        "Seconds: median (least–greatest), with process start and `sync` of what was left to it."
    )


def _whole(results: Results, sizes: Sizes, row: Row, peers: Collection[str]) -> list[str]:
    return [
        row.key,
        row.what,
        _goals(row),
        _shown(results.series(row.key, NAME, "seconds")),
        _verdict(results, sizes, row),
        _ratio(results, row, MD5SUM),
        _ratio(results, row, COPY),
        _number(results.median(row.key, NAME, "CPU s"), 2),
        _number(results.median(row.key, NAME, "peak MiB"), 0),
        _number(results.median(row.key, NAME, "adds MiB"), 1),
        *(_number(results.median(row.key, peer, "seconds"), 2) for peer in peers),
    ]


def _inside(results: Results, sizes: Sizes, row: Row) -> list[str]:
    measures = results.values[row.key].get(NAME, {})
    shown = [
        f"{_shown(values)} {'s' if measure == 'seconds' else measure}"
        for measure, values in measures.items()
    ]
    return [row.key, row.what, _goals(row), ", ".join(shown), _verdict(results, sizes, row)]


def _peers_added(results: Results, rows: Sequence[Row], peers: Sequence[str]) -> str:
    keys = [row.key for row in rows if row.key in ("W1", "W2", "W3", "W4", "W9", "W9b")]
    if not peers or not keys:
        return ""
    lines = [
        [name, *(_pair(results, key, name) for key in keys)] for name in (NAME, *peers)
    ]  # fmt: skip
    return _table(("adds MiB / peak MiB", *keys), lines)


def _pair(results: Results, key: str, name: str) -> str:
    added = results.median(key, name, "adds MiB")
    peak = results.median(key, name, "peak MiB")
    return "" if added is None else f"{added:.1f} / {peak:.0f}"


def _goals(row: Row) -> str:
    return ", ".join(map(str, row.goals))


def _verdict(results: Results, sizes: Sizes, row: Row) -> str:
    verdicts = [(goal, met(results, sizes, row, goal)) for goal in row.goals]
    known = [(goal, verdict) for goal, verdict in verdicts if verdict is not None]
    if not known:
        return ""
    missed = [goal for goal, verdict in known if not verdict]
    if not missed:
        return "yes"
    return "**no**: " + ", ".join(_missed(results, row, goal) for goal in missed)


def _missed(results: Results, row: Row, goal: Goal) -> str:
    value = results.median(row.key, NAME, goal.measure)
    assert value is not None
    factor = pace(results)
    if factor is None or goal.measure not in ("seconds", "ms"):
        return f"{value:.3g} {goal.measure}"
    return f"{value:.3g} {goal.measure} [{value / factor:.3g}]"


def _ratio(results: Results, row: Row, to: str) -> str:
    ratios = results.ratios(row.key, NAME, to)
    return _shown(ratios) if ratios else ""


def _shown(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = statistics.median(values)
    digits = 2 if middle < 10 else 1
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(heads)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rule, *lines))


def _failures(results: Results) -> str:
    lines = [f"{name} failed at {', '.join(what)}." for name, what in results.failed.items()]
    return "\n".join(lines)


def _now() -> str:
    return datetime.now(tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _machine(results: Results) -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}, "
        f"{results.file_system}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    )
