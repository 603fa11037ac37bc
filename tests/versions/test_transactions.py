"""Transactions: all or nothing, what they see, what they cost, and what ends them."""

from __future__ import annotations

import io
import os
import random
import shutil
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.codec.digests import sha256
from ahstore.errors import (
    ConflictError,
    InvalidInputError,
    LeaseLostError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
)
from ahstore.ids import CommitId
from ahstore.objects.file import MD5, PATH, SIZE
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.leases import list_leases, revoke
from ahstore.storage.recording import RecordingStorage
from ahstore.versions import background
from ahstore.versions.history.reset import reset
from ahstore.versions.publish import Signature
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import open_object
from ahstore.versions.transactions import alive
from ahstore.versions.transactions.transaction import Transaction
from tests.versions.kit import Asset

SIGNED = Signature("by hand", "ann", {"epoch": 5})


@pytest.fixture
def base(asset: Asset) -> CommitId:
    asset.write(a="a", b="b", f__x="x", f__y="y")
    return asset.commit()


def begin(asset: Asset, repo: Repository | None = None, **options: object) -> Transaction:
    return Transaction(repo or asset.repo, asset.id, "main", SIGNED, **options)  # type: ignore[arg-type]


@pytest.fixture
def changes(asset: Asset, base: CommitId) -> Iterator[Transaction]:
    made = begin(asset)
    yield made
    made.abandon()


def seen(changes: Transaction, prefix: str = "") -> list[str]:
    return [row[PATH] for row in changes.scan(prefix)]


def head(asset: Asset) -> CommitId:
    return Refs(asset.repo).get(asset.id, "main").commit


def read(asset: Asset, path: str, commit: CommitId | None = None) -> bytes:
    with open_object(asset.repo, commit or head(asset), path) as stream:
        return stream.read()


def over(asset: Asset, storage: object) -> Repository:
    """The store by way of another storage, as another process would open it."""
    settings = {"id": asset.repo.creation_id, "chunking": asset.repo.cutting.to_value()}
    return Repository(storage, settings, None)  # type: ignore[arg-type]


def test_everything_is_published_at_once(
    asset: Asset, base: CommitId, changes: Transaction
) -> None:
    changes.put_bytes("new/bytes", b"bytes")
    changes.put_stream("new/stream", io.BytesIO(b"stream"), executable=True)
    with changes.create("new/written") as stream:
        for word in (b"wri", bytearray(b"tt"), memoryview(b"en")):
            stream.write(word)
        assert stream.tell() == 7
    changes.delete("a")
    changes.move("b", "moved/b")
    changes.copy("f/", "g/")
    assert head(asset) == base, "nobody sees it yet"
    made = changes.publish()
    assert made is not None
    assert head(asset) == made.commit
    commit = asset.repo.read_commit(made.commit)
    assert (commit.parents, commit.message, commit.metadata) == ((base,), "by hand", {"epoch": 5})
    assert asset.paths(made.commit) == [
        "f/x", "f/y", "g/x", "g/y", "moved/b", "new/bytes", "new/stream", "new/written",
    ]  # fmt: skip
    contents = {
        path: read(asset, path) for path in ("new/bytes", "new/stream", "new/written", "g/x")
    }
    assert [*contents.values()] == [b"bytes", b"stream", b"written", b"x"]
    assert {c.path: c.kind for c in made.changes}["a"] == "deleted"


def test_nothing_is_published_when_it_is_given_up(
    asset: Asset, base: CommitId, changes: Transaction
) -> None:
    changes.put_bytes("a", b"other")
    changes.abandon()
    changes.abandon()
    asset.repo.leases.rest()
    assert head(asset) == base
    assert list(list_leases(asset.repo.cells)) == []
    for use in (
        lambda: changes.put_bytes("a", b""),
        lambda: changes.open("a"),
        lambda: changes.delete("a"),
        lambda: list(changes.scan()),
        changes.publish,
    ):
        with pytest.raises(ConflictError, match="is over"):
            use()


