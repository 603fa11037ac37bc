"""A diff is what comparing two dictionaries gives; renames are told by content."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.errors import InvalidInputError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.comparing.diff import diff
from ahstore.versions.comparing.difference import Difference
from ahstore.versions.repository import Repository
from tests.versions.kit import Asset

Files = dict[str, bytes]
CONTENTS = [b"", b"a", b"b", b"c" * 3000]
PATHS = ["a", "b", "x/a", "x/b", "y/a", "y/z/a"]
FILES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CONTENTS))


class Versions:
    """Commits of given files, in one store."""

    def __init__(self, folder: Path) -> None:
        self.repo = Repository.open("memory://diffs", create=True)
        self.folder = folder
        self._number = 0

    def make(self, files: Files, *, mtime: float = 1e9) -> CommitId:
        self._number += 1
        asset_id = AssetId(new_entity_id())
        create_asset_root(self.repo, asset_id, committer="ann")
        asset = Asset(self.repo, asset_id, self.folder / str(self._number))
        asset.write(first=b"so that no version is empty")
        asset.write(**{path.replace("/", "__"): content for path, content in files.items()})
        for path in asset.work.rglob("*"):
            os.utime(path, (mtime, mtime))
        return asset.commit()


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    made = Versions(tmp_path_factory.mktemp("diffs"))
    yield made
    made.repo.close()


def shown(found: Iterator[Difference]) -> list[tuple[str, str, str | None]]:
    return [(each.kind, each.path, each.old_path) for each in found]


@given(old=FILES, new=FILES)
@settings(max_examples=60, deadline=None)
def test_a_diff_is_what_dictionaries_say(versions: Versions, old: Files, new: Files) -> None:
    commits = versions.make(old), versions.make(new)
    model = []
    for path in sorted(old.keys() | new.keys()):
        if path not in old:
            model.append(("added", path, None))
        elif path not in new:
            model.append(("deleted", path, None))
        elif old[path] != new[path]:
            model.append(("modified", path, None))
    plain = list(diff(versions.repo, *commits, renames=False))
    assert shown(iter(plain)) == model
    assert [(e.old_size, e.size) for e in plain] == [
        (len(old[p]) if p in old else None, len(new[p]) if p in new else None) for _, p, _ in model
    ]

    found = list(diff(versions.repo, *commits))
    assert [each.path for each in found] == sorted(each.path for each in found)
    renamed = [each for each in found if each.kind == "renamed"]
    for each in renamed:
        assert each.old_path is not None
        assert each.old_path not in new
        assert each.path not in old
        assert old[each.old_path] == new[each.path] != b""
        assert each.similarity == 1.0
    # Taken apart again it is the same diff, nothing left out and nothing twice.
    apart = [e for e in shown(iter(found)) if e[0] != "renamed"]
    apart += [("added", each.path, None) for each in renamed]
    apart += [("deleted", str(each.old_path), None) for each in renamed]
    assert sorted(apart) == sorted(model)
    # And as many moved as could have.
    gone = Counter(old[path] for kind, path, _ in model if kind == "deleted" and old[path])
    came = Counter(new[path] for kind, path, _ in model if kind == "added" and new[path])
    assert len(renamed) == sum((gone & came).values())


def test_the_same_name_elsewhere_goes_before_another_name(versions: Versions) -> None:
    old = {"x/a": b"same", "x/b": b"same", "x/c": b"same"}
    new = {"y/b": b"same", "y/c": b"same", "y/n": b"same"}
    assert shown(diff(versions.repo, versions.make(old), versions.make(new))) == [
        ("renamed", "y/b", "x/b"), ("renamed", "y/c", "x/c"), ("renamed", "y/n", "x/a"),
    ]  # fmt: skip


def test_a_moved_object_may_change_its_mode_and_type(versions: Versions, tmp_path: Path) -> None:
    old, new = versions.make({"a.txt": b"echo"}), versions.make({"b/a.sh": b"echo"})
    (found,) = diff(versions.repo, old, new)
    assert (found.kind, found.what) == ("renamed", ("content type",))


def test_a_differing_time_alone_is_no_difference_and_a_mode_is(asset: Asset) -> None:
    asset.write(a=b"1", b=b"2", c="#!/bin/sh")
    old = asset.commit()
    for name in "abc":
        os.utime(asset.work / name, (5e8, 5e8))
    asset.write(b=b"3")
    (asset.work / "c").chmod(0o755)
    found = list(diff(asset.repo, old, asset.commit()))
    assert [(each.path, each.what) for each in found] == [
        ("b", ("content",)), ("c", ("executable",)),
    ]  # fmt: skip


def test_two_assets_of_the_same_files_of_other_times_do_not_differ(versions: Versions) -> None:
    files = {"a": b"1", "b": b"2"}
    commits = versions.make(files), versions.make(files, mtime=5e8)
    assert list(diff(versions.repo, *commits)) == []


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_what_moved_and_changed_is_found_by_common_chunks(versions: Versions) -> None:
    data, other = noise(3_000_000), noise(2_000_000, 2)
    old = {"a": data, "b": other, "c": noise(1000, 3)}
    new = {"n": data[:2_000_000] + noise(1_000_000, 4), "o": other[:500_000], "p": noise(1000, 3)}
    commits = versions.make(old), versions.make(new)
    assert [each.kind for each in diff(versions.repo, *commits)] == [
        "deleted", "deleted", "added", "added", "renamed",
    ]  # fmt: skip
    found = list(diff(versions.repo, *commits, similarity=0.5))
    assert shown(iter(found)) == [
        ("deleted", "b", None), ("renamed", "n", "a"), ("added", "o", None), ("renamed", "p", "c"),
    ]  # fmt: skip
    assert found[1].similarity is not None
    assert 0.5 <= found[1].similarity <= 0.67
    # The second is a quarter of its former self.
    assert [e.kind for e in diff(versions.repo, *commits, similarity=0.1)] == ["renamed"] * 3
    for wrong in (0, 1.1, -1):
        with pytest.raises(InvalidInputError):
            diff(versions.repo, *commits, similarity=wrong)


def test_the_most_alike_are_paired(versions: Versions) -> None:
    data = noise(3_000_000, 7)
    old = {"a": data[:2_000_000] + noise(1_000_000, 8), "b": data[:-200_000] + noise(200_000, 9)}
    new = {"n": data}
    found = diff(versions.repo, versions.make(old), versions.make(new), similarity=0.3)
    assert shown(found) == [("deleted", "a", None), ("renamed", "n", "b")]


def test_beyond_the_limit_nothing_is_held_and_nothing_is_lost(versions: Versions) -> None:
    # A moved dataset of any size must not take memory without bound.
    files = {f"x/{number}": b"%d" % number for number in range(50)}
    moved = {path.replace("x", "y"): content for path, content in files.items()}
    commits = versions.make(files), versions.make(moved)
    told: list[int] = []
    found = shown(diff(versions.repo, *commits, rename_limit=99, on_limit=told.append))
    assert told == [99]
    assert found == shown(diff(versions.repo, *commits, renames=False))
    assert shown(diff(versions.repo, *commits, rename_limit=7)) == found
    assert len(found) == 100
    found = shown(diff(versions.repo, *commits, rename_limit=100, on_limit=told.append))
    assert told == [99]
    assert found == [("renamed", p.replace("x", "y"), p) for p in sorted(files)]
    with pytest.raises(InvalidInputError):
        diff(versions.repo, *commits, rename_limit=-1)


def test_a_moved_dataset_of_one_content_is_paired_in_linear_time(versions: Versions) -> None:
    # Thousands of equal objects (labels, say) once took the square of their number.
    from ahstore.versions.comparing.renames import exact

    rows = [[f"x/{n}", 1, b"m" * 16, 0, 0, 0, b"r" * 40] for n in range(100_000)]
    moved = [[f"y/{n}z", *row[1:]] for n, row in enumerate(rows)]
    pairs = list(exact(rows, moved))
    assert [(a[0], b[0]) for a, b, _ in pairs[:2]] == [("x/0", "y/0z"), ("x/1", "y/1z")]
    assert len({a[0] for a, _, _ in pairs}) == len(rows)


def test_only_some_paths(versions: Versions) -> None:
    old = {"a": b"1", "x/a": b"1", "x/b": b"2", "xa": b"3"}
    commits = versions.make(old), versions.make({})
    only = [["a"], ["x/"], ["x"], ["x/a", "xa"], ["a", "x/", "nope"]]
    found = [[p for _, p, _ in shown(diff(versions.repo, *commits, paths=paths))] for paths in only]
    assert found == [["a"], ["x/a", "x/b"], [], ["x/a", "xa"], ["a", "x/a", "x/b"]]


def test_the_cost_follows_the_difference(
    versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"f{number}": b"%d" % number for number in range(2000)}
    old = versions.make(files)
    files["new"] = files.pop("f5")
    new = versions.make(files)
    read: list[object] = []
    inner: Callable[..., bytes] = versions.repo._read
    monkeypatch.setattr(versions.repo, "_read", lambda *a: read.append(a) or inner(*a))
    monkeypatch.setattr(versions.repo, "read_chunks", pytest.fail)
    versions.repo._pages._pages.clear()
    assert shown(diff(versions.repo, old, new, similarity=0.5)) == [("renamed", "new", "f5")]
    assert len(read) <= 2 + 2 * 5  # two commits; root, and two leaves of a side
