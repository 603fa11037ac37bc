"""Stores of every released format are read for ever, and written to."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from ahstore.cli.main import main
from ahstore.client.store import Store
from ahstore.client.transfer import sync
from ahstore.packs.place import Kind
from ahstore.packs.reader import list_packs
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from tests.cli.conftest import move_in
from tests.format import stranger
from tests.old_stores.make import plain, seen

HERE = Path(__file__).parent
STORES = sorted(path.name.removesuffix(".tar.gz") for path in HERE.glob("*.tar.gz"))
MODEL, DATASET = "model/img/net", "dataset/images/digits"


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, unpacked, in the home of a user who has no other."""
    move_in(tmp_path, monkeypatch)
    monkeypatch.setenv("AH_USER", "ann")
    store = tmp_path / "store"
    with tarfile.open(HERE / f"{name}.tar.gz") as tar:
        for member in tar:
            assert member.isfile()
            assert ".." not in member.name.split("/")
            path = store / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            file = tar.extractfile(member)
            assert file is not None
            path.write_bytes(file.read())
    return store


def told(name: str) -> object:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def opened(folder: Path) -> Store:
    return Store.open(folder, user="ann", cache_dir=folder.parent / "cache", create=False)


def as_json(value: object) -> object:
    return json.loads(json.dumps(value))


def test_there_is_one_of_each_format() -> None:
    assert {"format-1", "format-1-runs"} <= set(STORES)


def test_all_that_was_there_is_there(name: str, folder: Path) -> None:
    with opened(folder) as store:
        assert as_json(seen(store)) == told(name)
        assert not check(store.core.repo).damages


def test_every_byte_of_every_file(folder: Path) -> None:
    theirs = stranger.Store(str(folder))
    with opened(folder) as store:
        for path in (MODEL, DATASET):
            for ref in store.list(path, resource="branch"):
                version = store.version(f"{path}:{ref['name']}")
                commit = bytes.fromhex(version.list_commit()[0]["id"])
                for row in theirs.files(commit):
                    data = theirs.content(row)
                    assert hashlib.md5(data).digest() == row[2]
                    with version.open(row[0]) as file:
                        assert file.read() == data


@pytest.mark.parametrize("name", ["format-1"], indirect=True)
def test_it_holds_something_of_everything(folder: Path) -> None:
    with opened(folder) as store:
        repo = store.core.repo
        packs = list(list_packs(repo.storage))
        places = [p for family, pack in packs for _, p in repo.packs.read_index(family, pack)]
    assert {family for family, _ in packs} == {"data", "meta"}
    assert {place.kind for place in places} == set(Kind)
    assert {place.codec for place in places} >= {0, 1, 3}
    assert list((folder / "index").iterdir())
    assert (folder / "cells" / "gc").is_dir()
    theirs = stranger.Store(str(folder))
    models = {path: asset["id"] for path, asset in theirs.assets()}
    main_ref = next(
        commit for ref, _, commit in theirs.refs(models[f"ann/{MODEL}"]) if ref == "main"
    )
    assert max(row[4] >> 4 for row in theirs.files(main_ref)) >= 1


@pytest.mark.parametrize("name", ["format-1-runs"], indirect=True)
def test_every_run(name: str, folder: Path) -> None:
    """Where a number comes from must be told for as long as the number is there."""
    theirs = stranger.Store(str(folder))
    with opened(folder) as store:
        model = store.model(MODEL).record
        runs = store.core.jobs.list(model)
        found = dict(theirs.runs(model.id))
        assert set(found) == {run.id for run in runs}
        for run in runs:
            value = found[run.id]
            assert plain(value["spec"]) == plain(run.spec.to_value())
            assert (value["state"], value["reason"]) == (run.state, run.reason)
            assert (value["commit"], value["evaluation"]) == (run.commit, run.evaluation)
            assert (value["environment"], value["outcome"]) == (run.environment, run.outcome)
            assert theirs.printed(run.id) == list(store.core.jobs.logs(run))
            metrics = [json.loads(line) for line in theirs.printed(run.id, ".metrics")]
            assert metrics == [dict(point) for point in store.core.jobs.metrics(run)]
    kinds = {(run.spec.type, run.state) for run in runs}
    assert kinds == {
        *[(type_, "Succeeded") for type_ in ("train", "evaluate", "rerun")],
        ("train", "Failed"),
    }
    assert any(run.spec.checkpoint and run.spec.type == "train" for run in runs)
    assert sum(len(theirs.printed(run.id, ".metrics")) for run in runs) > 4
    assert all(theirs.printed(run.id) for run in runs)


