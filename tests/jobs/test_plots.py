"""Curves of metrics: thinned out without losing what matters, drawn as text and as a page."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.ids import EntityId, RunId, new_entity_id
from ahstore.jobs.curves import MAX_SPANS, Curve, Plot, plots_of, read_curves
from ahstore.jobs.logs import METRICS, LogWriter, recent_lines
from ahstore.jobs.provenance.comparison import Comparison
from ahstore.jobs.provenance.comparison_formats import as_html as comparison_page
from ahstore.jobs.provenance.plot_formats import CHART_ROWS, as_html, as_record, as_text
from ahstore.storage.memory import MemoryStorage
from tests.jobs.conftest import House


def curve(*values: float) -> Curve:
    made = Curve()
    for at, value in enumerate(values):
        made.add(at, value)
    return made


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=6000))
def test_no_peak_and_no_end_is_lost(values: list[float]) -> None:
    # A loss that explodes for one step, or a best value, must be seen in a plot of any length.
    points = curve(*values).points
    assert len(points) <= 4 * MAX_SPANS
    kept = [y for _, y in points]
    assert (kept[0], kept[-1]) == (values[0], values[-1])
    assert (min(kept), max(kept)) == (min(values), max(values))
    steps = [x for x, _ in points]
    assert steps == sorted(set(steps))
    assert all(values[int(x)] == y for x, y in points)
    if len(values) < MAX_SPANS:
        assert kept == values


def test_peaks_stay_where_they_are_in_a_long_run() -> None:
    long = Curve()
    peaks = {7: 50.0, 123_456: -9.0, 199_998: 70.0}
    for at in range(200_000):
        long.add(at, peaks.get(at, math.sin(at)))
    points = dict(long.points)
    assert len(points) <= 4 * MAX_SPANS
    assert long.count == 200_000
    assert {at: points[at] for at in peaks} == peaks
    # Points lie evenly over the whole run, not only where it began or ended.
    steps = sorted(points)
    assert max(b - a for a, b in pairwise(steps)) <= 4 * 200_000 / MAX_SPANS


def test_what_is_no_number_is_no_point() -> None:
    lines: list[dict[str, Any]] = [
        {"step": 1, "time": 5, "loss": 1, "name": "x"},
        {"step": 2, "loss": "nan", "acc": float("inf")},
        {"step": 3, "loss": 10**400, "ok": True},
        {"loss": 0.5},
        {"step": "nan", "loss": 0.25},
    ]
    curves = read_curves(lines)
    assert {name: found.points for name, found in curves.items()} == {
        "loss": [(1, 1), (1, 0.5), (2, 0.25)]
    }
    assert read_curves(lines, only=["acc"]) == {}


def test_a_curve_as_text() -> None:
    lines = list(as_text(Plot("loss", {"run-a": curve(0, 1, 2, 3)}), columns=40))
    assert lines[0] == "loss"
    assert all(len(line) <= 40 for line in lines[:-1])
    assert len(lines) == CHART_ROWS + 4
    rows = lines[1 : CHART_ROWS + 1]
    assert (rows[0].split()[0], rows[-1].split()[0]) == ("3", "0")
    # It rises to the right: each row's dots stand left of those above it.
    starts = [re.search("[⠁-⣿]", row).start() for row in rows]  # type: ignore[union-attr]
    assert starts == sorted(starts, reverse=True)
    assert lines[-1] == "  run-a: last 3, lowest 0, highest 3, 4 values"


def test_several_runs_in_one_chart() -> None:
    plot = Plot("loss", {"one": curve(0, 1), "two": curve(1, 0)})
    lines = list(as_text(plot, columns=50))
    chart = "".join(lines[1 : CHART_ROWS + 1])
    assert {"a", "b"} <= set(chart)
    assert lines[1].split("┤")[1].strip().startswith("b")
    assert lines[1].rstrip().endswith("a")
    assert "  a one: last 1, lowest 0, highest 1, 2 values" in lines


@given(st.dictionaries(st.text(max_size=5), st.lists(finite, min_size=1, max_size=9), min_size=1),
       st.text(max_size=9), st.integers(0, 300))  # fmt: skip
def test_anything_finite_can_be_drawn(
    runs: dict[str, list[float]], metric: str, columns: int
) -> None:
    plot = Plot(metric, {name: curve(*values) for name, values in runs.items()})
    assert list(as_text(plot, columns=columns))
    page = "".join(as_html([plot], title=metric))
    assert "nan" not in re.sub(r"<title>.*?</title>|>[^<]*<", "", page)
    json.dumps(as_record(plot), allow_nan=False)


class _Reading(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def read_page(lines: Any) -> _Reading:
    reading = _Reading()
    reading.feed("\n".join(lines))
    return reading


def test_a_page_runs_and_loads_nothing() -> None:
    # Names come from whoever wrote the code of a run, and the page is opened by others.
    evil = '"><script src="http://example.org/x"></script><img src=x onerror="a()">'
    plots = [Plot(evil, {evil: curve(1, 2), "other": curve(3)})]
    for page in (as_html(plots, title=evil), comparison_page(Comparison([], [], []))):
        reading = read_page(page)
        tags = {tag for tag, _ in reading.tags}
        assert not tags & {"script", "img", "link", "iframe", "a", "object"}
        attributes = {name for _, given in reading.tags for name in given}
        assert not {name for name in attributes if name.startswith("on")} | (
            attributes & {"src", "href"}
        )
        policy = [g["content"] for tag, g in reading.tags if tag == "meta" and "content" in g]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_a_page_has_a_line_for_each_run_and_a_chart_for_each_metric() -> None:
    runs = [("a", {"loss": curve(1, 2), "acc": curve(1, 2)}), ("b", {"loss": curve(3, 4)})]
    reading = read_page(as_html(list(plots_of(runs)), title="t"))
    assert [tag for tag, _ in reading.tags].count("polyline") == 3
    assert [tag for tag, _ in reading.tags].count("h2") == 2
    strokes = [given["stroke"] for tag, given in reading.tags if tag == "polyline"]
    assert strokes[0] != strokes[1]
    assert strokes[0] == strokes[2]


@pytest.mark.parametrize("max_bytes", [1, 30, 10_000])
def test_recent_lines_are_whole_and_the_last(max_bytes: int) -> None:
    # Looking at a run must not read the metrics of days.
    storage, run, now = MemoryStorage(), RunId(EntityId(new_entity_id())), [0.0]
    writer = LogWriter(storage, run, stream=METRICS, clock=lambda: now[0])
    for at in range(20):
        now[0] += 100
        writer.write(b'{"a": %d}\n' % at)
    writer.close()
    lines = recent_lines(storage, run, stream=METRICS, max_bytes=max_bytes)
    assert lines == [f'{{"a": {at}}}' for at in range(20)][-len(lines) :]
    assert len(lines) == {1: 1, 30: 3}.get(max_bytes, 20)


def test_the_metrics_of_a_run_are_plotted(house: House) -> None:
    code = """
import os
from ahstore import run
for step in range(5):
    run.log(step=step * 10, loss=1 / (step + 1))
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "m"), "w").write("m")
"""
    done = house.wait(house.train(code))
    curves = read_curves(house.jobs.metrics(done))
    assert curves["loss"].points == [(step * 10, 1 / (step + 1)) for step in range(5)]
    assert house.jobs.recent_metrics(done) == {"step": 40, "loss": 0.2}