def test_what_changes_nothing_makes_no_commit(
    asset: Asset, base: CommitId, changes: Transaction
) -> None:
    changes.put_bytes("a", b"a")
    changes.move("b", "c")
    changes.move("c", "b")
    changes.delete("nothing")
    assert changes.publish() is None
    assert head(asset) == base


def test_it_sees_its_own_changes(changes: Transaction) -> None:
    changes.put_bytes("a", b"other")
    changes.put_bytes("f/a", b"1")
    changes.delete("f/x")
    assert changes.open("a").read() == b"other"
    assert seen(changes) == ["a", "b", "f/a", "f/y"]
    assert seen(changes, "f/") == ["f/a", "f/y"]
    assert changes.find("f/x") is None
    with pytest.raises(ObjectNotFoundError):
        changes.open("f/x")
    assert changes.delete("f/") == 2
    changes.put_bytes("f", b"a file now")
    assert seen(changes) == ["a", "b", "f"]
    found = changes.find("f")
    assert found is not None
    assert found.size == 10


def test_own_content_is_read_back_whatever_its_size(asset: Asset, changes: Transaction) -> None:
    """From memory, from packs made for it, and from those of before."""
    large = random.Random(1).randbytes(20_000_000)
    changes.put_bytes("large", large)
    changes.put_bytes("small", b"small")
    with changes.open("large") as stream:
        assert sha256(stream.read()) == sha256(large)
        stream.seek(12_345_678)
        assert stream.read(10) == large[12_345_678:12_345_688]
    assert changes.open("small").read() == b"small"
    assert changes.open("f/x").read() == b"x"
    made = changes.publish()
    assert made is not None
    assert sha256(read(asset, "large")) == sha256(large)


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_a_stream_is_stored_as_a_file_of_the_same_bytes(
    asset: Asset, changes: Transaction, tmp_path: Path, size: int
) -> None:
    """Else a commit of the same content would store it again and show it as changed."""
    data = random.Random(size).randbytes(size)
    local = tmp_path / "local"
    local.write_bytes(data)
    changes.put_local("local", str(local))
    changes.put_bytes("bytes", data)
    changes.put_stream("stream", io.BytesIO(data))
    with changes.create("written") as stream:
        for at in range(0, size, 7_777):
            stream.write(data[at : at + 7_777])
    rows = {row[PATH]: row for row in changes.scan() if row[PATH] not in "abf/xf/y"}
    assert len({(row[SIZE], row[MD5], row[-1]) for row in rows.values()}) == 1


def test_local_files_and_folders(asset: Asset, changes: Transaction, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "one").write_text("1")
    (folder / "sub" / "two").write_text("2")
    os.chmod(folder / "one", 0o755)
    changes.put_local("to/one", str(folder / "one"))
    changes.put_local("all/", str(folder))
    changes.put_local("", str(folder))
    assert seen(changes, "all/") == ["all/one", "all/sub/two"]
    assert {"one", "sub/two", "to/one"} <= set(seen(changes))
    entry = changes.find("to/one")
    assert entry is not None
    assert entry.executable
    with pytest.raises(ObjectNotFoundError):
        changes.put_local("x", str(tmp_path / "nothing"))
    with pytest.raises(InvalidInputError, match="is a file"):
        changes.put_local("x/", str(folder / "one"))
    with pytest.raises(InvalidInputError):
        changes.put_local("", str(folder / "one"))


@pytest.mark.parametrize("path", ["f", "a/b", "../x", "/x", "", "x/", "a//b"])
def test_a_place_where_no_object_can_be_is_refused_at_once(
    changes: Transaction, tmp_path: Path, path: str
) -> None:
    """To tell it at the end would cost hours of work."""
    (tmp_path / "local").write_text("x")
    before = seen(changes)
    for use in (
        lambda: changes.put_bytes(path, b""),
        lambda: changes.put_stream(path, io.BytesIO(b"")),
        lambda: changes.create(path),
        lambda: changes.put_local(path, str(tmp_path / "local")),
        lambda: changes.copy("b", path),
        lambda: changes.move("b", path),
    ):
        with pytest.raises(InvalidInputError):
            use()
    assert seen(changes) == before


