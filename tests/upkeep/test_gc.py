"""gc by itself: what it keeps, what it gives back, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from ahstore.errors import CorruptError, UnsupportedError
from ahstore.hub.assets import Assets
from ahstore.ids import AssetId, CommitId, LeaseId, new_entity_id
from ahstore.packs.place import Kind, pack_key
from ahstore.storage.cells import Cell, CellState
from ahstore.storage.leases import Lease, list_leases
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.holders import WriterBusyError
from ahstore.upkeep.policy import Policy
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.gc_plan import read_plan
from ahstore.versions.refs import ref_cell
from tests.upkeep.kit import DEAD, MODEL, NOW, House, new_house


def test_what_is_needed_stays(house: House) -> None:
    """gc that takes one blob too many is data loss."""
    house.commit(a=house.noise(300_000), b=b"small")
    house.store.create(f"{MODEL}:side")
    house.commit("side", c=house.noise(200_000))
    house.store.create(f"{MODEL}:v1", resource="tag", source="side")
    house.store.delete(f"{MODEL}:side")
    before = {ref: house.content(ref) for ref in ("main", "v1")}
    report = collect(house.repo, NOW)
    assert report.unneeded.packs == 0
    assert {ref: house.content(ref) for ref in ("main", "v1")} == before
    assert check(house.repo).clean


def test_a_deleted_branch_is_given_back_after_retention(house: House) -> None:
    house.commit(a=house.noise(100_000))
    lost = house.deleted_branch(2_000_000)
    before = house.size()
    assert collect(house.repo, Policy(min_age=0)).reclaimed == 0
    assert house.holds(lost)
    told = collect(house.repo, NOW, dry_run=True)
    assert house.size() == before
    done = collect(house.repo, NOW)
    assert told.reclaimed == done.reclaimed > 2_000_000
    assert house.size() <= before - 2_000_000
    assert not house.holds(lost)
    assert check(house.repo).clean


def test_former_heads_are_kept_as_told(house: House) -> None:
    ids = [house.commit(a=house.noise(50_000)) for _ in range(4)]
    house.store.reset(MODEL, ids[0])
    collect(house.repo, Policy(now=True, keep_last=1))
    assert all(map(house.holds, ids))
    collect(house.repo, NOW)
    assert [house.holds(commit) for commit in ids] == [True, False, False, False]
    history = list(house.repo.cells.history(ref_cell(house.asset, "main")))
    assert [version.state for version in history] == [CellState.LIVE, CellState.EMPTIED]
    assert check(house.repo).clean


def test_segments_that_gc_replaces_go_with_the_packs(house: House) -> None:
    """Of a million small files the index is a tenth: kept twice, space would not be given back."""
    house.commit(a=house.noise(100_000))
    house.deleted_branch()
    house.repo.index.consolidate(everything=True)
    house.repo.leases.rest()
    (before,) = house.repo.storage.list("index/")
    collect(house.repo, NOW)
    (after,) = house.repo.storage.list("index/")
    assert after != before
    assert check(house.repo).clean


def test_young_packs_are_left_alone(house: House) -> None:
    """What another tool is copying into the store looks like rubbish until its cells come."""
    house.deleted_branch()
    report = collect(house.repo, Policy(retention=0))
    assert report.reclaimed == 0
    assert report.young.bytes > 100_000


def evaluated(house: House) -> tuple[str, str]:
    """Return a model's and a dataset's commit that nothing but an evaluation needs."""
    store = house.store
    store.create("dataset/d")
    store.create("dataset/d/data")
    model = house.commit(w=house.noise(50_000))
    (house.work / "rows").write_bytes(house.noise(60_000))
    made = store.commit("dataset/d/data", "rows", add=[str(house.work / "rows")])
    assert made is not None
    results = {"metric.json": {"acc": 1}, "long.json": {"text": "x" * 8000}}
    store.version(MODEL).create_evaluation(results, dataset="dataset/d/data")
    store.delete("dataset/d/data")
    store.reset(MODEL, store.list(MODEL, resource="commit")[-1]["id"])
    return model, made.id


def test_what_evaluations_pin_stays(house: House) -> None:
    """A number whose model is gone can't be followed back."""
    pinned = evaluated(house)
    collect(house.repo, NOW)
    assert all(map(house.holds, pinned))
    (evaluation,) = house.store.list(f"{MODEL}:{pinned[0]}", resource="evaluation")
    assert len(str(evaluation["results"])) > 8000
    assert check(house.repo).clean
    house.store.delete_evaluation(evaluation["id"])
    collect(house.repo, NOW)
    assert not any(map(house.holds, pinned))


