from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ahstore.errors import CorruptError, InvalidInputError, NotFoundError
from ahstore.hub.assets import evaluations_cell
from ahstore.hub.catalogue import Catalogue
from ahstore.hub.evaluations import NewEvaluation
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.ids import Address, AssetId, CommitId, EntityId, EvaluationId, RunId, new_entity_id
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.refs import Refs
from tests.hub.kit import Two

OpenHub = Callable[[str], Hub]


def assets(hub: Hub) -> tuple[AssetRecord, AssetRecord]:
    model = hub.create_asset(hub.create_folder("model", "ic"), "mnist-cnn")
    dataset = hub.create_asset(hub.create_folder("dataset", "ic"), "mnist")
    return model, dataset


def commit(hub: Hub, asset: AssetRecord, branch: str, tmp_path: Path, text: str) -> CommitId:
    (tmp_path / "file").write_text(text)
    made = commit_files(
        hub.repo, asset.id, branch, message=text, committer="ann", add=[str(tmp_path / "file")]
    )
    assert made is not None
    return made.commit


def head(hub: Hub, asset: AssetRecord, name: str = "main") -> CommitId:
    return Refs(hub.repo).get(asset.id, name).commit


def test_an_evaluation_tells_all_that_the_tutorial_shows(hub: Hub, open_hub: OpenHub) -> None:
    model, dataset = assets(hub)
    Refs(hub.repo).create(model.id, "epoch-5", "branch", head(hub, model), by="ann", via="main")
    run = RunId(new_entity_id())
    made = hub.create_evaluation(
        model,
        "branch/epoch-5",
        dataset,
        "main",
        {"metric": {"loss": 1.5, "accuracy": 0.9}},
        run=run,
    )
    assert made.model == model.id
    assert made.model_commit == head(hub, model)
    assert made.model_ref == "ann/model/ic/mnist-cnn:branch/epoch-5"
    assert (made.model_branch, made.model_tags) == ("epoch-5", ())
    assert made.dataset == dataset.id
    assert made.dataset_commit == head(hub, dataset)
    assert made.dataset_ref == "ann/dataset/ic/mnist:main"
    assert (made.dataset_branch, made.dataset_tags) == ("main", ())
    assert made.results == {"metric": '{"loss": 1.5, "accuracy": 0.9}'}
    assert (made.run, made.by) == (run, "ann")
    for seen_by in (hub, open_hub("bob")):
        assert seen_by.get_evaluation(made.id) == made
        assert seen_by.list_evaluations(model) == [made]
        assert seen_by.list_evaluations(model.id) == [made]


def test_an_evaluation_stays_with_its_commits_wherever_branches_move(
    hub: Hub, tmp_path: Path
) -> None:
    # Were it shown for the branch's new head, a model would bear results nobody measured.
    model, dataset = assets(hub)
    old_model, old_dataset = head(hub, model), head(hub, dataset)
    made = hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    new_model = commit(hub, model, "main", tmp_path, "new")
    commit(hub, dataset, "main", tmp_path, "new data")
    assert hub.list_evaluations(model, commit=new_model) == []
    assert hub.list_evaluations(model, commit=old_model) == [made]
    Refs(hub.repo).create(model.id, "b", "branch", old_model, by="ann", via="main")
    Refs(hub.repo).delete(model.id, "main", "branch")
    (seen,) = hub.list_evaluations(model)
    assert (seen.model_commit, seen.dataset_commit) == (old_model, old_dataset)


def test_a_run_records_what_it_measured_though_branches_moved_meanwhile(
    hub: Hub, tmp_path: Path
) -> None:
    # A run takes hours: resolved at its end, "main" would be a model that was never evaluated.
    model, dataset = assets(hub)
    measured, data = head(hub, model), head(hub, dataset)
    refs = Refs(hub.repo)
    refs.create(model.id, "b", "branch", measured, by="ann", via="main")
    commit(hub, model, "main", tmp_path, "new")
    commit(hub, dataset, "main", tmp_path, "new")
    refs.delete(model.id, "b", "branch")
    for ref, branch in (("main", "main"), ("branch/b", ""), ("b", "")):
        new = NewEvaluation(
            ref, dataset, "main", {"metric": 1}, model_commit=measured, dataset_commit=data
        )
        (made,) = hub.create_evaluations(model, [new])
        assert (made.model_commit, made.dataset_commit) == (measured, data)
        assert (made.model_branch, made.dataset_branch) == (branch, "main")
        assert made.model_ref.endswith(f":{ref}")
    for bad in (data, CommitId(Address(bytes(32)))):
        with pytest.raises(NotFoundError):
            hub.create_evaluations(
                model, [NewEvaluation("main", dataset, "main", {}, model_commit=bad)]
            )
    assert len(hub.list_evaluations(model, commit=measured)) == 3


