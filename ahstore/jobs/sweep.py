"""Sweeps: every combination of some parameters' values, and a branch's name for each."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ahstore.errors import InvalidInputError
from ahstore.names import check_ref_name

MAX_RUNS = 1000

MAX_BRANCH_LENGTH = 120

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_DOTS = re.compile(r"\.{2,}")


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the values, the last parameter changing fastest.

    Raises:
        InvalidInputError: a parameter has no value or one twice, or there are too many of them.
    """
    if not grid:
        raise InvalidInputError("a sweep needs a parameter with values")
    count = 1
    for name, values in grid.items():
        if isinstance(values, str) or not values:
            raise InvalidInputError(f"the sweep of {name!r} needs a list of values")
        texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
        if len(set(texts)) < len(texts):
            raise InvalidInputError(f"the sweep of {name!r} has a value twice")
        count *= len(values)
    if count > MAX_RUNS:
        raise InvalidInputError(f"a sweep of {count} runs, the limit is {MAX_RUNS}")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def branch_names(branch: str, points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a branch for each combination: ``BRANCH-lr-0.1-bs-32``; numbered if two were alike.

    Raises:
        InvalidInputError: a name would be malformed.
    """
    names: list[str] = []
    for point in points:
        name = "-".join([branch, *(f"{key}-{_text(value)}" for key, value in point.items())])
        name = _DOTS.sub(".", _NOT_IN_NAMES.sub("-", name))[:MAX_BRANCH_LENGTH]
        name = re.sub(r"(\.lock|[-.])+\Z", "", name)
        unique = (f"{name}-{number}" if number else name for number in itertools.count())
        names.append(next(found for found in unique if found not in names))
    return [check_ref_name(name, what="branch name") for name in names]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
