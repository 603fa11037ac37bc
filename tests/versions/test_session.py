"""The writer's steps: leases, condemned packs, order of writes, and what a commit costs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ahstore.codec.digests import sha256
from ahstore.errors import LeaseLostError, NotFoundError
from ahstore.ids import ChunkId
from ahstore.packs.place import Kind
from ahstore.storage.cells import Cell
from ahstore.storage.leases import list_leases, revoke
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.history.closure import check_complete
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.session import GC_CELL, SMALL_BYTES, WriteSession
from tests.versions.kit import Asset

CELL = Cell("test", ("one",))


def test_a_session_holds_a_lease_that_the_store_ends_when_closed(repo: Repository) -> None:
    with repo.session([CELL]):
        assert len(list(list_leases(repo.cells))) == 1
    assert len(list(list_leases(repo.cells))) == 1
    repo.close()
    assert list(list_leases(repo.cells)) == []


def test_a_session_that_fails_leaves_nothing(repo: Repository) -> None:
    def fail(session: WriteSession) -> None:
        session.put_chunk(b"x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), repo.session([CELL]) as session:
        fail(session)
    repo.leases.rest()
    assert list(list_leases(repo.cells)) == []
    assert list(repo.storage.list("packs/")) == []


def test_a_revoked_writer_publishes_nothing(repo: Repository) -> None:
    """gc has stopped waiting for him: what he reuses may be deleted already."""
    with repo.session([CELL]) as session:
        for lease in list_leases(repo.cells):
            revoke(repo.cells, lease.id)
        with pytest.raises(LeaseLostError):
            session.swap(CELL, -1, {"a": 1})
    assert repo.cells.read(CELL).number == -1


def put(repo: Repository, data: bytes) -> ChunkId:
    with repo.session([CELL]) as session:
        chunk = session.put_chunk(data)
        session.flush()
        return chunk


@pytest.mark.parametrize("phase", ["open", "final"])
def test_a_condemned_pack_is_not_reused(repo: Repository, phase: str) -> None:
    """gc is about to delete it: a commit that relied on it would lose its bytes."""
    chunk = put(repo, b"data")
    place = repo.place(Kind.CHUNK, chunk)
    repo.cells.swap(GC_CELL, -1, {"phase": phase, "packs": [place.pack]})
    put(repo, b"data")
    assert len(list(repo.storage.list("packs/"))) == 2


def test_a_pack_that_is_there_is_reused(repo: Repository) -> None:
    put(repo, b"data")
    repo.cells.swap(GC_CELL, -1, {"phase": "done", "packs": []})
    put(repo, b"data")
    assert len(list(repo.storage.list("packs/"))) == 1


def test_a_pack_that_is_gone_is_not_reused(repo: Repository) -> None:
    """The cached index may know places that gc has deleted since."""
    put(repo, b"data")
    repo.leases.rest()  # gc deletes no pack that a lease still held has confirmed
    for key in list(repo.storage.list("packs/")):
        repo.storage.delete(key)
    put(repo, b"data")
    assert len(list(repo.storage.list("packs/"))) == 1
    assert repo.read_chunk(ChunkId(sha256(b"data"))) == b"data"


def test_a_lost_race_is_run_again_on_the_new_value(repo: Repository) -> None:
    seen = []

    def change(current, session):  # type: ignore[no-untyped-def]
        seen.append(current.number)
        if len(seen) == 1:
            repo.cells.swap(CELL, current.number, {"n": 10})
        return {"n": current.value.get("n", 0) + 1}

    assert repo.update(CELL, change).value == {"n": 11}
    assert seen == [-1, 0]


def test_an_incomplete_commit_is_found_out(asset: Asset) -> None:
    asset.write(a=random.Random(3).randbytes(SMALL_BYTES + 1))
    commit = asset.commit()
    with asset.repo.session([CELL]) as session:
        check_complete(asset.repo, commit, session)
    asset.repo.leases.rest()
    for key in list(asset.repo.storage.list("packs/data/")):
        asset.repo.storage.delete(key)
    with (
        asset.repo.session([CELL]) as session,
        pytest.raises(NotFoundError, match=r"chunk .* is missing"),
    ):
        check_complete(asset.repo, commit, session)


def test_what_a_commit_writes_and_in_which_order(asset: Asset) -> None:
    """Data, then meta, then the lease is read, then the branch: nothing dangling can be seen."""
    asset.write(**{f"f{n}": str(n) for n in range(500)})
    asset.commit()
    asset.repo.leases.rest()
    recording = RecordingStorage(asset.repo.storage)
    repo = Repository(
        recording,
        {"id": asset.repo.creation_id, "chunking": asset.repo.cutting.to_value()},
        asset.repo._cache_root,
    )
    asset.write(f7="changed")
    recording.calls.clear()
    commit_files(repo, asset.id, "main", message="m", committer="ann", add=[f"{asset.work}/*"])
    writes = [
        "/".join(call.key.split("/")[:2])
        for call in recording.calls
        if call.op in ("create", "commit", "replace")
    ]
    assert writes == ["cells/lease", "packs/meta", "cells/ref"]
    check = ("newest_version", "cells/lease")
    ops = [(call.op, "/".join(call.key.split("/")[:2])) for call in recording.calls]
    assert (
        ops.index(("commit", "packs/meta")) < ops.index(check) < ops.index(("create", "cells/ref"))
    )
    written = sum(c.size for c in recording.calls if c.op in ("create", "commit"))
    assert written < 64 * 1024
    assert Refs(repo).get(asset.id, "main").number == 2
    repo.close()


def test_data_that_is_not_small_has_a_pack_of_its_own(asset: Asset) -> None:
    """History is read without touching data; and what refers to data follows it."""
    recording = recorded(asset.repo)
    repo = Repository(recording, settings_of(asset.repo), None)
    asset.write(a=random.Random(4).randbytes(3 * SMALL_BYTES), b=b"b")
    commit_files(repo, asset.id, "main", message="m", committer="ann", add=[f"{asset.work}/*"])
    writes = [
        "/".join(c.key.split("/")[:2]) for c in recording.calls if c.op in ("create", "commit")
    ]
    assert writes == ["cells/lease", "packs/data", "packs/meta", "cells/ref"]
    assert recording.carried("write", under="packs/meta") < 4096
    repo.close()


def recorded(repo: Repository) -> RecordingStorage:
    return RecordingStorage(repo.storage)


def settings_of(repo: Repository) -> dict[str, object]:
    return {"id": repo.creation_id, "chunking": repo.cutting.to_value()}


def test_a_large_write_looks_for_what_others_have_stored(
    asset: Asset, open_repo: Callable[[], Repository]
) -> None:
    """Two users of one store would each keep a copy of the same dataset."""
    data = random.Random(7).randbytes(6_000_000)
    other = open_repo()
    other._cache_root = None
    other.index.refresh()
    asset.write(data=data)
    asset.commit()
    before = stored(other)
    with other.session([CELL]) as session:
        for at in range(0, len(data), 500_000):
            session.put_chunk(data[at : at + 500_000])
        session.flush()
    again = stored(other) - before
    assert again > 5_000_000, "cut otherwise, so these are new chunks"
    with asset.repo.session([CELL]) as session:
        for at in range(0, len(data), 500_000):
            session.put_chunk(data[at : at + 500_000])
        session.flush()
    assert stored(other) - before - again < 1_100_000


def stored(repo: Repository) -> int:
    return sum(repo.storage.stat(key).size for key in repo.storage.list("packs/data/"))


def test_what_another_has_just_committed_is_found_without_looking_for_it(
    asset: Asset, open_repo: Callable[[], Repository]
) -> None:
    """Else each of many committers lists all packs of the store for every commit of another."""
    other = open_repo()
    other._cache_root = None
    recording = RecordingStorage(asset.repo.storage)
    settings = {"id": asset.repo.creation_id, "chunking": asset.repo.cutting.to_value()}
    mine = Repository(recording, settings, None)
    asset.work.mkdir()

    def commit(repo: Repository, text: str, monitor: Monitor = SILENT) -> None:
        asset.write(**{text: text})
        source = [f"{asset.work}/{text}"]
        commit_files(
            repo, asset.id, "main", message="m", committer="a", add=source, monitor=monitor
        )

    class Overtaking(Monitor):
        def finish(self) -> None:
            commit(other, "2")

    commit(mine, "1")
    recording.calls.clear()
    commit(mine, "3", Overtaking())
    listed = [c.key for c in recording.calls if c.op.startswith("list") and "packs" in c.key]
    assert listed == []
    assert Refs(mine).get(asset.id, "main").number == 3
