"""Models side by side: what was measured of them, with the parameters they were trained with.

A line is one evaluation, of one commit of a model on one commit of a dataset; of several the newest
counts. Metrics are the numbers in an evaluation's results: those of ``metric`` by their names,
others as ``key.name``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahstore.errors import NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.measures import low_is_good, numbers_of
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.provenance.verdict import VERDICT_KEY
from ahstore.versions.history.log import log

MAX_METRICS = 1000


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
    params = _Trainings(hub)
    lines = [
        Line(record, numbers_of(record), params.of(record.model_commit))
        for record in records.values()
    ]
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


class _Trainings:
    """The parameters of the trainings that made commits, each read once."""

    def __init__(self, hub: Hub) -> None:
        self._repo = hub.repo
        self._known: dict[CommitId, Mapping[str, Any]] = {}

    def of(self, commit: CommitId) -> Mapping[str, Any]:
        """Return the parameters, ``{}`` for a commit that is gone or that no training made."""
        found = self._known.get(commit)
        if found is None:
            found = self._known[commit] = self._read(commit)
        return found

    def _read(self, commit: CommitId) -> Mapping[str, Any]:
        try:
            origin = find_origin(self._repo, commit, self._repo.read_commit(commit))
        except NotFoundError:
            return {}
        return origin.params if origin else {}


def _rank(line: Line, metric: str) -> tuple[bool, float, str]:
    value = line.metrics.get(metric, math.nan)
    if math.isnan(value):
        return True, 0.0, line.evaluation.model_ref
    return False, value if low_is_good(metric) else -value, line.evaluation.model_ref


def _differing_params(lines: Sequence[Line]) -> list[str]:
    # Lines of one commit have the very same mapping: few are different among very many.
    trainings = list({id(line.params): line.params for line in lines}.values())
    names = sorted({name for params in trainings for name in params})
    return [
        name
        for name in names
        if len({json.dumps(params.get(name), sort_keys=True) for params in trainings}) > 1
    ]
