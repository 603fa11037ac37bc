"""Three-way by path beside a plain model, over histories that were merged into one another."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import MergeConflictError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.objects.commit import Commit
from ahstore.objects.edit import edit
from ahstore.objects.file import PATH, SIZE, Row
from ahstore.objects.tree import build
from ahstore.storage.cells import Cell
from ahstore.versions.history import threeway
from ahstore.versions.history.threeway import common_base, three_way
from ahstore.versions.repository import Repository
from tests.versions.plain import ConflictError, Files, PlainAsset, PlainCommit
from tests.versions.plain import three_way as plain_three_way

PATHS = ["a", "b", "f", "f/x", "f/y", "g/h"]
ASSET = AssetId(new_entity_id())
_counter = itertools.count()


def row(path: str, value: str) -> Row:
    """A row whose size stands for its content."""
    size = int(value)
    return [path, size, bytes(16), 0, 0, 0, bytes(32) + size.to_bytes(8, "big")]


class Twins:
    """The same commits in a store and in a plain model, made without the verbs."""

    def __init__(self) -> None:
        self.repo = Repository.open(f"memory://threeway-{next(_counter)}", create=True)
        self.plain = PlainAsset(commits=[])
        self.ids: list[CommitId] = []
        self._context = self.repo.session([Cell("test", ("one",))])
        self.session = self._context.__enter__()

    def add(self, files: Files, *parents: int) -> int:
        tree = build([row(path, files[path]) for path in sorted(files)], self.session)
        number = len(self.ids)
        commit = Commit(ASSET, tuple(self.ids[p] for p in parents), tree, "", "ann", number)
        self.ids.append(self.session.put_commit(commit))
        self.session.settle()
        self.plain.commits.append(PlainCommit(files, parents))
        return number

    def merged(self, ours: int, theirs: int, strategy: str = "three-way") -> Files:
        """Merge in both; they agree on the files, or on what is in conflict."""
        repo = self.repo
        base = common_base(repo, self.ids[ours], self.ids[theirs])
        assert base is not None
        mine, other = (repo.read_commit(self.ids[n]).tree for n in (ours, theirs))
        favour = None if strategy == "three-way" else strategy
        files = self.plain.commits
        try:
            expected = plain_three_way(
                self.plain.base(ours, theirs), files[ours].files, files[theirs].files, strategy
            )
        except ConflictError as conflict:
            paths = conflict.paths
        else:
            edits = three_way(repo, base, mine, other, favour=favour)  # type: ignore[arg-type]
            tree = repo.tree(edit(repo, mine, edits, self.session))
            self.session.settle()
            assert {r[PATH]: str(r[SIZE]) for r in tree.scan()} == expected
            return expected
        with pytest.raises(MergeConflictError) as caught:
            three_way(repo, base, mine, other, favour=favour)  # type: ignore[arg-type]
        assert paths <= set(caught.value.paths)
        raise ConflictError(paths)

    def close(self) -> None:
        self._context.__exit__(None, None, None)
        self.repo.close()


@pytest.fixture
def twins():
    made = Twins()
    yield made
    made.close()


def without_clashes(files: Files) -> Files:
    return {p: v for p, v in files.items() if not any(q.startswith(p + "/") for q in files)}


FILES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from("123"), max_size=5).map(
    without_clashes
)


@given(data=st.data(), count=st.integers(2, 9))
@settings(max_examples=150, deadline=None)
def test_merges_over_any_history_are_those_of_the_model(data: st.DataObject, count: int) -> None:
    twins = Twins()
    twins.add(data.draw(FILES))
    for number in range(1, count):
        near = st.integers(max(0, number - 3), number - 1)
        parents = data.draw(st.sets(near, min_size=1, max_size=2))
        twins.add(data.draw(FILES), *sorted(parents))
    for strategy in ("three-way", "ours", "theirs"):
        for ours, theirs in ((count - 1, count - 2), (count - 2, count - 1)):
            try:
                twins.merged(ours, theirs, strategy)
            except ConflictError:
                assert strategy == "three-way"
    twins.close()


def test_a_side_that_was_merged_before_is_the_base(twins: Twins) -> None:
    """With one of the two bases alone, what both sides have agreed on would be a conflict."""
    root = twins.add({"a": "1", "b": "1"})
    left = twins.add({"a": "2", "b": "1"}, root)
    right = twins.add({"a": "1", "b": "2"}, root)
    one = twins.add({"a": "2", "b": "2"}, left, right)
    two = twins.add({"a": "2", "b": "2"}, right, left)
    ours = twins.add({"a": "3", "b": "2"}, one)
    theirs = twins.add({"a": "2", "b": "3"}, two)
    assert twins.plain.bases({ours}, {theirs}) == [left, right]
    assert twins.merged(ours, theirs) == {"a": "3", "b": "3"}


def test_what_the_bases_disagree_on_is_decided_by_no_one(twins: Twins) -> None:
    """Each side resolved the conflict its way: to take either silently would undo the other."""
    root = twins.add({"a": "1"})
    left = twins.add({"a": "2"}, root)
    right = twins.add({"a": "3"}, root)
    ours = twins.add({"a": "2"}, left, right)
    theirs = twins.add({"a": "3"}, right, left)
    with pytest.raises(ConflictError) as caught:
        twins.merged(ours, theirs)
    assert caught.value.paths == {"a"}
    agreed = twins.add({"a": "3"}, ours)
    assert twins.merged(agreed, theirs) == {"a": "3"}


def test_a_revert_after_a_criss_cross_is_kept(twins: Twins) -> None:
    """The older base has the reverted state too; it must not win for that."""
    root = twins.add({"a": "1", "b": "1"})
    left = twins.add({"a": "2", "b": "1"}, root)
    right = twins.add({"a": "1", "b": "2"}, root)
    one = twins.add({"a": "2", "b": "2"}, left, right)
    two = twins.add({"a": "2", "b": "2"}, right, left)
    reverted = twins.add({"a": "1", "b": "2"}, one)
    assert twins.merged(reverted, two) == {"a": "1", "b": "2"}
    assert twins.merged(two, reverted) == {"a": "1", "b": "2"}


def test_of_a_file_and_a_folder_all_is_named_and_one_gives_way(twins: Twins) -> None:
    root = twins.add({"a": "1"})
    ours = twins.add({"a": "1", "f": "1"}, root)
    below = {f"f/{n}": "1" for n in range(2_000)}
    theirs = twins.add({"a": "1", **below}, root)
    with pytest.raises(ConflictError) as caught:
        twins.merged(ours, theirs)
    assert caught.value.paths == set(below)
    assert twins.merged(ours, theirs, "ours") == {"a": "1", "f": "1"}
    assert twins.merged(ours, theirs, "theirs") == {"a": "1", **below}
    assert twins.merged(theirs, ours, "ours") == {"a": "1", **below}
    assert twins.merged(theirs, ours, "theirs") == {"a": "1", "f": "1"}


def test_beyond_the_depth_the_rule_is_careful(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threeway, "MAX_DEPTH", 0)
    root = twins.add({"a": "1", "b": "1"})
    left = twins.add({"a": "2", "b": "1"}, root)
    right = twins.add({"a": "1", "b": "1", "c": "1"}, root)
    one = twins.add({"a": "2", "b": "1", "c": "1"}, left, right)
    two = twins.add({"a": "2", "b": "2", "c": "1"}, right, left)
    base = common_base(twins.repo, twins.ids[one], twins.ids[two])
    assert base is not None
    trees = [twins.repo.read_commit(twins.ids[n]).tree for n in (one, two)]
    assert [path for path, _ in three_way(twins.repo, base, *trees)] == ["b"]
    other = twins.add({"a": "3", "b": "1", "c": "1"}, one)
    tree = twins.repo.read_commit(twins.ids[other]).tree
    with pytest.raises(MergeConflictError) as caught:
        three_way(twins.repo, base, tree, trees[1])
    assert caught.value.paths == ["a"]


def test_a_ladder_of_criss_cross_merges_ends(twins: Twins) -> None:
    """Two teams that merge one another every day, for months."""
    twins.add({"a": "1", "b": "1"})
    a = twins.add({"a": "2", "b": "1"}, 0)
    b = twins.add({"a": "1", "b": "2"}, 0)
    for day in range(100):
        files = {"a": str(day % 9 + 1), "b": str(day % 7 + 1)}
        a, b = twins.add(files, a, b), twins.add(files, b, a)
    last = twins.add({**twins.plain.commits[a].files, "c": "1"}, a)
    other = twins.add({**twins.plain.commits[b].files, "d": "1"}, b)
    base = common_base(twins.repo, twins.ids[last], twins.ids[other])
    assert base is not None
    edits = three_way(
        twins.repo,
        base,
        twins.repo.read_commit(twins.ids[last]).tree,
        twins.repo.read_commit(twins.ids[other]).tree,
    )
    assert [path for path, _ in edits] == ["d"]
