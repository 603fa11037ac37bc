"""A comparison as rows, CSV, bars for a terminal, and one HTML page. Text to text, no I/O."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from ahstore.hub.measures import low_is_good
from ahstore.jobs.provenance.comparison import Comparison, Line
from ahstore.jobs.provenance.html_page import page_end, page_start

SHORT_ID = 8
BAR_CELLS = 40
CHART_WIDTH = 640
BAR_HEIGHT = 18


def as_record(line: Line) -> dict[str, Any]:
    """Return a line as JSON has it."""
    record = line.evaluation
    return {
        "model": record.model_ref,
        "modelCommit": record.model_commit.hex(),
        "dataset": record.dataset_ref,
        "datasetCommit": record.dataset_commit.hex(),
        "evaluation": record.id,
        "run": record.run,
        "created": record.created,
        "metrics": dict(line.metrics),
        "params": dict(line.params),
    }


def titles(comparison: Comparison) -> list[str]:
    """Return the names of the columns of `cells`."""
    return ["MODEL", "COMMIT", "DATASET", *comparison.params, *comparison.metrics, "EVALUATION"]


def cells(comparison: Comparison, line: Line) -> list[str]:
    """Return a line's texts for people; a metric or parameter that it has not is ``-``.

    The last one is what ``ah why`` takes.
    """
    record = line.evaluation
    return [
        record.model_ref,
        record.model_commit.hex()[:SHORT_ID],
        f"{record.dataset_ref} @ {record.dataset_commit.hex()[:SHORT_ID]}",
        *(_param(line.params[name]) if name in line.params else "-" for name in comparison.params),
        *(number(line.metrics.get(name)) for name in comparison.metrics),
        record.id,
    ]


def number(value: float | None) -> str:
    """Return a number with six digits that count, ``-`` for none."""
    return "-" if value is None else f"{value:.6g}"


def _param(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_csv(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of a CSV file (RFC 4180), numbers in full."""
    names = [f"param.{name}" for name in comparison.params]
    head = ["model", "model_commit", "dataset", "dataset_commit", "evaluation"]
    yield _csv_line([*head, *names, *comparison.metrics])
    for line in comparison.lines:
        record = line.evaluation
        yield _csv_line(
            [
                record.model_ref,
                record.model_commit.hex(),
                record.dataset_ref,
                record.dataset_commit.hex(),
                record.id,
                *(_param(line.params[n]) if n in line.params else "" for n in comparison.params),
                *(repr(line.metrics[n]) if n in line.metrics else "" for n in comparison.metrics),
            ]
        )


def _csv_line(values: Sequence[str]) -> str:
    text = io.StringIO()
    # A spreadsheet takes what begins so for a formula, and would run it.
    safe = [
        f"'{v}" if v[:1] in "=@\t\r" or (v[:1] in "+-" and not _is_number(v)) else v for v in values
    ]
    csv.writer(text, lineterminator="\n").writerow(safe)
    return text.getvalue()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_bars(comparison: Comparison, metric: str) -> Iterator[str]:
    """Yield a line for each that has the metric: name, a bar from zero, the number."""
    lines = [line for line in comparison.lines if metric in line.metrics]
    labels = [_label(line) for line in lines]
    longest = max(map(len, labels), default=0)
    share = _shares([line.metrics[metric] for line in lines])
    yield metric
    for label, line, part in zip(labels, lines, share, strict=True):
        bar = "█" * round(part * BAR_CELLS)
        value = number(line.metrics[metric])
        yield f"  {label:<{longest}}  {bar:<{BAR_CELLS}}  {value}"


def _label(line: Line) -> str:
    """Return a version as commands take it, and how it was named: ``user/model/f/a:4f3a2b1c (main)``."""
    path, _, ref = line.evaluation.model_ref.partition(":")
    return f"{path}:{line.commit.hex()[:SHORT_ID]} ({ref})"


def _shares(values: Sequence[float]) -> list[float]:
    """Return each value's size as a share of the largest."""
    sizes = [abs(value) if math.isfinite(value) else 0.0 for value in values]
    largest = max(sizes, default=0.0) or 1.0
    return [size / largest for size in sizes]


def as_html(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of a page that needs nothing else: a table, and bars for each metric."""
    yield from page_start("Comparison")
    yield "<table><tr>"
    yield "".join(f"<th>{escape(title)}</th>" for title in titles(comparison)) + "</tr>"
    first_number = 3 + len(comparison.params)
    bests = {name: _best(comparison, name) for name in comparison.metrics}
    for line in comparison.lines:
        yield "<tr>"
        for column, text in enumerate(cells(comparison, line)):
            is_number = 0 <= column - first_number < len(comparison.metrics)
            name = comparison.metrics[column - first_number] if is_number else None
            is_best = name is not None and line.metrics.get(name) == bests[name]
            kind = f' class="n{" best" if is_best else ""}"' if name is not None else ""
            yield f"<td{kind}>{escape(text)}</td>"
        yield "</tr>"
    yield "</table>"
    for name in comparison.metrics:
        yield from _svg(comparison, name)
    yield from page_end()


def _best(comparison: Comparison, metric: str) -> float | None:
    values = [line.metrics[metric] for line in comparison.lines if metric in line.metrics]
    finite = [value for value in values if math.isfinite(value)]
    return (min if low_is_good(metric) else max)(finite, default=None)


def _svg(comparison: Comparison, metric: str) -> Iterator[str]:
    lines = [line for line in comparison.lines if metric in line.metrics]
    height = len(lines) * (BAR_HEIGHT + 4) + 4
    yield f"<h2>{escape(metric)}</h2>"
    yield f'<svg width="{CHART_WIDTH}" height="{height}" role="img" aria-label="{escape(metric)}">'
    parts = _shares([line.metrics[metric] for line in lines])
    for row, (line, part) in enumerate(zip(lines, parts, strict=True)):
        top = 4 + row * (BAR_HEIGHT + 4)
        label = f"{_label(line)}: {number(line.metrics[metric])}"
        width = round(part * CHART_WIDTH, 1)
        yield f'<rect y="{top}" width="{width}" height="{BAR_HEIGHT}" fill="#4a90d955"/>'
        yield f'<text x="6" y="{top + 13}">{escape(label)}</text>'
    yield "</svg>"
