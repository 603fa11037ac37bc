"""What the table says of figures: medians, paired ratios, goals."""

from __future__ import annotations

import pytest

from benchmarks.measured import Results
from benchmarks.rows import ROWS, Goal
from benchmarks.runner import Runner
from benchmarks.table import markdown, met
from benchmarks.tool import Tool
from benchmarks.workloads import Sizes


def results_of(row, **seconds):
    results = Results()
    for tool, values in seconds.items():
        for value in values:
            results.add(row, tool, {"seconds": value})
    return results


def test_a_ratio_pairs_the_rounds():
    # The ratio of the medians would be 1: a machine that slows down would hide a difference.
    results = results_of("W2", ahstore=[2.0, 4.0, 9.0], md5sum=[1.0, 4.0, 4.5])
    assert results.ratios("W2", "ahstore", "md5sum") == [2.0, 1.0, 2.0]
    assert results.median("W2", "ahstore", "÷ md5sum") == 2.0
    assert results.median("W2", "ahstore", "seconds") == 4.0


@pytest.mark.parametrize(("seconds", "expected"), [(1.4, True), (1.41, False)])
def test_goals_are_judged_at_full_size_only(seconds, expected):
    results = results_of("W2", ahstore=[seconds], md5sum=[1.0])
    goal = Goal("÷ md5sum", 1.4)
    assert met(results, Sizes(), ROWS["W2"], goal) is expected
    assert met(results, Sizes(files=5), ROWS["W2"], goal) is None
    assert met(results, Sizes(), ROWS["W3"], goal) is None


def test_a_missed_goal_shows_by_how_much():
    results = results_of("W1", ahstore=[1.0], md5sum=[0.64])
    assert "**no**: 1 seconds [0.5]" in markdown(results, Sizes(), 1)


def test_who_restores_something_else_has_failed(tmp_path):
    # A tool that is quick because it leaves files out must not stand in the table.
    def cheat(folder, data):
        return Tool("cheat", folder, {"W6": "mkdir out && echo a > out/a"})

    def honest(folder, data):
        return Tool("ahstore", folder, {"W6": f"cp -r {data.many} out"})

    results = Results()
    runner = Runner(tmp_path, Sizes(files=3), {"W6"}, results, lambda text: None)
    runner.round(0, [cheat, honest])
    assert results.failed["cheat"]["W6"] == "cheat restored something else"
    assert results.values["W6"].keys() == {"ahstore"}