def test_pinned_commits_stay(house: House) -> None:
    lost = house.deleted_branch()
    with Lease.take(house.repo.cells, [], pins=[CommitId(bytes.fromhex(lost))]):
        collect(house.repo, NOW)
        assert house.holds(lost)
    collect(house.repo, NOW)
    assert not house.holds(lost)


def test_a_living_writer_is_waited_for_and_a_dead_one_fenced(house: House) -> None:
    """A dead writer who is held for alive would stop gc for ever; the other way costs a commit."""
    house.deleted_branch()
    cell = ref_cell(house.asset, "main")
    number = house.repo.cells.read(cell).number
    with Lease.take(house.repo.cells, [cell]), pytest.raises(WriterBusyError):
        collect(house.repo, NOW)
    plan = read_plan(house.repo.cells)
    assert plan is not None
    assert plan.phase == "open"
    Lease.take(house.repo.cells, [cell], holder=DEAD)
    assert collect(house.repo, NOW).leases == 1
    assert house.repo.cells.read(cell).number == number + 1
    assert not list(list_leases(house.repo.cells))
    assert check(house.repo).clean


def test_a_cell_that_a_dead_writer_had_yet_to_make_is_fenced_too(house: House) -> None:
    """His create may still land, and what it points to be gone."""
    house.commit(a=b"1")
    cell = ref_cell(house.asset, "new")
    Lease.take(house.repo.cells, [cell], holder=DEAD)
    collect(house.repo, NOW)
    assert house.repo.cells.read(cell).state is CellState.ABSENT
    assert house.store.create(f"{MODEL}:new")


