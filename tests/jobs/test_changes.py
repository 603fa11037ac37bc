"""Runs with the uncommitted changes of a working copy: done, recorded, kept, and done again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.hub import Hub
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.spec import CodeVersion
from ahstore.transfer.sync import clone, create_like
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.repository import Repository
from tests.jobs.conftest import House
from tests.jobs.repositories import git

CANARY = "c4n4ry-s3cret"
COMMITTED = """
import os, pathlib
pathlib.Path(os.environ["AH_OUTPUT_DIR"], "model").write_text("committed")
"""
CHANGED = """
import os, pathlib, helper
pathlib.Path(os.environ["AH_OUTPUT_DIR"], "model").write_text(helper.TEXT)
"""
EVALUATE = """
import json, os, pathlib, helper
pathlib.Path(os.environ["AH_RESULTS_DIR"], "metric.json").write_text(json.dumps({"n": helper.N}))
"""
NOW = Policy(now=True)


@pytest.fixture
def changed(house: House) -> House:
    code = house.make_code({"train.py": COMMITTED, "gone.py": "raise SystemExit"})
    (code / "train.py").write_text(CHANGED)
    (code / "gone.py").unlink()
    (code / "helper.py").write_text("TEXT, N = 'changed', 5")
    (code / "evaluate.py").write_text(EVALUATE)
    (code / ".env").write_text(CANARY)
    return house


def done(house: House, run: RunRecord) -> RunRecord:
    record = house.wait(run)
    assert record.status == "Succeeded", (record.reason, house.log(record))
    return record


def test_without_asking_the_run_is_of_the_commit(changed: House) -> None:
    # The tutorial's contract: a revision is given, and it is exactly that.
    told: list[str] = []
    jobs = Jobs(
        changed.hub, runs_root=str(changed.root / "runs"),
        store_url=changed.repo.url, notify=told.append,
    )  # fmt: skip
    changed.jobs = jobs
    record = done(changed, changed.train())
    assert record.commit is not None
    assert changed.files(record.commit)["model"] == b"committed"
    assert set(changed.files(record.commit)) == {"model", "asset-hub.metadata"}
    assert record.spec.code.changes is None
    changed.train(branch="c")
    assert [text for text in told if "--with-changes" in text] == told[:1]
    git(changed.code, "stash", "-q", "-u")
    told.clear()
    Jobs(
        changed.hub, runs_root=str(changed.root / "runs"),
        store_url=changed.repo.url, notify=told.append,
    ).train(
        changed.model, branch="d", dataset=changed.dataset, volume="1Mi",
        git_repo=str(changed.code), git_revision="master",
    )  # fmt: skip
    assert told == []


def test_a_training_with_changes(changed: House) -> None:
    record = done(changed, changed.train(with_changes=True))
    assert record.commit is not None
    changes = record.spec.code.changes
    assert changes is not None
    assert changes.files == 4
    files = changed.files(record.commit)
    assert set(files) == {"model", "asset-hub.metadata", "asset-hub.patch"}
    assert files["model"] == b"changed"
    assert changed.files(changes.commit) == {"asset-hub.patch": files["asset-hub.patch"]}
    metadata = json.loads(files["asset-hub.metadata"])
    assert metadata["code"]["commit"] == git(changed.code, "rev-parse", "HEAD")
    assert metadata["code"]["changes"] == changes.to_value()
    assert CodeVersion.from_value(metadata["code"]) == record.spec.code
    told = " ".join(changed.jobs.provenance.why(changed.model, record.commit))
    assert "uncommitted changes of 4 files" in told
    lineage = changed.jobs.provenance.lineage(changed.model, record.commit)
    assert any("changes" in node.facts for node in lineage.nodes.values() if node.kind == "code")


def test_a_sweep_takes_the_working_copy_once(changed: House) -> None:
    # Else an edit while runs are being started makes a table of numbers of different codes.
    started: list[str] = []
    swept = changed.jobs._start

    def edit(*given: object, **options: object) -> RunRecord:
        (changed.code / "helper.py").write_text(f"TEXT = 'edited {len(started)}'")
        record = swept(*given, **options)  # type: ignore[arg-type]
        started.append(record.name)
        return record

    changed.jobs._start = edit  # type: ignore[method-assign]
    records = changed.jobs.sweep(
        changed.model, [(f"s-{n}", {"n": n}) for n in range(3)], dataset=changed.dataset,
        volume="1Mi", git_repo=str(changed.code), git_revision="HEAD", with_changes=True,
    )  # fmt: skip
    ended = [done(changed, record) for record in records]
    assert [record.spec.params for record in ended] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert len({record.spec.code.changes.tree for record in ended if record.spec.code.changes}) == 1
    made = [changed.files(record.commit)["model"] for record in ended if record.commit]
    assert made == [b"changed"] * 3


def test_an_evaluation_with_changes(changed: House) -> None:
    run = changed.jobs.evaluate(
        changed.model, "main", dataset=changed.dataset, volume="1Mi",
        git_repo=str(changed.code), git_revision="HEAD", with_changes=True,
    )  # fmt: skip
    record = done(changed, run)
    assert record.evaluation is not None
    assert json.loads(changed.hub.get_evaluation(record.evaluation).results["metric"]) == {"n": 5}
    assert b"helper.N" in changed.jobs.provenance.read_patch(record.spec.code)


def test_secrets_beside_the_code_are_found_nowhere(changed: House) -> None:
    done(changed, changed.train(with_changes=True))
    changed.until_cleared()
    found = [
        path
        for folder in ("store", "runs", "cache")
        for path in (changed.root / folder).rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert found == []


def test_a_rerun_uses_the_changes_of_then(changed: House) -> None:
    record = done(changed, changed.train(with_changes=True))
    git(changed.code, "checkout", "-q", "-f", "HEAD")
    (changed.code / "helper.py").write_text("TEXT = 'of another day'")
    # Nor is the first run's record needed: the version has all.
    changed.jobs.delete(record)
    again = done(changed, changed.jobs.rerun(changed.model, "b"))
    assert again.outcome["verdict"] == "same bytes"
    assert again.spec.code.changes is not None
    assert again.spec.code.changes.commit == record.commit


def test_the_code_can_be_had_again(changed: House) -> None:
    record = done(changed, changed.train(with_changes=True))
    assert record.commit is not None
    jobs, out = changed.jobs, changed.root / "out"
    jobs.provenance.download_code(record.spec.code, str(out))
    assert (out / "helper.py").read_bytes() == (changed.code / "helper.py").read_bytes()
    assert not (out / "gone.py").exists()
    with pytest.raises(InvalidInputError, match="is there already"):
        jobs.provenance.download_code(record.spec.code, str(out))
    assert jobs.provenance.code_of(changed.model, record.commit).changes is not None
    with pytest.raises(InvalidInputError, match="not made by a training"):
        jobs.provenance.code_of(changed.model, changed.head("main") or record.commit)
    # git alone does as well: what the store keeps outlives ahstore.
    clone = changed.root / "clone"
    git(changed.root, "clone", "-q", str(changed.code), str(clone))
    (changed.root / "p").write_bytes(jobs.provenance.read_patch(record.spec.code))
    git(clone, "apply", str(changed.root / "p"))
    assert (clone / "train.py").read_text() == CHANGED


def test_gc_keeps_what_a_run_has_of_changes(changed: House) -> None:
    # A failed run is the one whose code is looked at: gc that takes it away destroys the evidence.
    (changed.code / "helper.py").write_text("raise SystemExit(3)")
    failed = changed.wait(changed.train(with_changes=True))
    assert failed.status == "Failed"
    collect(changed.repo, NOW)
    assert b"SystemExit(3)" in changed.jobs.provenance.read_patch(failed.spec.code)
    assert check(changed.repo).clean
    changed.jobs.delete(failed)
    collect(changed.repo, NOW)
    fresh = Repository.open(changed.repo.url, cache_root=None)
    with pytest.raises(NotFoundError):
        Jobs(Hub(fresh, "u"), runs_root="/x", store_url=fresh.url).provenance.read_patch(
            failed.spec.code
        )
    assert check(fresh).clean
    fresh.close()


def test_a_version_keeps_its_changes_without_its_run(changed: House) -> None:
    record = done(changed, changed.train(with_changes=True))
    assert record.commit is not None
    changed.jobs.delete(record)
    collect(changed.repo, NOW)
    code = changed.jobs.provenance.code_of(changed.model, record.commit)
    assert b"helper" in changed.jobs.provenance.read_patch(code)
    assert check(changed.repo).clean


def test_a_caller_who_dies_before_the_record_leaves_rubbish_only(
    changed: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> RunRecord:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunRecords, "create", die)
    with pytest.raises(KeyboardInterrupt):
        changed.train(with_changes=True)
    monkeypatch.undo()
    assert changed.jobs.list(changed.model) == []
    assert check(changed.repo).clean
    done(changed, changed.train(with_changes=True))
    collect(changed.repo, NOW)
    assert check(changed.repo).clean


def test_changes_that_were_damaged_do_not_run(
    changed: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Code that is not the recorded one must not make a number that claims to come of it.
    create = RunRecords.create

    def lie(self: RunRecords, record: RunRecord, session: object) -> RunRecord:
        changes = record.spec.code.changes
        assert changes is not None
        other = replace(record.spec.code, changes=replace(changes, tree="0" * 40))
        return create(self, replace(record, spec=replace(record.spec, code=other)), session)  # type: ignore[arg-type]

    monkeypatch.setattr(RunRecords, "create", lie)
    record = changed.wait(changed.train(with_changes=True))
    assert record.status == "Failed"
    assert "can't be had again" in (record.reason or "")
    assert changed.head("b") is None


@pytest.mark.parametrize("url", ["https://git.example.org/code", "bare"])
def test_changes_of_what_is_no_working_copy(url: str, changed: House) -> None:
    if url == "bare":
        url = str(changed.root / "bare")
        shutil.copytree(changed.code / ".git", url)
        git(Path(url), "config", "core.bare", "true")
    with pytest.raises(InvalidInputError, match=r"no local working copy|no working copy"):
        changed.train(git_repo=url, with_changes=True)
    assert changed.jobs.list(changed.model) == []


def test_a_version_in_another_store_has_its_changes(changed: House) -> None:
    record = done(changed, changed.train(with_changes=True))
    assert record.commit is not None
    url = f"file://{changed.root}/other"
    other = create_like(changed.repo, url, cache_root=str(changed.root / "cache2"))
    hub = Hub(other, "user")
    clone(changed.hub, hub)
    model = hub.get_asset(hub.get_folder("model", changed.model.folder_name).id, changed.model.name)
    jobs = Jobs(hub, runs_root=str(changed.root / "runs2"), store_url=url)
    try:
        again = jobs.wait(jobs.rerun(model, "b"), 60)
        assert again.status == "Succeeded", again.reason
        assert again.outcome["verdict"] == "same bytes"
        assert check(other).clean
    finally:
        other.close()
