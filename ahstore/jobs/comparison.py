"""Models side by side: what was measured of them, with the parameters they were trained with.

A line is one evaluation, of one commit of a model on one commit of a dataset; of several the newest
counts. Metrics are the numbers in an evaluation's results: those of ``metric`` by their names,
others as ``key.name``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahstore.errors import NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.origin import find_origin
from ahstore.jobs.verdict import VERDICT_KEY
from ahstore.versions.history.log import log

USUAL_KEY = "metric"
MAX_DEPTH = 8
MAX_METRICS = 1000

_LOW_IS_GOOD = re.compile(
    r"(^|[._-])(loss|error|err|mae|mse|rmse|nll|wer|cer|fid|perplexity|ppl)\d*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What to compare: a model, or one commit of it."""

    model: AssetRecord
    commit: CommitId | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One evaluation: ``metrics`` are numbers by name, ``params`` those of the model's training."""

    evaluation: EvaluationRecord
    metrics: Mapping[str, float]
    params: Mapping[str, Any]

    @property
    def commit(self) -> CommitId:
        """The model's commit."""
        return self.evaluation.model_commit


@dataclass(frozen=True, slots=True)
class Comparison:
    """Lines, and the names of metrics and parameters that any of them has, in a fixed order.

    ``params`` are only those that are not the same in all lines.
    """

    lines: list[Line]
    metrics: list[str]
    params: list[str]


def compare(
    hub: Hub,
    subjects: Iterable[Subject],
    *,
    dataset: AssetId | None = None,
    dataset_commit: CommitId | None = None,
    metrics: Sequence[str] = (),
    sort: str | None = None,
) -> Comparison:
    """Return the evaluations of these models, best first by ``sort``, else by model and newest first.

    Args:
        hub: of the store.
        subjects: models or commits of models.
        dataset: only evaluations on this dataset,
        dataset_commit: and on this commit of it.
        metrics: only these; all there are if none are given.
        sort: the metric to sort by; lines without it come last.

    Raises:
        NotFoundError: a model is gone, or no line has one of the metrics that are asked for.
    """
    records: dict[tuple[AssetId, CommitId, AssetId, CommitId], EvaluationRecord] = {}
    for subject in subjects:
        for record in hub.list_evaluations(subject.model, commit=subject.commit, dataset=dataset):
            if dataset_commit is not None and record.dataset_commit != dataset_commit:
                continue
            if set(record.results) != {VERDICT_KEY}:
                key = (record.model, record.model_commit, record.dataset, record.dataset_commit)
                records.setdefault(key, record)  # the newest comes first
    lines = [_line(hub, record) for record in records.values()]
    names = sorted({name for line in lines for name in line.metrics})
    for name in (*metrics, *([sort] if sort else [])):
        if name not in names:
            raise NotFoundError(f"no evaluation here has a metric {name!r}", name=name)
    if sort is not None:
        lines.sort(key=lambda line: _rank(line, sort))
    return Comparison(lines, list(metrics) or names[:MAX_METRICS], _differing_params(lines))


def along(hub: Hub, model: AssetRecord, head: CommitId, **options: Any) -> Comparison:
    """Return the evaluations of a history's commits, oldest commit first; options as `compare`."""
    order = {commit: number for number, (commit, _) in enumerate(log(hub.repo, head))}
    found = compare(hub, [Subject(model)], **options)
    lines = [line for line in found.lines if line.commit in order]
    lines.sort(key=lambda line: (-order[line.commit], line.evaluation.created))
    return Comparison(lines, found.metrics, _differing_params(lines))


def best(
    hub: Hub,
    model: AssetRecord,
    metric: str,
    *,
    dataset: AssetId | None = None,
    lowest: bool | None = None,
) -> Line:
    """Return the best evaluation of a model by a metric; of equal ones the oldest.

    ``lowest`` says whether low is good; by default the metric's name tells (``low_is_good``).

    Raises:
        NotFoundError: no evaluation of the model has the metric.
    """
    found = compare(hub, [Subject(model)], dataset=dataset, metrics=[metric])
    low = low_is_good(metric) if lowest is None else lowest
    lines = [line for line in found.lines if math.isfinite(line.metrics.get(metric, math.nan))]
    if not lines:
        raise NotFoundError(f"no evaluation of {model.path} has a number as {metric!r}")
    sign = 1 if low else -1
    return min(lines, key=lambda line: (sign * line.metrics[metric], line.evaluation.created))


def low_is_good(metric: str) -> bool:
    """Tell by a metric's name whether less of it is better: a loss, an error."""
    return _LOW_IS_GOOD.search(metric) is not None


def numbers_of(record: EvaluationRecord) -> dict[str, float]:
    """Return the numbers in an evaluation's results, by name."""
    found: dict[str, float] = {}
    for key, text in record.results.items():
        if key != VERDICT_KEY:
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                continue
            prefix = "" if key == USUAL_KEY and isinstance(value, dict) else key
            _collect(found, prefix, value, MAX_DEPTH)
    return found


def _collect(found: dict[str, float], name: str, value: Any, depth: int) -> None:
    if isinstance(value, dict) and depth:
        for key, item in value.items():
            _collect(found, f"{name}.{key}" if name else str(key), item, depth - 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            found[name] = float(value)
        except OverflowError:
            found[name] = math.inf if value > 0 else -math.inf


def _line(hub: Hub, record: EvaluationRecord) -> Line:
    try:
        commit = hub.repo.read_commit(record.model_commit)
    except NotFoundError:
        return Line(record, numbers_of(record), {})
    origin = find_origin(hub.repo, record.model_commit, commit)
    return Line(record, numbers_of(record), origin.params if origin else {})


def _rank(line: Line, metric: str) -> tuple[bool, float, str]:
    value = line.metrics.get(metric, math.nan)
    if math.isnan(value):
        return True, 0.0, line.evaluation.model_ref
    return False, value if low_is_good(metric) else -value, line.evaluation.model_ref


def _differing_params(lines: Sequence[Line]) -> list[str]:
    names = sorted({name for line in lines for name in line.params})
    return [
        name
        for name in names
        if len({json.dumps(line.params.get(name), sort_keys=True) for line in lines}) > 1
    ]