def damage(house: House, kind: Kind, address: bytes) -> str:
    """Flip a bit of a blob; return the key of its pack."""
    place = house.repo.place(kind, address)  # type: ignore[arg-type]
    key = pack_key(place.family, place.pack)
    path = Path(str(house.repo.storage.capabilities.local_path)) / key
    data = bytearray(path.read_bytes())
    data[place.offset + place.stored // 2] ^= 1
    os.chmod(path, 0o644)
    path.write_bytes(data)
    return key


def test_nothing_is_deleted_while_a_root_cannot_be_read(local: House) -> None:
    """What a damaged commit needs can't be told: going on would make a small damage a large one."""
    local.deleted_branch()
    head = local.commit(a=local.noise(50_000))
    damage(local, Kind.COMMIT, bytes.fromhex(head))
    packs = list(local.repo.storage.list("packs/"))
    with pytest.raises(CorruptError, match=f"ref/{local.asset}/main"):
        collect(local.repo, NOW)
    assert list(local.repo.storage.list("packs/")) == packs


def test_a_kind_of_cell_from_a_later_version_stops_gc(house: House) -> None:
    house.repo.cells.swap(Cell("dream", ("one",)), -1, {"commit": b"x" * 32})
    with pytest.raises(UnsupportedError):
        collect(house.repo, NOW)


def test_many_small_packs_are_merged(house: House) -> None:
    """Small commits each leave a pack or two; ten thousand of them make everything slow."""
    for number in range(20):
        house.commit(a=b"%d" % number)
    before = house.content()
    packs = len(list(house.repo.storage.list("packs/")))
    collect(house.repo, NOW)
    assert len(list(house.repo.storage.list("packs/"))) < packs // 5
    assert house.content() == before
    assert check(house.repo).clean
    assert collect(house.repo, NOW).reclaimed == 0


def test_space_is_given_back_to_within_five_percent(tmp_path: Path) -> None:
    """The promise: of two unlike branches whose data share packs one is deleted."""
    both, alone = (new_house(str(tmp_path / name), tmp_path, name=name) for name in ("b", "a"))
    keep = {f"k{n}": both.noise(40_000) for n in range(60)}
    drop = {f"d{n}": both.noise(40_000) for n in range(60)}
    alone.commit(**keep)
    names = [name for pair in zip(keep, drop, strict=True) for name in pair]
    both.store.create(f"{MODEL}:side")
    root = both.store.list(MODEL, resource="commit")[-1]["id"]
    both.commit("side", **{name: (keep | drop)[name] for name in names})
    both.commit("main", **keep)
    both.store.delete(f"{MODEL}:side")
    assert both.size() > 1.9 * alone.size()
    assert root
    report = collect(both.repo, NOW)
    assert report.rewritten.packs
    assert both.content() == keep
    assert both.size() <= 1.05 * alone.size()
    assert check(both.repo).clean


def test_a_plan_that_was_left_is_finished(house: House) -> None:
    """A gc that was killed leaves a plan: nobody could delete anything until someone ends it."""
    lost = house.deleted_branch()
    with (
        Lease.take(house.repo.cells, [Cell("ref", ("x", "y"))]),
        pytest.raises(WriterBusyError),
    ):
        collect(house.repo, NOW)
    assert house.holds(lost)
    assert collect(house.repo, NOW).rounds == 0
    assert not house.holds(lost)
    plan = read_plan(house.repo.cells)
    assert plan is not None
    assert plan.phase == "done"
    assert check(house.repo).clean


def test_plans_of_many_cells_keep_their_marks_in_records(house: House) -> None:
    """A gc cell that outgrew its limits would stop every writer."""
    lost = house.deleted_branch()
    for number in range(12):
        house.store.create(f"{MODEL}:b{number}")
    with (
        mock.patch("ahstore.upkeep.gc.INLINE_MARKS", 5),
        mock.patch("ahstore.upkeep.gc.MARKS_IN_TABLE", 7),
        Lease.take(house.repo.cells, [Cell("ref", ("x", "y"))]),
        pytest.raises(WriterBusyError),
    ):
        collect(house.repo, NOW)
    plan = read_plan(house.repo.cells)
    assert plan is not None
    assert not plan.marks
    marks = plan.all_marks(house.repo.packs)
    assert len(plan.tables) == 3
    assert marks[ref_cell(house.asset, "side").folder].below == 2
    collect(house.repo, NOW)
    assert not house.holds(lost)
    assert check(house.repo).clean


def test_half_deleted_assets_are_deleted(house: House) -> None:
    """Cells that no catalogue knows would keep their data for ever."""
    house.store.create("model/f/b")
    asset = AssetId(house.store.model("model/f/b").id)
    with mock.patch.object(Assets, "tombstone"):
        house.store.delete("model/f/b")
    assert house.repo.cells.read(ref_cell(asset, "main")).state is CellState.LIVE
    assert collect(house.repo, NOW).orphans == 1
    assert house.repo.cells.read(ref_cell(asset, "main")).state is CellState.DEAD
    assert collect(house.repo, NOW).orphans == 0


def test_assets_that_no_catalogue_ever_named_are_let_be(house: House) -> None:
    """One that is being made, or was half received from another store, looks like one half deleted."""
    asset = AssetId(new_entity_id())
    folder = house.repo.cells.read(Cell("asset", (house.asset,))).value["folder"]
    cell = Cell("asset", (asset,))
    house.repo.cells.swap(cell, -1, {"folder": folder, "id": str(asset), "name": "y"})
    create_asset_root(house.repo, asset, committer="ann")
    house.repo.leases.rest()
    assert collect(house.repo, NOW).orphans == 0
    assert house.repo.cells.read(cell).state is CellState.LIVE
    assert check(house.repo).clean


def test_logs_and_heartbeats_of_what_is_gone_are_removed(house: House) -> None:
    storage = house.repo.storage
    gone = new_entity_id()
    storage.create(f"logs/{gone}/00000000", b"printed", durable=False)
    storage.create(f"logs/{gone}.metrics/00000000", b"{}", durable=False)
    storage.create("logs/of-something-else/00000000", b"?", durable=False)
    lease = LeaseId(new_entity_id())
    storage.replace(f"hints/heartbeat/{lease}", b"")
    assert collect(house.repo, NOW).leftovers == 1
    assert list(storage.list("logs/")) == ["logs/of-something-else/00000000"]
    assert storage.exists(f"hints/heartbeat/{lease}")  # too young to tell