def test_the_guard_is_asked_before_each_attempt(two: Two) -> None:
    # A paused supervisor whose run was declared failed must not record its results after all.
    model, dataset = assets(two.ann)
    asked: list[list[EvaluationId]] = []

    def guard(ids: Sequence[EvaluationId]) -> None:
        asked.append(list(ids))
        if len(asked) == 3:
            raise KeyError

    two.faults.pause(
        "create",
        lambda _: two.plain.cells.fence(evaluations_cell(model.id)),
        under="cells/evaluations/",
        times=9,
    )
    with pytest.raises(KeyError):
        two.ann.create_evaluations(model, [NewEvaluation("main", dataset, "main", {})], guard=guard)
    assert asked[0] == asked[1] == asked[2]
    assert two.bob.list_evaluations(model) == []


def test_how_a_commit_was_named_is_kept(hub: Hub, tmp_path: Path) -> None:
    model, dataset = assets(hub)
    first = head(hub, model)
    commit(hub, model, "main", tmp_path, "second")
    refs = Refs(hub.repo)
    refs.create(model.id, "v1", "tag", first, by="ann", via="main")
    refs.create(model.id, "v0", "tag", first, by="ann", via="main")
    named = {
        "tag/v1": ("", ("v0", "v1")),
        "v1": ("", ("v0", "v1")),
        "main~1": ("", ("v0", "v1")),
        first.hex(): ("", ("v0", "v1")),
        f"commit/{first.hex()[:12]}": ("", ("v0", "v1")),
        "main": ("main", ()),
    }
    for ref, (branch, tags) in named.items():
        made = hub.create_evaluation(model, ref, dataset, "main", {"metric": 1})
        assert (made.model_branch, made.model_tags) == (branch, tags), ref
        assert made.model_ref == f"ann/model/ic/mnist-cnn:{ref}"
        assert hub.get_evaluation(made.id) == made
    refs.delete(model.id, "v1", "tag")
    assert {e.model_tags for e in hub.list_evaluations(model, commit=first)} == {("v0", "v1")}


def test_paths_follow_renames_and_outlive_a_dataset(hub: Hub, open_hub: OpenHub) -> None:
    model, dataset = assets(hub)
    made = hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    hub.update_folder(model.folder, name="renamed")
    hub.update_asset(dataset.id, name="digits")
    seen = open_hub("bob").get_evaluation(made.id)
    assert seen.model_ref == "ann/model/renamed/mnist-cnn:main"
    assert seen.dataset_ref == "ann/dataset/ic/digits:main"
    hub.delete_asset(dataset.id)
    (seen,) = open_hub("bob").list_evaluations(model.id)
    assert seen.dataset_ref == "ann/dataset/ic/mnist:main"
    assert seen.dataset == dataset.id


def test_evaluations_are_listed_newest_first_and_by_commit_and_dataset(
    hub: Hub, tmp_path: Path
) -> None:
    model, dataset = assets(hub)
    other = hub.create_asset(dataset.folder, "other")
    first = hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    second = hub.create_evaluation(model, "main", other, "main", {"metric": 2})
    commit(hub, model, "main", tmp_path, "new")
    third = hub.create_evaluation(model, "main", dataset, "main", {"metric": 3})
    assert hub.list_evaluations(model) == [third, second, first]
    assert hub.list_evaluations(model, commit=first.model_commit) == [second, first]
    assert hub.list_evaluations(model, dataset=dataset) == [third, first]
    assert hub.list_evaluations(model, dataset=other.id) == [second]
    assert hub.list_evaluations(model, commit=first.model_commit, dataset=dataset.id) == [first]
    assert hub.list_evaluations(hub.create_asset(model.folder, "x")) == []


