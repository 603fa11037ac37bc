from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import InvalidInputError
from ahstore.hub.results import MAX_KEY_BYTES, MAX_RESULTS, MAX_RESULTS_BYTES, write_results


class Wrapped:
    """A scalar as NumPy and PyTorch give it."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


def test_a_metric_is_kept_as_the_text_that_json_writes() -> None:
    results = {"metric": {"loss": 1.4753540992736816, "accuracy": 0.9858}}
    assert write_results(results) == {"metric": '{"loss": 1.4753540992736816, "accuracy": 0.9858}'}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ([1e308 * 10], "[Infinity]"),
        (10**400, "1" + "0" * 400),
        (-(2**64), str(-(2**64))),
        (0.1, "0.1"),
        (1e-320, "1e-320"),
        (-0.0, "-0.0"),
        (None, "null"),
        (True, "true"),
        ("é\n", '"\\u00e9\\n"'),
        ("\udcff", '"\\udcff"'),
        ((1, 2), "[1, 2]"),
        ({"b": 1, "a": 2}, '{"b": 1, "a": 2}'),
        (Wrapped(0.5), "0.5"),
        ({"a": [Wrapped(3)]}, '{"a": [3]}'),
    ],
)
def test_values_that_measurements_bring(value: Any, text: str) -> None:
    # A diverged training reports NaN: that must be recorded, not lose the evaluation.
    assert write_results({"k": value}) == {"k": text}


def circular() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(100_000):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        {1, 2},
        object(),
        Wrapped,
        Wrapped(object()),
        {(1, 2): 3},
        1j,
        circular(),
        deep(),
        10**5000,
    ],
    ids=[
        "bytes",
        "set",
        "object",
        "class",
        "wrapped",
        "key",
        "complex",
        "circular",
        "deep",
        "long",
    ],
)
def test_what_is_not_json_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="the result 'k' is not JSON"):
        write_results({"k": value})


@pytest.mark.parametrize(
    "key",
    ["", " ", "a/b", "../a", "a\\b", "a\x00", "a\nb", "\udcff", "a" * (MAX_KEY_BYTES + 1), 3, None],
)
def test_other_keys_are_refused(key: Any) -> None:
    with pytest.raises(InvalidInputError, match="invalid key of a result") as caught:
        write_results({key: 1})
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize("key", ["metric", "top-1 accuracy", "混淆矩阵", ".hidden", "a.b"])
def test_keys_are_what_a_file_may_be_called(key: str) -> None:
    assert write_results({key: 1}) == {key: "1"}


def test_results_are_bounded() -> None:
    write_results({str(n): n for n in range(MAX_RESULTS)})
    with pytest.raises(InvalidInputError, match="the limit is"):
        write_results({str(n): n for n in range(MAX_RESULTS + 1)})
    with pytest.raises(InvalidInputError, match="the limit is"):
        write_results({"k": "x" * MAX_RESULTS_BYTES})


@pytest.mark.parametrize("results", [None, [], "metric", 3, [("a", 1)]])
def test_results_go_by_key(results: Any) -> None:
    with pytest.raises(InvalidInputError, match="values by key"):
        write_results(results)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_values_read_back(value: Any) -> None:
    assert json.loads(write_results({"k": value})["k"]) == value