def test_own_files_and_folders_do_not_meet(changes: Transaction) -> None:
    changes.put_bytes("n/m/o", b"")
    for path in ("n", "n/m", "n/m/o/p"):
        with pytest.raises(InvalidInputError):
            changes.put_bytes(path, b"")
    changes.delete("n/m/o")
    changes.put_bytes("n", b"")
    with pytest.raises(InvalidInputError):
        changes.put_bytes("n/m", b"")


def test_moves_and_copies(asset: Asset, changes: Transaction) -> None:
    assert changes.move("f/", "f/g/") == 2
    assert seen(changes, "f/") == ["f/g/x", "f/g/y"]
    assert changes.move("f/g/", "") == 2
    assert seen(changes) == ["a", "b", "x", "y"]
    assert changes.move("a", "a/deep") == 1
    assert changes.copy("x", "x.json") == 1
    entry = changes.find("x.json")
    assert entry is not None
    assert entry.content_type == "application/json", "by its name, as when it is committed"
    with pytest.raises(ObjectNotFoundError):
        changes.copy("nothing", "else")
    with pytest.raises(ObjectNotFoundError):
        changes.move("nothing/", "else/")
    for one, other in (("a/", "b"), ("b", "a/")):
        with pytest.raises(InvalidInputError):
            changes.copy(one, other)


def test_a_copy_from_another_version(asset: Asset, base: CommitId) -> None:
    asset.write(a="newer")
    newer = asset.commit(delete=("b",))
    reset(asset.repo, asset.id, "main", base, committer="ann")
    changes = begin(asset)
    changes.copy("a", "from-newer", source=newer)
    changes.copy("b", "from-base", source=base, via="main")
    with pytest.raises(ObjectNotFoundError):
        changes.copy("nothing", "x", source=newer)
    made = changes.publish()
    assert made is not None
    assert (read(asset, "from-newer"), read(asset, "from-base")) == (b"newer", b"b")


def test_a_copy_of_what_gc_has_taken_is_refused(asset: Asset, base: CommitId) -> None:
    """The commit would hold an object that can't be read."""
    asset.work.joinpath("only").write_bytes(random.Random(3).randbytes(3_000_000))
    gone = asset.commit()
    reset(asset.repo, asset.id, "main", base, committer="ann")
    for key in list(asset.repo.storage.list("packs/data/")):
        asset.repo.storage.delete(key)
    changes = begin(asset)
    with pytest.raises(NotFoundError):
        changes.copy("only", "again", source=gone)
    changes.abandon()


def test_a_file_object_left_by_an_exception_leaves_nothing(changes: Transaction) -> None:
    def fail_half_way() -> None:
        with changes.create("half") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert changes.find("half") is None
    with changes.create("half") as stream:
        stream.write(b"whole")
    assert changes.open("half").read() == b"whole"
    with pytest.raises(ValueError, match="closed"):
        stream.write(b"more")


def test_what_is_still_open_is_not_published(asset: Asset, base: CommitId) -> None:
    """An object forgotten half way would look whole."""
    changes = begin(asset)
    stream = changes.create("half")
    stream.write(b"half")
    with pytest.raises(InvalidInputError, match="already"):
        changes.create("half")
    with pytest.raises(InvalidInputError, match="half"):
        changes.publish()
    stream.close()
    assert head(asset) == base


def test_text_is_refused(changes: Transaction) -> None:
    with pytest.raises(InvalidInputError, match="rb"):
        changes.put_stream("x", io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError), changes.create("x") as stream:
        stream.write("text")  # type: ignore[arg-type]
    assert changes.find("x") is None