def test_an_evaluation_is_deleted_by_its_id(hub: Hub, open_hub: OpenHub) -> None:
    model, dataset = assets(hub)
    kept, gone = (
        hub.create_evaluation(model, "main", dataset, "main", {"metric": n}) for n in range(2)
    )
    open_hub("bob").delete_evaluation(gone.id)
    assert hub.list_evaluations(model) == [kept]
    for call in (hub.get_evaluation, hub.delete_evaluation):
        with pytest.raises(NotFoundError, match="no evaluation"):
            call(gone.id)
    hub.delete_evaluation(kept.id)
    assert hub.list_evaluations(model) == []
    assert hub.create_evaluation(model, "main", dataset, "main", {}).results == {}


def test_ids_that_are_none_are_refused_or_not_found(hub: Hub) -> None:
    model, dataset = assets(hub)
    made = hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    near = ("0" if made.id[0] != "0" else "1") + made.id[1:]
    for text in (near, new_entity_id(), model.id, "", "../../x", made.id[:8], made.id.upper()):
        for call in (hub.get_evaluation, hub.delete_evaluation):
            with pytest.raises((NotFoundError, InvalidInputError)):
                call(EvaluationId(EntityId(text)))
    assert hub.list_evaluations(model) == [made]


def test_evaluations_go_with_their_model(hub: Hub) -> None:
    model, dataset = assets(hub)
    made = hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    hub.delete_asset(model.id)
    with pytest.raises(NotFoundError):
        hub.get_evaluation(made.id)
    with pytest.raises(NotFoundError):
        hub.list_evaluations(model.id)