@pytest.mark.parametrize("name", ["format-1-runs"], indirect=True)
def test_every_verb_that_reads_runs(
    name: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = told(name)[f"ann/{MODEL}"]["runs"]  # type: ignore[index]
    per_run = [f"{verb} {run}" for run in runs for verb in ("show workflow", "logs")]
    for words in [
        *per_run,
        f"ls workflow {MODEL} --json",
        f"ls evaluation {MODEL}:trained",
        f"why {MODEL}:trained",
        f"why {MODEL}:trained~1",
        f"lineage {MODEL}:trained",
        f"lineage {DATASET} --down",
        f"compare {MODEL}",
        f"show {MODEL}:trained@{{0}}",
    ]:
        assert main(words.split()) == 0, (words, capfd.readouterr().err)
        assert capfd.readouterr().out, words


@pytest.mark.parametrize("name", ["format-1-runs"], indirect=True)
def test_a_run_is_deleted_and_the_others_stay(folder: Path) -> None:
    with opened(folder) as store:
        model = store.model(MODEL).record
        first, *others = store.core.jobs.list(model)
        before = {run.id: list(store.core.jobs.logs(run)) for run in others}
        store.core.jobs.delete(first)
        collect(store.core.repo, Policy(now=True, min_age=0))
        assert {r.id: list(store.core.jobs.logs(r)) for r in store.core.jobs.list(model)} == before
        assert not list(store.core.repo.storage.list(f"logs/{first.id}/"))
        assert not check(store.core.repo).damages


READING = [
    "ls folder",
    "ls model img",
    "ls dataset images",
    f"ls branch {MODEL}",
    f"ls tag {MODEL}",
    f"ls commit {MODEL}",
    f"ls object {MODEL}:v1",
    f"ls object {DATASET} train/3",
    f"ls evaluation {MODEL}",
    f"ls workflow {MODEL}",
    f"show {MODEL}",
    f"show {MODEL}:v1",
    f"log {MODEL}",
    f"log {MODEL}:main~1",
    f"cat {MODEL} text.md",
    f"diff {MODEL}:v1 main",
    f"download {MODEL} -s out",
    f"download {DATASET}:v1 -s digits",
    f"export {MODEL} {DATASET} -o file.ahb",
    "info",
    "fsck --read-data",
    "gc --dry-run",
    "clone @ copy",
]


def test_every_verb_that_reads(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for words in READING:
        assert main(words.split()) == 0, (words, capfd.readouterr().err)
    assert Path("out/run.sh").stat().st_mode & 0o100
    assert Path("out/päth/数据.json").read_bytes() == b"{}\n"
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p: after.get(p) for p in before} == before


def test_a_copy_is_written_to(name: str, folder: Path) -> None:
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    Path("new").write_bytes(b"new")
    with opened(copy) as store:
        old = store.version(f"{MODEL}:v1").list_object()
        store.commit(MODEL, "New", add=["new"])
        store.merge(f"{MODEL}:tmp", "main", msg="m")
        store.version(MODEL).create_evaluation({"m": {"x": 1}}, DATASET)
        store.create("model/new")
        store.create("model/new/a")
        assert [row["path"] for row in store.list(MODEL) if row["path"] == "new"] == ["new"]
        assert store.version(f"{MODEL}:v1").list_object() == old
        collect(store.core.repo)
        assert not check(store.core.repo).damages
        # And both ways between the two.
        with opened(folder) as first:
            sync(store, first, [MODEL])
            commits = [side.list(MODEL, resource="commit") for side in (first, store)]
            assert commits[0] == commits[1]
