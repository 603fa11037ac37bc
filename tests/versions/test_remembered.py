"""What is remembered of folders changes what commits and status cost, and never what they say."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.ids import AssetId, CommitId, PageId, new_entity_id
from ahstore.index import stamps
from ahstore.objects import content_type
from ahstore.versions.adding import commits, contents, hashing, reading, walk
from ahstore.versions.adding.changes import Change
from ahstore.versions.adding.commits import (
    commit_files,
    commit_tree,
    create_asset_root,
    preview,
)
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.versions.kit import Asset

HOUR_NS = 3600 * 10**9


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for being at rest: the tests give each change another stamp themselves."""
    monkeypatch.setattr("ahstore.index.filestates.FINE_GRAIN_NS", -HOUR_NS)
    monkeypatch.setattr("ahstore.index.filestates.COARSE_GRAIN_NS", -HOUR_NS)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the files that are read."""
    found: list[str] = []
    small, large = hashing.read_small, hashing.read_content

    def read_small(local, walked):
        found.append(os.path.basename(local))
        return small(local, walked)

    def read_content(local, *rest):
        found.append(os.path.basename(local))
        return large(local, *rest)

    monkeypatch.setattr(hashing, "read_small", read_small)
    monkeypatch.setattr(hashing, "read_content", read_content)
    return found


def head(asset: Asset) -> tuple[Repository, CommitId]:
    return asset.repo, Refs(asset.repo).get(asset.id, "main").commit


def status(
    asset: Asset, *adds: str, rehash: bool = False, delete: tuple[str, ...] = ()
) -> list[Change]:
    repo, commit = head(asset)
    return preview(repo, commit, add=adds or [f"{asset.work}/*"], rehash=rehash, delete=delete)


def fill(asset: Asset, folders: int = 4, files: int = 30) -> None:
    asset.write(**{f"d{f}__f{n:03}.txt": f"{f} {n}" for f in range(folders) for n in range(files)})


def test_an_unchanged_folder_costs_no_reading_and_no_leaf(at_rest, asset, reads, monkeypatch):
    fill(asset, folders=10, files=200)
    asset.commit()
    del reads[:]
    levels = []
    real = Repository.read_page

    def read_page(self: Repository, page: PageId) -> bytes:
        data = real(self, page)
        levels.append(data[1])  # a page is [level, rows]
        return data

    monkeypatch.setattr(Repository, "read_page", read_page)
    asset.repo.page_cache.__init__()
    assert status(asset) == []
    assert reads == []
    assert 0 not in levels
    assert len(levels) <= 6  # of some 35 pages


def test_a_change_costs_its_file_and_its_leaves(at_rest, asset, reads, monkeypatch):
    fill(asset, folders=10, files=200)
    asset.commit()
    asset.write(d3__f100="other")
    del reads[:]
    asset.commit()
    assert reads == ["f100"]
    assert status(asset) == []
    leaves = []
    real = Repository.read_page

    def read_page(self: Repository, page: PageId) -> bytes:
        data = real(self, page)
        leaves.extend([page] if data[1] == 0 else [])
        return data

    monkeypatch.setattr(Repository, "read_page", read_page)
    asset.repo.page_cache.__init__()
    asset.write(d3__f100="again")
    assert [change.path for change in status(asset)] == ["d3/f100"]
    assert reads == ["f100", "f100"]
    assert 1 <= len(leaves) <= 2


def test_what_one_asset_has_is_not_said_of_another(at_rest, repo, asset, tmp_path):
    # The other asset would stay empty, and a commit to it say that nothing would change.
    fill(asset)
    asset.commit()
    other = Asset(repo, AssetId(new_entity_id()), asset.work)
    create_asset_root(repo, other.id, committer="ann")
    assert len(status(other)) == 120
    commit = other.commit()
    assert len(other.paths(commit)) == 120
    asset.write(d0__f000="new")
    assert [len(status(each)) for each in (asset, other)] == [1, 1]
    asset.commit()
    assert [len(status(each)) for each in (asset, other, asset)] == [0, 1, 0]


def test_the_same_files_at_another_path_are_new(at_rest, asset, reads):
    fill(asset)
    asset.commit()
    del reads[:]
    sub = f"{asset.work}/*:sub/"
    assert len(status(asset, sub)) == 120
    repo, _ = head(asset)
    made = commit_files(repo, asset.id, "main", message="m", committer="ann", add=[sub])
    assert made is not None
    assert len(asset.paths(made.commit)) == 240
    assert status(asset, sub) == status(asset) == []
    assert reads == []


def test_other_rules_for_types_hold_for_what_is_remembered(at_rest, asset, monkeypatch):
    # A version that knows more types would hold old rows for what a commit makes now.
    fill(asset)
    asset.commit()
    monkeypatch.setitem(content_type.EXTENSIONS, "txt", "text/csv")
    assert status(asset) == []
    monkeypatch.setattr(contents, "_RULES", contents._RULES + 1)
    assert len(status(asset)) == 120


def test_an_older_version_and_one_made_meanwhile_are_told_apart(at_rest, asset):
    fill(asset)
    first = asset.commit()
    asset.write(d0__f001="new")
    asset.commit()
    repo = asset.repo
    add = [f"{asset.work}/*"]
    assert {change.path for change in preview(repo, first, add=add)} == {"d0/f001"}
    assert preview(repo, Refs(repo).get(asset.id, "main").commit, add=add) == []


def test_a_commit_that_lost_the_race_puts_all_its_files(at_rest, asset, monkeypatch):
    # Left out because the head seen first had them, they would be missing on the head that won.
    fill(asset)
    asset.commit()
    asset.write(d0__f000="mine")
    real, raced = commits.publish, []

    def publish(repo, session, *rest, **options):
        if not raced:
            raced.append(True)
            commit_files(
                repo,
                asset.id,
                "main",
                message="theirs",
                committer="bob",
                delete=["d1/", "d2/f001.txt"],
            )
        return real(repo, session, *rest, **options)

    monkeypatch.setattr(commits, "publish", publish)
    commit = asset.commit()
    assert len(asset.paths(commit)) == 121
    assert status(asset) == []


def test_what_is_deleted_and_added_again_stays(at_rest, asset):
    fill(asset)
    asset.commit()
    assert status(asset, delete=("d1/",)) == []
    (asset.work / "d1" / "f000.txt").unlink()
    assert [c.path for c in status(asset, delete=("d1/",))] == ["d1/f000.txt"]


def test_files_given_by_their_bytes_are_not_held_for_those_on_disk(at_rest, asset):
    # The tree then has another row than the file's: a later status would hide that.
    fill(asset)
    commit_tree(
        asset.repo, asset.id, "main", message="m", committer="ann",
        add=[f"{asset.work}/*"], extra={"d0/f000.txt": b"other"},
    )  # fmt: skip
    assert [change.path for change in status(asset)] == ["d0/f000.txt"]


def test_rehash_reads_all(at_rest, asset, reads):
    fill(asset)
    asset.commit()
    del reads[:]
    assert status(asset, rehash=True) == []
    assert len(reads) == 120


def test_content_changed_under_equal_stamps_is_found_by_rehash(at_rest, asset, monkeypatch):
    fill(asset)
    for module in (walk, reading):
        monkeypatch.setattr(module, "stamp", lambda _: stamps.Stamp(3, 1, 1, 1, 1, 0o100644))
    monkeypatch.setattr(
        walk,
        "pack",
        lambda found: stamps.pack([stamps.Stamp(3, 1, 1, 1, 1, 0o100644) for _ in found]),
    )
    for path in asset.work.glob("*/*"):
        path.write_text("abc")
    asset.commit()
    (asset.work / "d2" / "f007.txt").write_text("xyz")
    assert status(asset) == []
    assert [change.path for change in status(asset, rehash=True)] == ["d2/f007.txt"]


def test_a_file_of_another_name_is_another_file(at_rest, asset, monkeypatch):
    # Not every file system stamps a file that is renamed.
    same = stamps.Stamp(3, 1, 1, 1, 1, 0o100644)
    for module in (walk, reading):
        monkeypatch.setattr(module, "stamp", lambda _: same)
        monkeypatch.setattr(reading, "fields", lambda _: same)
    monkeypatch.setattr(walk, "pack", lambda found: stamps.pack([same for _ in found]))
    asset.write(d__a="abc", d__b="xyz")
    asset.commit()
    assert status(asset) == []
    (asset.work / "d" / "a").rename(asset.work / "d" / "c")
    assert [change.path for change in status(asset)] == ["d/c"]


def test_a_write_within_the_grain_is_never_missed(asset):
    # The racy case as it is: same size, rewritten within the tick in which it was committed.
    for n in range(60):
        asset.write(d__a=f"{n:04}", d__b=f"{n:04}")
        asset.commit()
        (asset.work / "d" / "a").write_text(f"{n:04}"[::-1] + "x")
        (asset.work / "d" / "a").write_text(f"{n + 1:04}")
        assert [change.path for change in status(asset)] == ["d/a"]


def test_chunks_that_are_gone_are_stored_again(at_rest, tmp_path, reads):
    # The cache outlives a store made anew under its name; the commit would point to nothing.
    cache, url = str(tmp_path / "cache"), f"memory://gone-{time.monotonic_ns()}"
    asset = Asset(
        Repository.open(url, create=True, cache_root=cache),
        AssetId(new_entity_id()),
        tmp_path / "work",
    )
    create_asset_root(asset.repo, asset.id, committer="ann")
    fill(asset)
    assert len(status(asset)) == 120  # hashed and remembered, not stored
    commit = asset.commit()
    tree = asset.repo.files(commit)
    assert all(asset.repo.read_chunk(row[6][:32]) for row in tree.scan())
    assert reads.count("f000.txt") == 8
    asset.repo.close()


def test_a_file_that_changes_after_the_walk_is_taken_as_it_was_read(at_rest, asset, monkeypatch):
    fill(asset)
    real = commits.walk

    def walk_and_change(additions, **options):
        found = real(additions, **options)
        asset.write(**{"d1__f003.txt": "changed after the walk"})
        return found

    monkeypatch.setattr(commits, "walk", walk_and_change)
    asset.commit()
    monkeypatch.setattr(commits, "walk", real)
    assert status(asset) == status(asset, rehash=True) == []


# Any history of edits, against the plain answer.

NAMES = ["a.txt", "b.bin", "c"]
FOLDERS = ["", "x/", "x/y/", "z/"]
paths = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map("".join)
edits = st.one_of(
    st.tuples(st.just("write"), paths, st.integers(0, 3)),
    st.tuples(st.just("same times"), paths, st.integers(0, 3)),
    st.tuples(st.just("replace"), paths, st.integers(0, 3)),
    st.tuples(st.just("remove"), paths),
    st.tuples(st.just("executable"), paths),
    st.tuples(st.just("touch"), paths),
    st.tuples(st.just("swap"), paths, paths),
    st.tuples(st.just("move folder"), st.sampled_from(["x", "z"])),
    st.tuples(st.just("replace folder"), st.sampled_from(["x", "z"])),
    st.tuples(st.just("commit"), st.integers(0, 1), st.sampled_from(["/*", "/*:sub/", "/x"])),
    st.tuples(st.just("commit one"), st.integers(0, 1), paths),
    st.tuples(st.just("delete"), st.integers(0, 1), paths),
    st.tuples(st.just("status"), st.integers(0, 1)),
    st.tuples(st.just("forget")),
    st.tuples(st.just("reopen")),
)


class World:
    """Two assets of a store, and a folder that is edited; each edit leaves stamps of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.work = root, root / "work"
        self.work.mkdir()
        self.tick = 0
        self.repo = self.open()
        self.assets = [AssetId(new_entity_id()) for _ in range(2)]
        for asset in self.assets:
            create_asset_root(self.repo, asset, committer="ann")

    def open(self) -> Repository:
        return Repository.open(
            (self.root / "store").as_uri(), create=True, cache_root=str(self.root / "cache")
        )

    def stamp(self, path: Path) -> None:
        self.tick += 1
        os.utime(path, ns=(self.tick, self.tick))

    def write(self, path: Path, content: int) -> None:
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content} of the same size")
        self.stamp(path)

    def do(self, kind: str, *args: object) -> None:
        getattr(self, "do_" + kind.replace(" ", "_"))(*args)

    def do_write(self, name: str, content: int) -> None:
        self.write(self.work / name, content)

    def do_same_times(self, name: str, content: int) -> None:
        path = self.work / name
        if path.is_file():
            found = path.stat()
            time.sleep(0.012)  # so that ctime, which nobody can set, is another
            path.write_text(f"{content} of the same size")
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    def do_replace(self, name: str, content: int) -> None:
        path = self.work / name
        if path.is_file():
            other = self.root / "other"
            self.write(other, content)
            other.replace(path)

    def do_remove(self, name: str) -> None:
        (self.work / name).unlink(missing_ok=True)

    def do_executable(self, name: str) -> None:
        path = self.work / name
        if path.is_file():
            path.chmod(path.stat().st_mode ^ 0o100)
            self.stamp(path)

    def do_touch(self, name: str) -> None:
        if (self.work / name).is_file():
            self.stamp(self.work / name)

    def do_swap(self, one: str, two: str) -> None:
        a, b, between = self.work / one, self.work / two, self.root / "between"
        if a.is_file() and b.is_file() and a != b:
            a.rename(between)
            b.rename(a)
            between.rename(b)

    def do_move_folder(self, name: str) -> None:
        if (self.work / name).is_dir():
            (self.work / name).rename(self.work / f"{name}{self.tick}")
            self.tick += 1

    def do_replace_folder(self, name: str) -> None:
        folder = self.work / name
        if folder.is_dir():
            shutil.copytree(folder, self.root / "copy")
            shutil.rmtree(folder)
            (self.root / "copy").rename(folder)
            for path in folder.rglob("*"):
                if path.is_file():
                    self.stamp(path)

    def do_forget(self) -> None:
        self.repo.close()
        shutil.rmtree(self.root / "cache", ignore_errors=True)
        self.repo = self.open()

    def do_reopen(self) -> None:
        self.repo.close()
        self.repo = self.open()

    def commit(self, which: int, add: list[str], delete: list[str]) -> None:
        commit_files(
            self.repo, self.assets[which], "main", message="m", committer="ann",
            add=add, delete=delete,
        )  # fmt: skip

    def do_commit(self, which: int, what: str) -> None:
        if what != "/x" or (self.work / "x").is_dir():
            self.commit(which, [f"{self.work}{what}"], [])
        self.do_status(which)

    def do_commit_one(self, which: int, name: str) -> None:
        if (self.work / name).is_file():
            self.commit(which, [f"{self.work}/{name}:{name}"], [])

    def do_delete(self, which: int, name: str) -> None:
        self.commit(which, [], [name])

    def do_status(self, which: int) -> None:
        head = Refs(self.repo).get(self.assets[which], "main").commit
        for add in ("/*", "/*:sub/"):
            told = preview(self.repo, head, add=[f"{self.work}{add}"])
            assert told == self.plain(head, add)

    def plain(self, head: CommitId, add: str) -> list[Change]:
        """Return the changes as one tells them who remembers nothing and reads every file."""
        url = (self.root / "store").as_uri()
        repo = Repository.open(url)
        try:
            return preview(repo, head, add=[f"{self.work}{add}"], rehash=True)
        finally:
            repo.close()


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(history=st.lists(edits, max_size=25))
def test_any_history_of_edits_tells_what_reading_all_tells(at_rest, history):
    with tempfile.TemporaryDirectory() as root:
        world = World(Path(root))
        for name in ("a.txt", "x/b.bin", "x/y/c", "z/a.txt"):
            world.write(world.work / name, 0)
        for edit in history:
            world.do(*edit)
        for which in (0, 1):
            world.do_status(which)
            world.do_commit(which, "/*")
        world.repo.close()
