"""Random histories on two sides, brought together: what may move has moved, and nothing is lost."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.hub.evaluations import NewEvaluation
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.storage.memory import MemoryStorage
from ahstore.transfer.results import TransferResult
from ahstore.transfer.sync import SyncOptions, sync
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.versions.history.log import log
from ahstore.versions.history.merge import merge
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side, bundle_of, contents
from tests.transfer.test_bundles import put

_names = itertools.count()
BRANCHES = ("main", "dev", "fix")

paths = st.sampled_from(["a", "b/c", "b/d", "e/f/g", "h"])
bodies = st.one_of(st.binary(max_size=40), st.integers(0, 30).map(lambda n: b"line %d\n" % n * 400))
commits = st.tuples(
    st.just("commit"),
    st.sampled_from(BRANCHES),
    st.dictionaries(paths, bodies, min_size=1, max_size=4),
)
branches = st.tuples(st.just("branch"), st.sampled_from(BRANCHES), st.sampled_from(BRANCHES))
tags = st.tuples(st.just("tag"), st.sampled_from(["v1", "v2"]), st.sampled_from(BRANCHES))
merges = st.tuples(st.just("merge"), st.sampled_from(BRANCHES), st.sampled_from(BRANCHES))
evaluations = st.tuples(st.just("evaluate"), st.sampled_from(BRANCHES), st.integers(0, 9))
actions = st.lists(st.one_of(commits, commits, branches, tags, merges, evaluations), max_size=8)


def act(side: Side, model: AssetRecord, action: tuple[object, ...]) -> None:
    kind, name, detail = action
    refs = Refs(side.repo)
    here = refs.find(model.id, str(name))
    if kind == "commit" and here is not None:
        # The same change again makes no commit, and then there is nothing to say.
        head = contents(side.repo, here.commit)
        files = dict(detail)  # type: ignore[call-overload]
        if any(head.get(path) != body for path, body in files.items()):
            side.commit(model, files, branch=str(name))
    elif kind in ("branch", "tag") and here is None:
        at = side.head(model, str(detail))
        if at is not None:
            side.branch(model, str(name), at, str(kind))
    elif kind == "merge" and here is not None:
        at = side.head(model, str(detail))
        if at is not None:
            merge(
                side.repo, model.id, at, str(name), committer="ann", message="m", strategy="replace"
            )
    elif kind == "evaluate" and here is not None:
        side.evaluate(model, side.asset("d", "x", "dataset"), ref=str(name), note=str(detail))


def make(folder: str) -> Side:
    name = f"history-{next(_names)}"
    work = Path(folder) / name
    work.mkdir()
    return Side(Hub(Repository.open(f"memory://{name}", create=True), "ann"), work)


def forget(*sides: Side) -> None:
    for side in sides:
        MemoryStorage.forget(side.repo.url.removeprefix("memory://"))


def heads(side: Side, model: AssetRecord) -> dict[str, object]:
    return {ref.name: ref.commit for ref in Refs(side.repo).list(model.id)}


def check_refs(
    before: dict[str, object],
    source: Side,
    target: Side,
    model: AssetRecord,
    result: TransferResult,
) -> None:
    """Tags are where they were; branches too, or moved on to what descends from there."""
    for name, commit in heads(source, model).items():
        now = target.head(model, name)
        old = before.get(name)
        assert now is not None
        if Refs(target.repo).get(model.id, name).kind == "tag":
            assert now == (old or commit)
            continue
        history = {found for found, _ in log(target.repo, now)}
        assert old is None or old in history
        if now != commit:
            theirs = {found for found, _ in log(source.repo, commit)}  # type: ignore[arg-type]
            assert old not in theirs or commit in history
    refused = {ref.name for each in result.assets for ref in each.refs if ref.refused}
    for name in refused:
        assert target.head(model, name) == before[name]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions, actions, actions)
def test_any_two_histories(common: list, ours: list, theirs: list) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        a, b = make(folder), make(folder)
        try:
            model = a.asset()
            a.asset("d", "x", "dataset")
            for action in common:
                act(a, model, action)
            sync(a.hub, b.hub)
            assert b.snapshot() == a.snapshot()
            for side, script in ((a, ours), (b, theirs)):
                for action in script:
                    act(side, model, action)
            before = heads(b, model)
            check_refs(before, a, b, model, sync(a.hub, b.hub))
            before = heads(a, model)
            check_refs(before, b, a, model, sync(b.hub, a.hub))
            # Once more each way finds nothing to move; forced, the two are alike.
            assert sync(a.hub, b.hub).traffic.sent == 0
            assert sync(b.hub, a.hub).traffic.sent == 0
            rows = [{e.id for e in s.hub.list_evaluations(model.id)} for s in (a, b)]
            assert rows[0] == rows[1]
            kinds = [
                {r.name: (r.kind, r.commit) for r in Refs(s.repo).list(model.id)} for s in (a, b)
            ]
            tags_alike = all(
                kinds[0][n] == kinds[1][n] for n in kinds[0] if kinds[0][n][0] == "tag"
            )
            sync(a.hub, b.hub, (), SyncOptions(force=True, prune=True))
            if tags_alike:
                assert b.snapshot() == a.snapshot()
        finally:
            forget(a, b)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions, actions)
def test_a_whole_bundle_and_one_of_what_came_since(first: list, then: list) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        a, b, c = make(folder), make(folder), make(folder)
        try:
            model = a.asset()
            data = bundle_of(a, a.asset("d", "x", "dataset").path)
            for side in (b, c):
                put(side, data)
            for action in first:
                act(a, model, action)
            put(b, bundle_of(a, "model/img/net"))
            put(c, bundle_of(a, "model/img/net"))
            since = tuple(
                f"commit/{c.hex()}" for c in {r.commit for r in Refs(a.repo).list(model.id)}
            )
            for action in then:
                act(a, model, action)
            put(b, bundle_of(a, "model/img/net"), force=True, prune=True)
            put(c, bundle_of(a, "model/img/net", since=since), force=True, prune=True)
            assert b.snapshot() == a.snapshot()
            assert c.snapshot() == a.snapshot()
        finally:
            forget(a, b, c)


def test_a_rename_here_does_not_make_another_asset(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    model = source.asset()
    sync(source.hub, target.hub)
    target.hub.update_asset(model.id, name="renamed")
    source.commit(model, {"a": b"new"})
    result = sync(source.hub, target.hub)
    assert [each.path for each in result.assets] == ["ann/model/img/renamed"]
    assert target.head(model) == source.head(model)


def test_another_asset_of_the_name_is_refused(make_side: MakeSide) -> None:
    import pytest

    from ahstore.errors import AlreadyExistsError
    from ahstore.hub.paths import parse

    source, target = make_side("memory"), make_side("memory")
    source.asset()
    target.asset()
    before = target.snapshot()
    with pytest.raises(AlreadyExistsError, match="another model"):
        sync(source.hub, target.hub)
    assert target.snapshot() == before
    options = SyncOptions(as_path=parse("model/img/theirs"))
    sync(source.hub, target.hub, ["model/img/net"], options)
    assert target.hub.get_asset_by_id(source.asset().id).name == "theirs"


def test_what_was_deleted_here_comes_back(make_side: MakeSide) -> None:
    # What bundles are kept for. Without a new life for the evaluations' cell they would be lost.
    source, target = make_side("memory"), make_side("memory")
    model, data = source.asset(), source.asset("d", "x", "dataset")
    source.commit(model, {"a": b"a"})
    source.branch(model, "v1", source.head(model), "tag")  # type: ignore[arg-type]
    source.evaluate(model, data)
    kept = bundle_of(source, "model/img/net")
    sync(source.hub, target.hub)
    target.hub.delete_asset(model.id)
    assert f"{model.path}:main" not in target.snapshot()
    put(target, kept)
    assert target.snapshot() == source.snapshot()
    target.hub.delete_folder(model.folder, force=True)
    put(target, kept)
    again = target.hub.get_asset_by_id(model.id)
    assert again.folder != model.folder  # ids of folders are never used again
    assert len(target.hub.list_evaluations(model.id)) == 1
    assert target.head(model, "v1") == source.head(model, "v1")


def test_prune(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    model = source.asset()
    source.branch(model, "dev", source.head(model))  # type: ignore[arg-type]
    sync(source.hub, target.hub)
    Refs(source.repo).delete(model.id, "dev", "branch")
    sync(source.hub, target.hub)
    assert target.head(model, "dev") is not None
    sync(source.hub, target.hub, (), SyncOptions(prune=True))
    assert target.head(model, "dev") is None


def test_evaluations_go_where_their_dataset_is(make_side: MakeSide) -> None:
    # A store keeps what its evaluations name: one that named a commit which is not there would
    # stop gc for ever, and fsck would call the store damaged.
    source, target = make_side("memory"), make_side("memory")
    model, data = source.asset(), source.asset("d", "x", "dataset")
    source.commit(model, {"a": b"a"})
    source.commit(data, {"d": b"d"})
    source.evaluate(model, data)
    first = sync(source.hub, target.hub, ["model/img/net"])
    assert (first.assets[0].evaluations, first.assets[0].missing_datasets) == (0, 1)
    assert not check(target.repo).damages
    collect(target.repo)
    sync(source.hub, target.hub, ["dataset/x/d"])
    # Measured on what no branch of the dataset reaches any more: it comes along.
    source.branch(data, "old", source.head(data))  # type: ignore[arg-type]
    source.commit(data, {"d": b"measured"}, branch="old")
    source.hub.create_evaluations(model, [NewEvaluation("main", data, "old", {"m": 1})])
    Refs(source.repo).delete(data.id, "old", "branch")
    second = sync(source.hub, target.hub, ["model/img/net"])
    assert (second.assets[0].evaluations, second.assets[0].missing_datasets) == (2, 0)
    assert not check(target.repo).damages
    collect(target.repo)
    assert target.snapshot() == source.snapshot()
