"""The metrics of a run as curves: each metric by step, in bounded memory however long it ran.

A curve keeps for each of some thousand spans of points the first, the lowest, the highest and the
last. When there are too many spans, neighbours are joined, so all are of one length. What is left out lies
between points that are shown: no peak, no dip and no end is lost (docs/how-to/plots.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ahstore.jobs.metrics import STEP, TIME, Point

MAX_SPANS = 1024
MAX_CURVES = 1000

Place = tuple[float, float]
"""A step and a value."""


@dataclass(slots=True)
class Curve:
    """One metric of one run, by ``step`` (without one: the how-many-eth value it is, from 0)."""

    count: int = 0
    _span: int = 1
    _spans: list[tuple[Place, ...]] = field(default_factory=list)
    _open: list[Place] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """Add a point; both numbers are finite."""
        self.count += 1
        self._open.append((x, y))
        if len(self._open) > 4:
            self._open[:] = _kept(self._open)
        if self.count % self._span == 0:
            self._spans.append(tuple(_kept(self._open)))
            self._open.clear()
            if len(self._spans) == MAX_SPANS:
                self._join()

    def _join(self) -> None:
        pairs = zip(self._spans[::2], self._spans[1::2], strict=True)
        self._spans = [tuple(_kept([*a, *b])) for a, b in pairs]
        self._span *= 2

    @property
    def points(self) -> list[Place]:
        """The points that are kept, in the order in which they were logged."""
        return [place for span in self._spans for place in span] + _kept(self._open)

    @property
    def last(self) -> float:
        """The last value."""
        return self.points[-1][1]


def _kept(places: Sequence[Place]) -> list[Place]:
    """Return of some points the first, the lowest, the highest and the last, in their order."""
    if len(places) <= 2:
        return list(places)
    values = [place[1] for place in places]
    low, high = values.index(min(values)), values.index(max(values))
    return [places[at] for at in sorted({0, low, high, len(places) - 1})]


def read_curves(points: Iterable[Point], *, only: Sequence[str] = ()) -> dict[str, Curve]:
    """Return the curve of each metric, or ``only`` of these, in the order in which they came.

    What is no finite number is no point; of more than a thousand metrics the first are taken.
    """
    curves: dict[str, Curve] = {}
    wanted = frozenset(only)
    for point in points:
        step = _number(point.get(STEP))
        for name, given in point.items():
            if name in (STEP, TIME) or (wanted and name not in wanted):
                continue
            value = _number(given)
            if value is None or (name not in curves and len(curves) >= MAX_CURVES):
                continue
            curve = curves.setdefault(name, Curve())
            curve.add(float(curve.count) if step is None else step, value)
    return curves


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class Plot:
    """One metric of several runs: ``curves`` by the run's name."""

    metric: str
    curves: dict[str, Curve]

    def bounds(self) -> tuple[float, float, float, float]:
        """Return the lowest and highest step, the lowest and highest value."""
        places = [place for curve in self.curves.values() for place in curve.points]
        xs, ys = [x for x, _ in places], [y for _, y in places]
        return min(xs), max(xs), min(ys), max(ys)


def plots_of(runs: Iterable[tuple[str, dict[str, Curve]]]) -> Iterator[Plot]:
    """Yield a plot for each metric that any of the runs has, in the order in which they come."""
    found: dict[str, dict[str, Curve]] = {}
    for name, curves in runs:
        for metric, curve in curves.items():
            found.setdefault(metric, {})[name] = curve
    for metric, curves in found.items():
        yield Plot(metric, curves)
