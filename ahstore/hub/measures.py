"""The numbers in evaluations' results, which of them are good when low, and the best of a model.

What ``@best:METRIC`` and its like mean (``paths.py`` has how they are written).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.records import EvaluationRecord

USUAL_KEY = "metric"
MAX_DEPTH = 8

_LOW_IS_GOOD = re.compile(
    r"(^|[._-])(loss|error|err|mae|mse|rmse|nll|wer|cer|fid|perplexity|ppl)\d*$", re.IGNORECASE
)


def numbers_of(record: EvaluationRecord) -> dict[str, float]:
    """Return the numbers in an evaluation's results: those of ``metric`` by name, else ``key.name``."""
    found: dict[str, float] = {}
    for key, text in record.results.items():
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


def low_is_good(metric: str) -> bool:
    """Tell by a metric's name whether less of it is better: a loss, an error."""
    return _LOW_IS_GOOD.search(metric) is not None


def best(
    records: Iterable[EvaluationRecord], metric: str, *, lowest: bool | None = None
) -> EvaluationRecord:
    """Return the best of these evaluations by a metric; of equal ones the oldest.

    ``lowest`` says whether low is good; None: the metric's name tells.

    Raises:
        NotFoundError: none has a number of this name.
        InvalidInputError: they are of several datasets, and so do not compare.
    """
    low = low_is_good(metric) if lowest is None else lowest
    found = [
        (value if low else -value, record.created, record.id, record)
        for record in records
        if math.isfinite(value := numbers_of(record).get(metric, math.nan))
    ]
    if not found:
        raise NotFoundError(f"no evaluation has a number as {metric!r}", name=metric)
    datasets = sorted({record.dataset_ref.partition(":")[0] for *_, record in found})
    if len(datasets) > 1:
        raise InvalidInputError(
            f"{metric!r} was measured on {len(datasets)} datasets, which do not compare: add one,"
            f" as in @best:{metric},{'/'.join(datasets[0].split('/')[2:])}",
            metric=metric,
        )
    return min(found)[3]
