"""What a transfer reads and writes follows what is new, counted in storage calls and bytes."""

from __future__ import annotations

import random

from ahstore.hub.hub import Hub
from ahstore.packs.place import Kind
from ahstore.storage.contract import Storage
from ahstore.storage.recording import RecordingStorage
from ahstore.transfer.sync import sync
from ahstore.versions.repository import Repository
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import Side


def recorded(side: Side) -> tuple[Hub, RecordingStorage]:
    """Return the store with its index at hand, and the record of what is asked of its storage."""
    storage = RecordingStorage(side.repo.storage)
    hub = Hub(over(side.repo, storage), "ann")
    hub.repo.index.refresh()
    storage.clear()
    return hub, storage


def over(repo: Repository, storage: Storage) -> Repository:
    settings = {"id": repo.creation_id, "chunking": repo.cutting.to_value()}
    return Repository(storage, settings, None)


def test_one_new_commit_in_a_tree_of_8000_files(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    data = source.asset("digits", "img", "dataset")
    files = {f"{i % 200:03}/{i:05}.txt": b"%d" % i for i in range(8_000)}
    source.commit(data, files)
    sync(source.hub, target.hub)
    source.commit(data, {"100/00100.txt": b"changed", "100/more.txt": b"new"})
    here, reads = recorded(source)
    there, writes = recorded(target)
    result = sync(here, there)
    assert result.traffic.commits == 1
    # The commit, two chunks, and pages of three levels.
    assert result.traffic.sent <= 3 + 2 * 3
    assert result.traffic.sent_bytes <= 128 * 1024
    assert reads.carried("read_range", under="packs/") <= 400 * 1024
    assert reads.count("read_range", under="packs/data/") <= 2
    assert reads.count("read_range", under="packs/") <= 24
    assert writes.count("new_file") == 2
    assert writes.carried("read_range", under="packs/") <= 400 * 1024
    assert target.head(data) == source.head(data)


def test_nothing_new_costs_a_look_at_the_refs(make_side: MakeSide) -> None:
    source, target = make_side("memory"), make_side("memory")
    model = source.asset()
    for i in range(30):
        source.commit(model, {"a": b"%d" % i, "b": b"%d" % i * 1000})
    sync(source.hub, target.hub)
    here, reads = recorded(source)
    there, writes = recorded(target)
    sync(here, there)
    assert reads.count("read_range", under="packs/") <= 8
    assert writes.count("create", "new_file") == 0
    assert reads.count("create", under="cells/lease/") <= 2  # the pin, and its end


def test_chunks_that_lie_together_are_read_together_and_not_compressed_again(
    make_side: MakeSide,
) -> None:
    source, target = make_side("memory"), make_side("memory")
    model = source.asset()
    rng = random.Random(1)
    source.commit(model, {f"{i:04}": rng.randbytes(4000) for i in range(3000)})
    source.commit(model, {"text": b"".join(b"line %d\n" % i for i in range(300_000))})
    here, reads = recorded(source)
    result = sync(here, target.hub)
    assert reads.count("read_range", under="packs/data/") <= 6
    stored = {
        address: (place.stored, place.codec, place.checksum)
        for address, place in places(source.repo)
    }
    copied = {
        address: (place.stored, place.codec, place.checksum)
        for address, place in places(target.repo)
    }
    assert copied == stored
    assert any(codec for _, codec, _ in copied.values())
    assert result.traffic.sent >= 3000


def places(repo: Repository) -> list[tuple[bytes, object]]:
    from ahstore.packs.reader import list_packs

    return [
        (address, place)
        for family, pack in list_packs(repo.storage)
        for address, place in repo.packs.read_index(family, pack)
        if place.kind is Kind.CHUNK
    ]


def test_memory_does_not_grow_with_what_is_copied(make_side: MakeSide) -> None:
    # 300 MiB between local stores, of which no more may be held than spans and packs in the making.
    import subprocess
    import sys

    code = """
import resource, sys, os, random
from pathlib import Path
from ahstore.client.store import Store
from ahstore.client.transfer import sync
root = Path(sys.argv[1])
a = Store.open(root / "a", user="ann", cache_dir=root / "ca")
b = Store.open(root / "b", user="ann", cache_dir=root / "cb")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sync(a, b)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    source = make_side("local")
    root = source.work / "stores"
    root.mkdir()
    from ahstore.client.store import Store

    with Store.open(root / "a", user="ann", cache_dir=root / "ca") as store:
        store.create("model/f")
        store.create("model/f/a")
        large = source.work / "large"
        with large.open("wb") as file:
            rng = random.Random(2)
            for _ in range(300):
                file.write(rng.randbytes(2**20))
        store.commit("model/f/a", "m", add=[str(large)])
        large.unlink()
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= 200