def test_what_others_commit_meanwhile_is_kept(asset: Asset, base: CommitId) -> None:
    changes = begin(asset)
    changes.put_bytes("a", b"mine")
    changes.put_bytes("mine", b"mine")
    changes.delete("f/")
    shutil.rmtree(asset.work)
    asset.write(a="theirs", theirs="theirs", f__z="new in a folder that I deleted")
    theirs = asset.commit(delete=("b",))
    made = changes.publish()
    assert made is not None
    assert asset.repo.read_commit(made.commit).parents == (theirs,)
    assert asset.paths(made.commit) == ["a", "f/z", "mine", "theirs"]
    assert read(asset, "a") == b"mine", "of one object the last one is"


def test_expect_is_asked_for_at_both_ends(asset: Asset, base: CommitId) -> None:
    with pytest.raises(ConflictError, match="not at the expected"):
        begin(asset, expect=asset.repo.read_commit(base).parents[0])
    changes = begin(asset, expect=base)
    changes.put_bytes("mine", b"")
    asset.write(theirs="")
    theirs = asset.commit()
    with pytest.raises(ConflictError, match="not at the expected"):
        changes.publish()
    assert head(asset) == theirs


def test_a_file_where_another_has_made_a_folder_meanwhile(asset: Asset, base: CommitId) -> None:
    changes = begin(asset)
    changes.put_bytes("new", b"")
    asset.write(new__below="")
    theirs = asset.commit()
    with pytest.raises(InvalidInputError, match="can't be a file"):
        changes.publish()
    assert head(asset) == theirs


def test_a_branch_deleted_meanwhile(asset: Asset, base: CommitId) -> None:
    Refs(asset.repo).create(asset.id, "dev", "branch", base, by="ann", via="main")
    changes = Transaction(asset.repo, asset.id, "dev", SIGNED)
    changes.put_bytes("x", b"")
    Refs(asset.repo).delete(asset.id, "dev", "branch")
    with pytest.raises(NotFoundError):
        changes.publish()
    assert Refs(asset.repo).find(asset.id, "dev") is None


def test_who_was_held_for_dead_publishes_nothing(asset: Asset, base: CommitId) -> None:
    """gc has stopped waiting for him: what he put may be deleted already."""
    changes = begin(asset)
    changes.put_bytes("x", b"x")
    for lease in list_leases(asset.repo.cells):
        revoke(asset.repo.cells, lease.id)
    with pytest.raises(LeaseLostError):
        changes.publish()
    assert head(asset) == base
    again = begin(asset)
    again.put_bytes("x", b"x")
    assert again.publish() is not None
    assert read(asset, "x") == b"x"


