"""Curves of metrics as text for a terminal and as one HTML page. Text to text, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from ahstore.jobs.curves import Curve, Place, Plot
from ahstore.jobs.provenance.html_page import page_end, page_start

CHART_ROWS = 14
MIN_COLUMNS = 20
MARKS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SEVERAL = "+"
LABEL_CELLS = 11
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))

SVG_WIDTH, SVG_HEIGHT, SVG_MARGIN = 860, 300, 64
TICKS = 5
_COLORS = ("#4a90d9", "#d9634a", "#3aa76d", "#b06ad9", "#c9a227", "#3aa7a7", "#d94a90", "#808080")
_DASHES = ("", "6 3", "2 3")

Bounds = tuple[float, float, float, float]


def as_record(plot: Plot) -> dict[str, Any]:
    """Return a plot as JSON has it."""
    return {
        "metric": plot.metric,
        "runs": [
            {"run": name, "count": curve.count, "points": [list(place) for place in curve.points]}
            for name, curve in plot.curves.items()
        ],
    }


def number(value: float) -> str:
    """Return a number with six digits that count."""
    return f"{value:.6g}"


def as_text(plot: Plot, *, columns: int) -> Iterator[str]:
    """Yield the lines of a chart at most ``columns`` wide: of one run in dots, of several in letters."""
    width = max(columns - LABEL_CELLS - 2, MIN_COLUMNS)
    bounds = plot.bounds()
    curves = list(plot.curves.values())
    rows = _dotted(curves[0], bounds, width) if len(curves) == 1 else _lettered(plot, bounds, width)
    left, right, low, high = bounds
    labels = {0: number(high), CHART_ROWS - 1: number(low)}
    if low == high:
        labels = {CHART_ROWS // 2: number(low)}
    yield plot.metric
    for at, row in enumerate(rows):
        label = labels.get(at, "")
        yield f"{label:>{LABEL_CELLS}} ┤{row}"
    start, end = number(left), number(right)
    yield " " * (LABEL_CELLS + 1) + "└" + "─" * width
    yield " " * (LABEL_CELLS + 2) + start + f"{end:>{max(width - len(start), len(end) + 1)}}"
    for at, (name, curve) in enumerate(plot.curves.items()):
        mark = "" if len(curves) == 1 else f"{MARKS[at % len(MARKS)]} "
        yield f"  {mark}{name}: {_told(curve)}"


def _told(curve: Curve) -> str:
    values = [y for _, y in curve.points]
    return (
        f"last {number(values[-1])}, lowest {number(min(values))}, highest {number(max(values))},"
        f" {curve.count} value{'' if curve.count == 1 else 's'}"
    )


def _dotted(curve: Curve, bounds: Bounds, width: int) -> list[str]:
    """Draw a curve in braille, whose characters hold two by four dots."""
    cells = [[0] * width for _ in range(CHART_ROWS)]
    for x, y in _line(curve.points, bounds, width * 2, CHART_ROWS * 4):
        cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    return ["".join(chr(_BRAILLE + c) if c else " " for c in row).rstrip() for row in cells]


def _lettered(plot: Plot, bounds: Bounds, width: int) -> list[str]:
    """Draw several curves, a letter each; where they meet stands a plus."""
    cells = [[" "] * width for _ in range(CHART_ROWS)]
    for at, curve in enumerate(plot.curves.values()):
        mark = MARKS[at % len(MARKS)]
        for x, y in set(_line(curve.points, bounds, width, CHART_ROWS)):
            cells[y][x] = mark if cells[y][x] in (" ", mark) else SEVERAL
    return ["".join(row).rstrip() for row in cells]


def _line(
    points: Sequence[Place], bounds: Bounds, width: int, height: int
) -> Iterator[tuple[int, int]]:
    """Yield the dots of a line through these points, row 0 at the top."""
    left, right, low, high = bounds
    before: tuple[int, int] | None = None
    for x, y in points:
        here = (
            round(_share(x, left, right) * (width - 1)),
            round(_share(-y, -high, -low) * (height - 1)),
        )
        yield from _between(before or here, here)
        before = here


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        part = step / steps
        yield (
            round(start[0] + (end[0] - start[0]) * part),
            round(start[1] + (end[1] - start[1]) * part),
        )


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two, from 0 to 1; in the middle if there is no between."""
    if high == low:
        return 0.5
    # Halved first: the distance of the largest numbers there are is none.
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def as_html(plots: Sequence[Plot], *, title: str) -> Iterator[str]:
    """Yield the lines of a page that needs nothing else: a chart for each metric, a line for each run."""
    yield from page_start(title)
    names = list(dict.fromkeys(name for plot in plots for name in plot.curves))
    styles = {name: _stroke(at) for at, name in enumerate(names)}
    yield "<p>"
    for name in names:
        yield (
            f'<svg width="34" height="10"><line x1="2" y1="5" x2="32" y2="5" {styles[name]}/></svg>'
            f" {escape(name)} &nbsp; "
        )
    yield "</p>"
    for plot in plots:
        yield f"<h2>{escape(plot.metric)}</h2>"
        yield from _svg(plot, styles)
        yield from _table(plot)
    yield from page_end()


def _stroke(at: int) -> str:
    color = _COLORS[at % len(_COLORS)]
    dash = _DASHES[at // len(_COLORS) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{color}" stroke-width="1.5"{dashed}'


def _svg(plot: Plot, styles: dict[str, str]) -> Iterator[str]:
    bounds = plot.bounds()
    left, right, low, high = bounds
    yield (
        f'<svg width="{SVG_WIDTH}" height="{SVG_HEIGHT}" role="img"'
        f' aria-label="{escape(plot.metric)}">'
    )
    bottom, end = SVG_HEIGHT - 24, SVG_WIDTH - 12
    for tick in range(TICKS):
        part = tick / (TICKS - 1)
        y = round(bottom - part * (bottom - 10), 1)
        x = round(SVG_MARGIN + part * (end - SVG_MARGIN), 1)
        value, step = _at(part, low, high), _at(part, left, right)
        yield f'<line x1="{SVG_MARGIN}" x2="{end}" y1="{y}" y2="{y}" stroke="#8883"/>'
        yield f'<text x="{SVG_MARGIN - 6}" y="{y + 4}" text-anchor="end">{number(value)}</text>'
        yield f'<text x="{x}" y="{SVG_HEIGHT - 8}" text-anchor="middle">{number(step)}</text>'
    for name, curve in plot.curves.items():
        path = " ".join(
            f"{SVG_MARGIN + _share(x, left, right) * (end - SVG_MARGIN):.1f},"
            f"{bottom - _share(y, low, high) * (bottom - 10):.1f}"
            for x, y in curve.points
        )
        label = escape(f"{name}: {_told(curve)}")
        if len(curve.points) == 1:
            across, down = path.split(",")
            dot = f'<circle cx="{across}" cy="{down}" r="3" {styles[name]}>'
            yield f"{dot}<title>{label}</title></circle>"
        else:
            yield f'<polyline points="{path}" {styles[name]}><title>{label}</title></polyline>'
    yield "</svg>"


def _at(part: float, low: float, high: float) -> float:
    return low * (1 - part) + high * part


def _table(plot: Plot) -> Iterator[str]:
    yield "<table><tr><th>run</th><th>last</th><th>lowest</th><th>highest</th><th>values</th></tr>"
    for name, curve in plot.curves.items():
        values = [y for _, y in curve.points]
        cells = [number(v) for v in (values[-1], min(values), max(values))] + [str(curve.count)]
        shown = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        yield f"<tr><td>{escape(name)}</td>{shown}</tr>"
    yield "</table>"
