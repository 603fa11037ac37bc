"""The lines beside a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.cli.graph import Graph


def draw(history: dict[str, str]) -> list[str]:
    graph = Graph()
    rows = []
    for commit, parents in history.items():
        rows.append(f"{graph.node(commit)} {commit}")
        rows += graph.edges(commit, parents.split())
    return rows


@pytest.mark.parametrize(
    ("history", "drawn"),
    [
        ({"b": "a", "a": ""}, "* b\n* a"),
        ({"m": "x y", "x": "a", "y": "a", "a": ""}, "* m\n|\\\n* | x\n| * y\n|/\n* a"),
        ({"m": "x y", "y": "a", "x": "a", "a": ""}, "* m\n|\\\n| * y\n* | x\n|/\n* a"),
        ({"m": "x a", "x": "a", "a": ""}, "* m\n|\\\n* | x\n|/\n* a"),
        ({"o": "x y z", "x": "a", "y": "a", "z": "a", "a": ""},
         "* o\n|\\\n|\\ \\\n* | | x\n| * | y\n|/ /\n| * z\n|/\n* a"),
        ({"c": "", "b": "a", "a": ""}, "* c\n* b\n* a"),
        ({"m": "x y", "x": "", "y": ""}, "* m\n|\\\n* | x\n /\n* y"),
        ({"m": "x y", "n": "x", "y": "a", "x": "a", "a": ""},
         "* m\n|\\\n| | * n\n|_|/\n| * y\n* | x\n|/\n* a"),
    ],
)  # fmt: skip
def test_histories_are_drawn(history: dict[str, str], drawn: str) -> None:
    assert draw(history) == drawn.split("\n")


@given(st.lists(st.sets(st.integers(1, 4), max_size=3), max_size=14))
def test_every_line_leads_from_a_commit_to_its_parents(steps: list[set[int]]) -> None:
    """Each commit has one node, and as many lines are open as commits are waited for."""
    count = len(steps)
    history = {
        str(n): " ".join(str(n + s) for s in sorted(step) if n + s < count)
        for n, step in enumerate(steps)
    }
    graph = Graph()
    waited: set[str] = set()
    for commit, parents in history.items():
        node = graph.node(commit)
        assert node.count("*") == 1
        assert len(node.split()) == len(waited | {commit})
        graph.edges(commit, parents.split())
        waited = (waited - {commit}) | set(parents.split())
        assert len(graph.going_on().split()) == len(waited)
