"""Conditions on what was measured, as they are written with ``ah ls evaluation -w``."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import InvalidInputError
from ahstore.hub.conditions import Condition, parse_condition, those_that_meet
from ahstore.hub.evaluations import NewEvaluation
from ahstore.hub.hub import Hub

GOOD = {
    "accuracy": Condition("accuracy"),
    " accuracy >= 0.9 ": Condition("accuracy", ">=", 0.9),
    "loss<1": Condition("loss", "<", 1.0),
    "confusion.top1>1e-3": Condition("confusion.top1", ">", 0.001),
    "epoch=5": Condition("epoch", "=", 5.0),
    "val loss!=-1": Condition("val loss", "!=", -1.0),
    "loss<inf": Condition("loss", "<", math.inf),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_is_written_is_meant(text: str) -> None:
    assert parse_condition(text) == GOOD[text]


@pytest.mark.parametrize("text", ["", "  ", ">1", "loss<", "loss<one", "a<1<2", "loss=>1", "a b <"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    # Read as the name of a metric that nothing has, it would silently find nothing.
    with pytest.raises(InvalidInputError, match="write a condition as"):
        parse_condition(text)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        parse_condition(text)


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ([], [0, 1, 2, 3]), (["loss"], [0, 1, 2]), (["loss>=1"], [1, 2]), (["loss>1"], [2]),
        (["loss<=1"], [0, 1]), (["loss<1"], [0]), (["loss=1"], [1]), (["loss==1"], [1]),
        (["loss!=1"], [0, 2]), (["loss>0", "loss<2"], [1]), (["other"], [3]), (["none"], []),
    ],
)  # fmt: skip
def test_those_that_meet(conditions: list[str], found: list[int], hub: Hub) -> None:
    model = hub.create_asset(hub.create_folder("model", "f").id, "m")
    data = hub.create_asset(hub.create_folder("dataset", "f").id, "d")
    results = [{"metric": {"loss": n}} for n in range(3)] + [{"metric": {"other": 1}}]
    records = hub.create_evaluations(
        model, [NewEvaluation("main", data, "main", result) for result in results]
    )
    assert [records.index(record) for record in those_that_meet(records, conditions)] == found