def test_bad_input_records_nothing(hub: Hub) -> None:
    model, dataset = assets(hub)
    for call in (
        lambda: hub.create_evaluation(dataset, "main", dataset, "main", {}),
        lambda: hub.create_evaluation(model, "main", model, "main", {}),
        lambda: hub.create_evaluation(model, "a b", dataset, "main", {}),
        lambda: hub.create_evaluation(model, "main", dataset, "--help", {}),
        lambda: hub.create_evaluation(model, "main", dataset, "main", {"a/b": 1}),
        lambda: hub.create_evaluation(model, "main", dataset, "main", {"a": object()}),
    ):
        with pytest.raises(InvalidInputError):
            call()
    for call in (
        lambda: hub.create_evaluation(model, "other", dataset, "main", {}),
        lambda: hub.create_evaluation(model, "main", dataset, "0000", {}),
        lambda: hub.create_evaluation(AssetId(new_entity_id()), "main", dataset, "main", {}),
        lambda: hub.create_evaluation(model, "main", AssetId(new_entity_id()), "main", {}),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert hub.list_evaluations(model) == []


def test_measurements_that_are_no_numbers_are_kept(hub: Hub, open_hub: OpenHub) -> None:
    model, dataset = assets(hub)
    results = {"metric": {"loss": math.nan, "steps": 10**30}, "混淆 matrix": [[math.inf]]}
    made = hub.create_evaluation(model, "main", dataset, "main", results)
    assert open_hub("bob").get_evaluation(made.id).results == {
        "metric": '{"loss": NaN, "steps": 1000000000000000000000000000000}',
        "混淆 matrix": "[[Infinity]]",
    }


def test_large_results_lie_beside_the_tree(hub: Hub, open_hub: OpenHub) -> None:
    model, dataset = assets(hub)
    large = {"metric": list(range(20_000))}
    made = hub.create_evaluation(model, "main", dataset, "main", large)
    small = hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    fresh = open_hub("bob")
    assert fresh.get_evaluation(made.id) == made
    assert fresh.list_evaluations(model) == [small, made]


def test_many_are_recorded_at_one_stroke_or_not_at_all(hub: Hub) -> None:
    model, dataset = assets(hub)
    assert hub.create_evaluations(model, []) == []
    made = hub.create_evaluations(
        model, [NewEvaluation("main", dataset, "main", {"n": n}) for n in range(300)]
    )
    assert len({e.id for e in made}) == 300
    assert {e.id: e for e in hub.list_evaluations(model)} == {e.id: e for e in made}
    with pytest.raises(InvalidInputError):
        hub.create_evaluations(
            model,
            [
                NewEvaluation("main", dataset, "main", {"n": 1}),
                NewEvaluation("main", dataset, "main", {"": 1}),
            ],
        )
    assert len(hub.list_evaluations(model)) == 300


def test_thirty_thousand_are_listed_with_a_few_reads(two: Two) -> None:
    # One request for each evaluation, or each page, would be minutes on a bucket.
    model, dataset = assets(two.ann)
    new = NewEvaluation("main", dataset, "main", {"metric": {"loss": 1.5, "accuracy": 0.5}})
    made = two.ann.create_evaluations(model, [new] * 30_000)
    hub, calls = two.recorded()
    listed = hub.list_evaluations(model)
    assert {e.id for e in listed} == {e.id for e in made}
    assert len(calls.calls) <= 60
    assert calls.carried() <= 12 * 2**20
    calls.clear()
    assert hub.get_evaluation(made[0].id).results == made[0].results
    assert len(calls.calls) <= 60


def test_those_of_one_commit_are_listed_without_reading_the_rest(two: Two, tmp_path: Path) -> None:
    model, dataset = assets(two.ann)
    new = NewEvaluation("main", dataset, "main", {"metric": {"loss": 1.5, "accuracy": 0.5}})
    sizes = (4000, 700, 4000)
    commits = []
    for size in sizes:
        commits.append(commit(two.ann, model, "main", tmp_path, f"{size} {len(commits)}"))
        two.ann.create_evaluations(model, [new] * size)
    hub, calls = two.recorded()
    hub.list_evaluations(model)
    everything = calls.carried("read_range")
    for wanted, size in zip(commits, sizes, strict=True):
        calls.clear()
        assert len(hub.list_evaluations(model, commit=wanted)) == size
        assert calls.count("read_range") <= 20
        assert calls.carried("read_range") <= everything * size / sum(sizes) + 2**17


def test_large_results_are_not_written_again_with_their_neighbours(two: Two) -> None:
    # In the page they would be: every later evaluation would carry megabytes of old ones.
    model, dataset = assets(two.ann)
    two.ann.create_evaluation(model, "main", dataset, "main", {"metric": "x" * 900_000})
    hub, calls = two.recorded()
    hub.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    assert calls.carried("write", "create") <= 16 * 1024


def test_one_more_among_thirty_thousand_writes_little(two: Two) -> None:
    model, dataset = assets(two.ann)
    new = NewEvaluation("main", dataset, "main", {"metric": 1})
    two.ann.create_evaluations(model, [new] * 30_000)
    hub, calls = two.recorded()
    made = hub.create_evaluation(model, "main", dataset, "main", {"metric": 2})
    assert calls.carried("write", "create") <= 256 * 1024
    assert hub.get_evaluation(made.id) == made


def test_evaluations_recorded_at_once_are_all_kept(two: Two) -> None:
    model, dataset = assets(two.ann)
    two.faults.pause(
        "create",
        lambda _: two.bob.create_evaluation(model.id, "main", dataset.id, "main", {"metric": 1}),
        under="cells/evaluations/",
        times=3,
    )
    two.ann.create_evaluation(model, "main", dataset, "main", {"metric": 2})
    found = two.bob.list_evaluations(model)
    assert sorted(e.results["metric"] for e in found) == ["1", "1", "1", "2"]


def test_an_evaluation_of_a_model_that_is_deleted_meanwhile_fails(two: Two) -> None:
    # Otherwise it would be reported as recorded, and be nowhere.
    model, dataset = assets(two.ann)
    two.faults.pause("create", lambda _: two.bob.delete_asset(model.id), under="cells/evaluations/")
    with pytest.raises(NotFoundError, match="deleted meanwhile"):
        two.ann.create_evaluation(model, "main", dataset, "main", {"metric": 2})


def test_a_damaged_entry_is_named_not_shown(two: Two) -> None:
    model, dataset = assets(two.ann)
    made = two.ann.create_evaluation(model, "main", dataset, "main", {"metric": 1})
    catalogue = Catalogue(two.plain, evaluations_cell(model.id))
    key = f"{made.model_commit.hex()}/{dataset.id}/{made.id}"
    with two.plain.session([catalogue.cell]) as session:
        catalogue.change(session, lambda *_: [(key, [key, 0, [1.0, "ann"]])])
    with pytest.raises(CorruptError, match="not an evaluation"):
        two.bob.list_evaluations(model)
