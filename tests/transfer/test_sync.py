"""Stores brought together: both ways, again and again, and what may not be moved."""

from __future__ import annotations

import random

from ahstore.transfer.sync import SyncOptions, clone, sync
from tests.transfer.kit import Side


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def fill(side: Side) -> None:
    model, data = side.asset(), side.asset("digits", "img", "dataset")
    first = side.commit(model, {"a.txt": b"one", "sub/b.bin": noise(3 * 2**20, 1), "empty": b""})
    side.branch(model, "v1", first, "tag")
    side.branch(model, "dev", first)
    side.commit(model, {"a.txt": b"two", "text": b"hello world\n" * 50_000}, branch="dev")
    side.commit(data, {f"{i:04}/x": b"%d" % i for i in range(700)})
    side.evaluate(model, data)
    side.evaluate(model, data, ref="dev", note="x" * 10_000)


def test_all_that_is_in_one_store_comes_to_the_other(source: Side, target: Side) -> None:
    fill(source)
    result = sync(source.hub, target.hub)
    assert target.snapshot() == source.snapshot()
    assert [asset.created for asset in result.assets] == [True, True]
    assert not result.refused


def test_what_is_there_is_not_sent_again(source: Side, target: Side) -> None:
    fill(source)
    sync(source.hub, target.hub)
    packs = target.packs()
    again = sync(source.hub, target.hub)
    assert again.traffic.sent == again.traffic.sent_bytes == 0
    assert not any(asset.changed for asset in again.assets)
    assert target.packs() == packs


def test_both_ways(source: Side, target: Side) -> None:
    fill(source)
    sync(source.hub, target.hub)
    model = target.asset()
    target.commit(model, {"new": b"of the other side"}, branch="dev")
    target.evaluate(model, target.asset("digits", "img", "dataset"), ref="dev", note="other")
    back = sync(target.hub, source.hub)
    assert {ref.name: ref.action for ref in back.assets[1].refs} | {
        ref.name: ref.action for ref in back.assets[0].refs
    } == {"main": "same", "v1": "same", "dev": "moved"}
    assert target.snapshot() == source.snapshot()


def test_a_clone_cuts_files_as_its_source(source: Side, target: Side) -> None:
    fill(source)
    clone(source.hub, target.hub)
    assert target.snapshot() == source.snapshot()


def test_dry_run_writes_nothing(source: Side, target: Side) -> None:
    fill(source)
    result = sync(source.hub, target.hub, (), SyncOptions(dry_run=True))
    assert [asset.created for asset in result.assets] == [True, True]
    assert target.snapshot() == {}
    assert target.packs() == set()
