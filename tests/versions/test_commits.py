"""Commits of files: content, history, what is no change, what is refused, what it costs."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ahstore.errors import ConflictError, InvalidInputError, NotFoundError
from ahstore.versions.adding.commits import commit_files, commit_tree, preview
from ahstore.versions.history.log import log
from ahstore.versions.monitor import Monitor
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download, find_object, open_object
from tests.versions.kit import Asset


def test_an_asset_is_born_with_main_at_an_empty_commit(asset: Asset) -> None:
    head = Refs(asset.repo).get(asset.id, "main")
    commit = asset.repo.read_commit(head.commit)
    assert (commit.message, commit.parents) == ("Repository created", ())
    assert asset.paths(head.commit) == []


def test_what_is_committed_comes_back(asset: Asset, tmp_path: Path) -> None:
    big = random.Random(1).randbytes(3_000_000)
    asset.write(a="hello", sub__b=b"", sub__deep__big=big)
    os.chmod(asset.work / "a", 0o755)
    os.utime(asset.work / "sub/b", ns=(1, 1_500_000_000_123_456_789))
    commit = asset.commit()
    assert asset.paths(commit) == ["a", "sub/b", "sub/deep/big"]
    result = download(asset.repo, commit, target=str(tmp_path / "out"))
    assert (result.files, result.size_bytes) == (3, 3_000_005)
    out = tmp_path / "out"
    assert (out / "a").read_text() == "hello"
    assert (out / "sub/b").read_bytes() == b""
    assert (out / "sub/deep/big").read_bytes() == big
    assert os.access(out / "a", os.X_OK)
    assert not os.access(out / "sub/deep/big", os.X_OK) or os.geteuid() == 0
    assert (out / "sub/deep/big").stat().st_mode & 0o111 == 0
    assert (out / "sub/b").stat().st_mtime_ns == 1_500_000_000_123_456_789
    entry = find_object(asset.repo, commit, "sub/deep/big")
    assert entry is not None
    assert entry.checksum == hashlib.md5(big).hexdigest()
    assert entry.size == len(big)


def test_an_object_is_read_at_any_place(asset: Asset) -> None:
    big = random.Random(2).randbytes(5_000_000)
    asset.write(big=big)
    commit = asset.commit()
    with open_object(asset.repo, commit, "big") as stream:
        assert stream.read(10) == big[:10]
        stream.seek(4_321_000)
        assert stream.read(1000) == big[4_321_000:4_322_000]
        stream.seek(-5, os.SEEK_END)
        assert stream.read() == big[-5:]
        stream.seek(0)
        assert stream.read() == big


def test_a_commit_that_changes_nothing_makes_none(asset: Asset) -> None:
    asset.write(a="1", b="2")
    asset.commit()
    os.utime(asset.work / "a", (1, 1))  # an mtime alone is no change
    made = commit_files(
        asset.repo, asset.id, "main", message="m", committer="ann", add=[f"{asset.work}/*"]
    )
    assert made is None
    assert len(list(log(asset.repo, Refs(asset.repo).get(asset.id, "main").commit))) == 2


def test_delete_comes_before_add(asset: Asset) -> None:
    asset.write(sub__a="1", sub__b="2", other="3")
    asset.commit()
    for name in ("sub/a", "sub/b", "other"):
        (asset.work / name).unlink()
    asset.write(sub__b="new")
    commit = asset.commit(delete=("sub/", "not there"))
    assert asset.paths(commit) == ["other", "sub/b"]


def test_the_same_files_have_the_same_root_whatever_the_order(asset: Asset) -> None:
    asset.write(a="1", b="2")
    one = asset.commit()
    asset.write(c="3")
    asset.commit()
    two = asset.commit(delete=("c",)) if (asset.work / "c").unlink() is None else one
    assert asset.repo.read_commit(one).tree == asset.repo.read_commit(two).tree


@pytest.mark.parametrize(("first", "then"), [("x", "x__y"), ("x__y", "x")])
def test_no_file_where_another_has_a_folder(asset: Asset, first: str, then: str) -> None:
    asset.write(**{first: "1"})
    asset.commit()
    source = asset.work.parent / "source"
    source.write_text("2")
    with pytest.raises(InvalidInputError, match="'x' can't be a file"):
        commit_files(
            asset.repo,
            asset.id,
            "main",
            message="m",
            committer="ann",
            add=[f"{source}:{then.replace('__', '/')}"],
        )


def test_expect_refuses_another_head(asset: Asset) -> None:
    seen = Refs(asset.repo).get(asset.id, "main").commit
    asset.write(a="1")
    asset.commit()
    with pytest.raises(ConflictError, match="not at the expected"):
        commit_files(
            asset.repo,
            asset.id,
            "main",
            message="m",
            committer="ann",
            delete=["a"],
            expect=seen,
        )


def test_a_missing_branch_and_a_tag_are_refused(asset: Asset) -> None:
    asset.write(a="1")
    with pytest.raises(NotFoundError, match="no branch or tag 'nope'"):
        asset.commit(branch="nope")
    head = Refs(asset.repo).get(asset.id, "main").commit
    Refs(asset.repo).create(asset.id, "v1", "tag", head, by="ann", via="main")
    with pytest.raises(InvalidInputError, match="is a tag"):
        asset.commit(branch="v1")


def test_bytes_that_are_stored_are_not_stored_again(asset: Asset) -> None:
    data = random.Random(3).randbytes(2_000_000)
    asset.write(a=data)
    asset.commit()
    size = stored_bytes(asset.repo, "packs/data/")
    asset.write(copy=data)
    asset.commit()
    # Moved by an odd number of bytes, only what is around the insertion is new.
    asset.write(moved=data[:1_000_000] + b"odd" + data[1_000_000:])
    asset.commit()
    assert stored_bytes(asset.repo, "packs/data/") - size < 1_100_000 * 1.5


def test_a_million_bytes_twice_cost_once(asset: Asset) -> None:
    data = random.Random(4).randbytes(1_000_000)
    asset.write(a=data, b=data, c=data)
    asset.commit()
    assert stored_bytes(asset.repo, "packs/data/") < 1_010_000


def stored_bytes(repo: Repository, prefix: str) -> int:
    return sum(repo.storage.stat(key).size for key in repo.storage.list(prefix))


def test_preview_says_what_a_commit_would_do_and_writes_nothing(asset: Asset) -> None:
    asset.write(a="1", b="2", c="3")
    commit = asset.commit()
    before = list(asset.repo.storage.list("packs/")) + list(asset.repo.storage.list("cells/"))
    asset.write(a="changed", d="new")
    changes = preview(asset.repo, commit, add=[f"{asset.work}/*"], delete=["c", "b"])
    # b is deleted and added again as it was; c too, since it is still there to be added.
    assert [(c.kind, c.path) for c in changes] == [("modified", "a"), ("added", "d")]
    after = list(asset.repo.storage.list("packs/")) + list(asset.repo.storage.list("cells/"))
    assert before == after


def test_commit_tree_is_exactly_the_outputs(asset: Asset) -> None:
    asset.write(code="1", data="2")
    main = asset.commit()
    outputs = asset.work.parent / "outputs"
    outputs.mkdir()
    (outputs / "model.pt").write_bytes(b"weights")
    guarded: list[object] = []
    made = commit_tree(
        asset.repo,
        asset.id,
        "epoch-5",
        message="train",
        committer="ann",
        add=[f"{outputs}/*"],
        extra={"asset-hub.metadata": b"{}"},
        base=main,
        guard=guarded.append,
    )
    assert made is not None
    assert guarded == [made.commit]
    assert asset.paths(made.commit) == ["asset-hub.metadata", "model.pt"]
    assert asset.repo.read_commit(made.commit).parents == (main,)
    assert Refs(asset.repo).get(asset.id, "epoch-5").commit == made.commit
    assert Refs(asset.repo).get(asset.id, "main").commit == main


def test_a_guard_that_raises_stops_the_commit(asset: Asset) -> None:
    """A supervisor whose run was declared dead must not publish."""
    asset.write(a="1")

    def refuse(_: object) -> None:
        raise ConflictError("declared dead")

    head = Refs(asset.repo).get(asset.id, "main").commit
    with pytest.raises(ConflictError, match="declared dead"):
        commit_tree(
            asset.repo,
            asset.id,
            "main",
            message="m",
            committer="ann",
            add=[f"{asset.work}/*"],
            guard=refuse,
        )
    assert Refs(asset.repo).get(asset.id, "main").commit == head


def test_another_process_reads_it_without_the_cache(
    asset: Asset, open_repo: Callable[[], Repository], tmp_path: Path
) -> None:
    asset.write(a="1", big=random.Random(5).randbytes(700_000))
    commit = asset.commit()
    fresh = open_repo()
    fresh._cache_root = None
    assert download(fresh, commit, target=str(tmp_path / "again")).files == 2


def test_a_remembered_file_whose_chunks_are_gone_is_stored_again(
    asset: Asset, tmp_path: Path
) -> None:
    """The cache outlives what gc deletes; trusting it would make a commit that can't be read."""
    asset.write(a=b"x" * 1000)
    os.utime(asset.work / "a", (1, 1))
    asset.commit()
    for key in list(asset.repo.storage.list("packs/data/")):
        if (path := asset.repo.storage.capabilities.local_path) is None:
            pytest.skip("removes a pack behind the store's back")
        os.unlink(os.path.join(path, key))
    other = asset.work / "a"
    os.rename(other, asset.work / "renamed")
    commit = asset.commit()
    assert download(asset.repo, commit, target=str(tmp_path / "o"), paths=["renamed"]).files == 1


class Counting(Monitor):
    def __init__(self) -> None:
        self.files, self.bytes, self.steps = 0, 0, 0

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:
        self.files += files
        self.bytes += bytes_
        self.steps += 1


def test_progress_moves_inside_a_large_file(asset: Asset, tmp_path: Path) -> None:
    """A bar that stands still for minutes looks like a program that hangs."""
    asset.write(big=random.Random(6).randbytes(20_000_000), small="1")
    sources = [f"{asset.work}/*"]
    monitors = [Counting() for _ in range(3)]
    for monitor in monitors[:2]:
        commit_files(
            asset.repo, asset.id, "main", message="m", committer="a", add=sources, monitor=monitor
        )
    head = Refs(asset.repo).get(asset.id, "main").commit
    download(asset.repo, head, target=str(tmp_path / "o"), monitor=monitors[2])
    assert [(m.files, m.bytes) for m in monitors] == [(2, 20_000_001)] * 3
    assert monitors[0].steps > 5
    assert monitors[2].steps > 5
