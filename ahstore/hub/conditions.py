"""Conditions on what was measured, as people write them: ``accuracy``, ``accuracy>=0.9``, ``loss<1``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ahstore.errors import InvalidInputError
from ahstore.hub.measures import numbers_of
from ahstore.hub.records import EvaluationRecord

_WRITTEN = re.compile(r"([^<>=!]+?)\s*(?:(>=|<=|!=|==|=|>|<)\s*(\S+))?")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """That a metric was measured and, with ``comparison``, how it compares with ``limit``."""

    metric: str
    comparison: str = ""
    limit: float = 0.0

    def holds(self, record: EvaluationRecord) -> bool:
        """Tell whether it holds for the numbers in an evaluation's results."""
        value = numbers_of(record).get(self.metric)
        if value is None:
            return False
        return not self.comparison or _COMPARISONS[self.comparison](value, self.limit)


def parse_condition(text: str) -> Condition:
    """Return the condition that is written so.

    Raises:
        InvalidInputError: it is no condition.
    """
    found = _WRITTEN.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        metric, comparison, limit = found.groups()
        return Condition(metric, comparison or "", float(limit or 0))
    except ValueError:
        raise InvalidInputError(
            f"write a condition as accuracy, accuracy>=0.9 or loss<1, not {text[:100]!r}",
            value=text[:100],
        ) from None


def those_that_meet(
    records: Sequence[EvaluationRecord], conditions: Sequence[str]
) -> list[EvaluationRecord]:
    """Return the evaluations for which all of the conditions hold, in their order.

    Raises:
        InvalidInputError: one is no condition.
    """
    parsed = [parse_condition(text) for text in conditions]
    return [record for record in records if all(wanted.holds(record) for wanted in parsed)]