def test_who_thinks_for_long_shows_that_he_lives(
    asset: Asset, base: CommitId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent for three minutes, he would lose his lease to a gc on another machine."""
    beats = threading.Semaphore(0)
    monkeypatch.setattr("ahstore.storage.leases.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("ahstore.versions.lease_keeper.HEARTBEAT_SECONDS", -1.0)
    monkeypatch.setattr("ahstore.storage.leases.beat", lambda *_: beats.release())
    monkeypatch.setattr(alive.KeepAlive.__init__, "__kwdefaults__", {"every_seconds": 0.01})
    changes = begin(asset)
    # Another operation of this process has taken a new lease, which is kept alive for itself.
    kept = changes._session._held._kept
    asset.repo.leases._retire(kept)
    for _ in range(3):
        assert beats.acquire(timeout=10)
    changes.abandon()
    time.sleep(0.05)
    while beats.acquire(blocking=False):
        pass
    assert not beats.acquire(timeout=0.2), "it beats no more"
    assert background.BACKGROUND is not None


def test_after_a_failed_write_nothing_can_be_published(asset: Asset, base: CommitId) -> None:
    """What the failed pack held before is lost as well, and no one would know."""
    faults = FaultyStorage(asset.repo.storage)
    repo = over(asset, faults)
    changes = begin(asset, repo)
    changes.put_bytes("first", random.Random(1).randbytes(300_000))
    faults.fail("write", times=10**6)
    with pytest.raises(StorageError):
        changes.put_stream("more", Endless(random.Random(2).randbytes(1 << 20), 100))
    faults.clear()
    with pytest.raises(StorageError, match="nothing was committed"):
        changes.publish()
    assert head(asset) == base


@pytest.mark.parametrize("lost", [False, True])
def test_a_death_anywhere_leaves_the_old_head_or_the_new(
    asset: Asset, base: CommitId, lost: bool
) -> None:
    """A head that names what is not there, or a commit of half the changes, is data loss."""

    class Killed(BaseException):
        pass

    outcomes = set()
    for point in range(300):
        faults = FaultyStorage(asset.repo.storage)
        repo = over(asset, faults)
        repo.index.refresh()  # else it reads what all the dead before have left
        strike = faults.lose_reply if lost else faults.fail
        strike("*", lambda _: Killed(), skip=point, times=10**9)
        before = head(asset)
        try:
            changes = begin(asset, repo)
            changes.put_bytes("one", b"1%d" % point)
            changes.put_bytes("two", random.Random(point).randbytes(300_000))
            changes.move("two", "three")
            changes.publish()
            died = False
        except Killed:
            died = True
            repo.leases._kept = None  # nobody is left who could end his lease
        faults.clear()
        after = head(asset)
        outcomes.add(after != before)
        if after != before:
            assert asset.repo.read_commit(after).parents == (before,)
            assert read(asset, "one") == b"1%d" % point
            assert sha256(read(asset, "three")) == sha256(random.Random(point).randbytes(300_000))
        if not died:
            break
    assert outcomes == {False, True}
    assert 5 < point < 299


def test_one_file_into_a_large_tree_costs_a_few_pages(asset: Asset) -> None:
    """Cost follows the change, also for who looks around before he writes."""
    asset.work.mkdir(exist_ok=True)
    many = begin(asset)
    for number in range(20_000):
        many.put_bytes(f"d{number % 100:02}/{number:06}", b"%d" % (number % 7))
    assert many.publish() is not None
    recording = RecordingStorage(asset.repo.storage)
    repo = over(asset, recording)
    repo.index.refresh()
    repo.read_page = counted = Counted(repo.read_page)  # type: ignore[method-assign, assignment]
    recording.calls.clear()
    changes = begin(asset, repo)
    changes.put_bytes("d50/new", b"new")
    changes.move("d17/000017", "d17/moved")
    made = changes.publish()
    assert made is not None
    assert counted.count <= 12
    written = sum(c.size for c in recording.calls if c.op in ("create", "commit", "write"))
    assert written <= 128 * 1024
    assert len(made.changes) == 3


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_one_file_into_a_million(repo: Repository, asset: Asset) -> None:
    many = begin(asset)
    for number in range(1_000_000):
        many.put_bytes(f"d{number % 1000:03}/{number:07}", b"%d" % (number % 7))
    assert many.publish() is not None
    fresh = over(asset, asset.repo.storage)
    fresh.read_page = counted = Counted(fresh.read_page)  # type: ignore[method-assign, assignment]
    changes = begin(asset, fresh)
    changes.put_bytes("d050/new", b"new")
    assert changes.publish() is not None
    assert counted.count <= 10


class Endless:
    """A file object of many blocks, no two the same."""

    def __init__(self, block: bytes, left: int) -> None:
        self.block, self.left = block, left

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        return self.block[self.left :] + bytes([self.left]) * self.left if self.left > 0 else b""


class Counted:
    def __init__(self, call) -> None:  # type: ignore[no-untyped-def]
        self.call, self.count = call, 0

    def __call__(self, *args):  # type: ignore[no-untyped-def]
        self.count += 1
        return self.call(*args)


def test_copies_and_moves_write_no_data(asset: Asset, base: CommitId) -> None:
    asset.write(f__large=random.Random(5).randbytes(2_000_000))
    asset.commit()
    recording = RecordingStorage(asset.repo.storage)
    changes = begin(asset, over(asset, recording))
    changes.copy("f/", "copy/")
    changes.move("f/", "moved/")
    assert changes.publish() is not None
    assert sum(c.size for c in recording.calls if c.op in ("create", "commit", "write")) < 16_384
    assert not any(c.key.startswith("packs/data") for c in recording.calls if c.op == "commit")


def test_a_large_stream_takes_bounded_memory(asset: Asset, changes: Transaction) -> None:
    if asset.repo.url.startswith("memory"):
        pytest.skip("this storage is itself memory")
    block = random.Random(9).randbytes(1 << 20)
    changes.put_bytes("warm", block)
    tracemalloc.start()
    changes.put_stream("large", Endless(block, 120))
    for number in range(100):
        changes.put_bytes(f"many/{number}", random.Random(number).randbytes(1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 56 << 20
    entry = changes.find("large")
    assert entry is not None
    assert entry.size > 100 << 20


PATHS = st.sampled_from(["a", "b", "f/x", "f/y", "f", "n/m", "n", "q"])
FOLDERS = st.sampled_from(["f/", "n/", "q/"])
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), PATHS, st.sampled_from("123")),
    st.tuples(st.just("delete"), st.one_of(PATHS, FOLDERS)),
    st.tuples(st.just("copy"), PATHS, PATHS),
    st.tuples(st.just("move"), PATHS, PATHS),
    st.tuples(st.just("copy"), FOLDERS, FOLDERS),
    st.tuples(st.just("move"), FOLDERS, FOLDERS),
)


def plain(files: dict[str, str], operation: tuple[str, ...]) -> dict[str, str]:
    """What an operation makes of the files; KeyError: it is refused."""
    verb, path, *rest = operation
    some = {p: v for p, v in files.items() if p == path or (path[-1] == "/" and p.startswith(path))}
    if verb == "delete":
        return {p: v for p, v in files.items() if p not in some}
    if verb == "put":
        new = files | {path: rest[0]}
    elif not some:
        raise KeyError(path)
    else:
        kept = files if verb == "copy" else {p: v for p, v in files.items() if p not in some}
        new = kept | {rest[0] + p[len(path) :]: v for p, v in some.items()}
    if any(q.startswith(p + "/") for p in new for q in new):
        raise KeyError(path)
    return new


@given(operations=st.lists(OPERATIONS, max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_row_of_operations_does_what_it_does_to_a_dictionary(
    operations: list[tuple[str, ...]],
) -> None:
    repo = _shared()
    changes = Transaction(repo.repo, repo.id, "main", SIGNED)
    files = {"a": "a", "b": "b", "f/x": "x", "f/y": "y"}
    try:
        for operation in operations:
            verb, *arguments = operation
            call = {
                "put": lambda path, value: changes.put_bytes(path, value.encode()),
                "delete": changes.delete,
                "copy": changes.copy,
                "move": changes.move,
            }[verb]
            try:
                files = plain(files, operation)
            except KeyError:
                with pytest.raises((InvalidInputError, ObjectNotFoundError)):
                    call(*arguments)
            else:
                call(*arguments)
            found = {row[PATH]: changes.open(row[PATH]).read().decode() for row in changes.scan()}
            assert found == files
    finally:
        changes.abandon()


_one: list[Asset] = []


def _shared() -> Asset:
    if not _one:
        from ahstore.ids import AssetId, new_entity_id
        from ahstore.versions.adding.commits import create_asset_root

        repo = Repository.open("memory://transactions-shared", create=True)
        asset = AssetId(new_entity_id())
        create_asset_root(repo, asset, committer="ann")
        _one.append(Asset(repo, asset, Path("/nowhere")))
        made = begin(_one[0])
        for path in ("a", "b", "f/x", "f/y"):
            made.put_bytes(path, path[-1].encode())
        made.publish()
    return _one[0]
