"""Bundles: what goes in comes out, in parts too, and nothing damaged gets anywhere."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from ahstore.errors import AhError, CorruptError, InvalidInputError, NotFoundError
from ahstore.hub.paths import parse
from ahstore.transfer.exporting import export
from ahstore.transfer.importing import import_bundle
from ahstore.transfer.sync import SyncOptions
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side, bundle_of, contents, opened
from tests.transfer.test_sync import fill, noise


def put(side: Side, data: bytes, **options: object) -> object:
    with opened(data) as bundle:
        return import_bundle(side.hub, bundle, SyncOptions(**options))  # type: ignore[arg-type]


def test_everything_in_one_file(source: Side, target: Side) -> None:
    fill(source)
    put(target, bundle_of(source, "model", "dataset"))
    assert target.snapshot() == source.snapshot()


def test_one_version_with_its_history(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    fill(source)
    model = source.asset()
    put(target, bundle_of(source, "dataset"))
    put(target, bundle_of(source, "model/img/net:dev"))
    assert target.head(model, "dev") == source.head(model, "dev")
    assert target.head(model) is None
    # Only what was measured on commits that came.
    assert len(target.hub.list_evaluations(model.id)) == 2


def test_a_commit_needs_a_name(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    fill(source)
    model = source.asset()
    commit = source.head(model, "dev")
    assert commit is not None
    with pytest.raises(InvalidInputError, match="how the branch"):
        bundle_of(source, f"model/img/net:{commit.hex()}")
    put(target, bundle_of(source, f"model/img/net:{commit.hex()}", branch="kept"))
    assert target.head(model, "kept") == commit


def test_what_came_since(make_side: MakeSide) -> None:
    source, target, third = (make_side("memory") for _ in range(3))
    fill(source)
    put(target, bundle_of(source, "model/img/net"))
    model = source.asset()
    source.branch(model, "mark", source.head(model), "tag")  # type: ignore[arg-type]
    source.commit(model, {"sub/b.bin": noise(3 * 2**20, 1) + b"!", "c": b"c"})
    put(target, bundle_of(source, "model/img/net:mark"))
    whole = bundle_of(source, "model/img/net:main")
    part = bundle_of(source, "model/img/net:main", since=("mark",))
    assert len(part) < len(whole) / 3
    put(target, part)
    assert target.head(model) == source.head(model)
    assert contents(target.repo, target.head(model)) == contents(source.repo, source.head(model))  # type: ignore[arg-type]
    before = third.snapshot()
    with pytest.raises(NotFoundError, match="builds on commit"):
        put(third, part)
    assert third.head(model) is None
    assert {k: v for k, v in third.snapshot().items() if k not in before} == {
        source.asset().path.rpartition("/")[0]: source.snapshot()[model.path.rpartition("/")[0]]
    }


def test_another_name(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    fill(source)
    put(target, bundle_of(source, "model/img/net"), as_path=parse("bob/model/f/other"))
    found = target.hub.get_asset_by_id(source.asset().id)
    assert (found.owner, found.folder_name, found.name) == ("bob", "f", "other")


def test_dry_run_reads_all_and_writes_nothing(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    fill(source)
    data = bundle_of(source, "model/img/net")
    put(target, data, dry_run=True)
    assert target.snapshot() == {}
    assert target.packs() == set()


def test_a_flipped_bit_anywhere_is_refused_before_anything_is_written(
    make_side: MakeSide, tmp_path: Path
) -> None:
    # Without the check of the whole file a damaged bundle would be imported in part, and be
    # trusted where its damage lies in what is not read.
    source, target = make_side("memory"), make_side("memory")
    model = source.asset()
    source.commit(model, {"a": b"one", "b": noise(5000, 2), "t": b"text " * 1000})
    data = bundle_of(source, "model/img/net")
    rng = random.Random(7)
    places = [*range(40), *range(len(data) - 80, len(data)), *rng.sample(range(len(data)), 300)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        with pytest.raises(AhError) as caught:
            put(target, bytes(damaged))
        assert isinstance(caught.value, CorruptError), place
    for length in (0, 1, 19, 20, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(CorruptError):
            put(target, data[:length])
    with pytest.raises(CorruptError):
        put(target, data + b"\0")
    assert target.snapshot() == {}
    assert target.packs() == set()


def test_export_streams(make_side: MakeSide) -> None:
    class Pipe(io.RawIOBase):
        """Takes little at a time and can't go back."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            taken = bytes(memoryview(data).cast("B")[:1000])  # type: ignore[arg-type]
            self.data += taken
            return len(taken)

    source, target = make_side("memory"), make_side("memory")
    fill(source)
    pipe = Pipe()
    export(source.hub, ["model/img/net"], pipe, "-")  # type: ignore[arg-type]
    put(target, bytes(pipe.data))
    assert target.head(source.asset()) == source.head(source.asset())
