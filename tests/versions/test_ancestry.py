"""Where histories meet, in every shape: told by sets, and at the cost of how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.codec.digests import sha256
from ahstore.errors import NotFoundError
from ahstore.ids import Address, AssetId, CommitId, PageId, new_entity_id
from ahstore.objects.commit import Commit
from ahstore.versions.history.ancestry import is_ancestor, merge_bases
from ahstore.versions.history.log import in_order_of_parents, log, steps

ASSET = AssetId(new_entity_id())
TREE = PageId(Address(bytes(32)))


class Graph:
    """Commits by number, in memory; counts what is read of them."""

    def __init__(self, parents: list[tuple[int, ...]], dates: list[int]) -> None:
        self.ids = [CommitId(sha256(b"%d" % number)) for number in range(len(parents))]
        self.parents = parents
        self.commits = {
            self.ids[n]: Commit(ASSET, tuple(self.ids[p] for p in parents[n]), TREE, "", "a", date)
            for n, date in zip(range(len(parents)), dates, strict=True)
        }
        self.reads = 0

    def read_commit(self, commit: CommitId) -> Commit:
        self.reads += 1
        if commit not in self.commits:
            raise NotFoundError("no such commit")
        return self.commits[commit]

    @contextmanager
    def counted(self, most: int) -> Iterator[None]:
        self.reads = 0
        yield
        assert self.reads <= most

    def ancestors(self, number: int) -> set[int]:
        return {number}.union(*(self.ancestors(parent) for parent in self.parents[number]))

    def numbers(self, commits: list[CommitId]) -> set[int]:
        return {self.ids.index(commit) for commit in commits}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 12))
    parents: list[tuple[int, ...]] = [()]
    for number in range(1, count):
        # Mostly near ones, so that histories cross.
        some = draw(st.sets(st.integers(max(0, number - 4), number - 1), max_size=3))
        parents.append(tuple(sorted(some)))
    # Clocks are anything from right to nonsense.
    dates = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    exact = draw(st.booleans())
    return Graph(parents, list(range(count)) if exact else dates)


@given(graph=graphs(), data=st.data())
@settings(max_examples=400, deadline=None)
def test_merge_bases_are_the_best_common_ancestors_whatever_the_clocks(
    graph: Graph, data: st.DataObject
) -> None:
    """A base that is not the best would show changes as conflicts, or undo what was merged."""
    number = st.integers(0, len(graph.ids) - 1)
    ours, theirs = (data.draw(st.sets(number, min_size=1, max_size=2)) for _ in "ab")
    of_ours = set().union(*map(graph.ancestors, ours))
    of_theirs = set().union(*map(graph.ancestors, theirs))
    common = of_ours & of_theirs
    best = {c for c in common if not any(c in graph.ancestors(d) - {d} for d in common)}
    found = merge_bases(graph, [graph.ids[n] for n in ours], [graph.ids[n] for n in theirs])  # type: ignore[arg-type]
    assert graph.numbers(found) == best
    assert len(found) == len(best)


@given(graph=graphs(), data=st.data())
@settings(max_examples=300, deadline=None)
def test_ancestors_and_logs_are_told_whatever_the_clocks(graph: Graph, data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, len(graph.ids) - 1)) for _ in "ab")
    assert is_ancestor(graph, graph.ids[a], graph.ids[b]) == (a in graph.ancestors(b))  # type: ignore[arg-type]
    found = graph.numbers([commit for commit, _ in log(graph, graph.ids[a])])  # type: ignore[arg-type]
    assert found == graph.ancestors(a)
    ordered = [
        graph.ids.index(step.id) for step in in_order_of_parents(list(steps(graph, graph.ids[a])))
    ]  # type: ignore[arg-type]
    assert sorted(ordered) == sorted(found)
    for at, one in enumerate(ordered):
        assert not graph.ancestors(one) & set(ordered[:at]), "a parent came before its child"


def line_with_fork(length: int, apart: int) -> tuple[Graph, int, int]:
    """A long line, and two branches of ``apart`` commits each at its end."""
    parents: list[tuple[int, ...]] = [(), *((n,) for n in range(length - 1))]
    tips = [length - 1, length - 1]
    for at in range(2 * apart):
        parents.append((tips[at % 2],))
        tips[at % 2] = len(parents) - 1
    return Graph(parents, list(range(len(parents)))), tips[0], tips[1]


def test_the_cost_follows_how_far_two_commits_are_apart() -> None:
    """Every merge of a branch that lives for years would otherwise read its whole history."""
    graph, one, two = line_with_fork(50_000, 5)
    ids = graph.ids
    with graph.counted(most=15):
        assert merge_bases(graph, [ids[one]], [ids[two]]) == [ids[49_999]]  # type: ignore[arg-type]
    with graph.counted(most=15):
        assert is_ancestor(graph, ids[49_990], ids[49_999])  # type: ignore[arg-type]
    with graph.counted(most=15):
        assert not is_ancestor(graph, ids[one], ids[two])  # type: ignore[arg-type]


def test_a_long_ladder_of_criss_cross_merges_is_walked() -> None:
    parents: list[tuple[int, ...]] = [(), (0,), (0,)]
    for _ in range(2000):
        a, b = len(parents) - 2, len(parents) - 1
        parents += [(a, b), (b, a)]
    graph = Graph(parents, list(range(len(parents))))
    found = merge_bases(graph, [graph.ids[-2]], [graph.ids[-1]])  # type: ignore[arg-type]
    assert graph.numbers(found) == {len(parents) - 4, len(parents) - 3}
