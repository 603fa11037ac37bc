"""Downloads: selection, what stands in the way, and links that must not be written through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahstore.errors import (
    CorruptError,
    InvalidInputError,
    ObjectNotFoundError,
    StorageError,
    UnsupportedError,
)
from ahstore.ids import CommitId
from ahstore.versions.restoring import collisions
from ahstore.versions.restoring.checkout import download
from tests.versions.kit import Asset


@pytest.fixture
def commit(asset: Asset) -> CommitId:
    asset.write(a="1", dir__b="2", dir__sub__c="3", dirx="4")
    return asset.commit()


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], ["a", "dir/b", "dir/sub/c", "dirx"]),
        (["a"], ["a"]),
        (["dir"], ["dir/b", "dir/sub/c"]),
        (["dir/"], ["dir/b", "dir/sub/c"]),
        (["dir/sub/c", "a"], ["a", "dir/sub/c"]),
    ],
)
def test_what_is_asked_for_comes(
    asset: Asset, commit: CommitId, tmp_path: Path, paths: list[str], expected: list[str]
) -> None:
    download(asset.repo, commit, target=str(tmp_path / "o"), paths=paths)
    assert files(tmp_path / "o") == expected


@pytest.mark.parametrize("path", ["nope", "dir/nope/", "a/", "di"])
def test_what_is_not_there_is_named(
    asset: Asset, commit: CommitId, tmp_path: Path, path: str
) -> None:
    with pytest.raises(ObjectNotFoundError, match=path):
        download(asset.repo, commit, target=str(tmp_path / "o"), paths=[path])
    assert not (tmp_path / "o").exists()


def test_what_stands_there_is_replaced_at_once(
    asset: Asset, commit: CommitId, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    out.mkdir()
    (out / "a").write_text("old, longer")
    with open(out / "a") as still_open:
        download(asset.repo, commit, target=str(out))
        assert still_open.read() == "old, longer", "the old file was written into"
    assert (out / "a").read_text() == "1"


def test_links_in_the_target_are_not_followed(
    asset: Asset, commit: CommitId, tmp_path: Path
) -> None:
    """A link planted where a file goes would let a download overwrite anything of the user's."""
    out, victim = tmp_path / "o", tmp_path / "victim"
    out.mkdir()
    victim.mkdir()
    (victim / "file").write_text("precious")
    os.symlink(victim / "file", out / "a")
    download(asset.repo, commit, target=str(out), paths=["a"])
    assert (victim / "file").read_text() == "precious"
    assert not (out / "a").is_symlink()
    os.symlink(victim, out / "dir")
    with pytest.raises(InvalidInputError, match="dir/b: a link or file stands"):
        download(asset.repo, commit, target=str(out), paths=["dir"])
    assert files(victim) == ["file"]


def test_a_folder_in_the_way_is_named(asset: Asset, commit: CommitId, tmp_path: Path) -> None:
    (tmp_path / "o" / "a").mkdir(parents=True)
    with pytest.raises((InvalidInputError, StorageError), match="o/a"):
        download(asset.repo, commit, target=str(tmp_path / "o"))
    assert not [p for p in (tmp_path / "o").iterdir() if "ahpart" in p.name]


def test_read_only_takes_the_write_permission(
    asset: Asset, commit: CommitId, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    download(asset.repo, commit, target=str(out), read_only=True)
    assert (out / "dir/sub/c").stat().st_mode & 0o222 == 0
    assert (out / "dir/sub").stat().st_mode & 0o222 == 0
    for folder in (out / "dir/sub", out / "dir"):
        folder.chmod(0o755)


def test_names_that_differ_by_case_are_refused_where_they_would_meet(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such a disk the second file would overwrite the first without a word."""
    asset.write(readme="1", README="2")
    commit = asset.commit()
    download(asset.repo, commit, target=str(tmp_path / "o"))
    assert files(tmp_path / "o") == ["README", "readme"]
    monkeypatch.setattr(collisions, "_same_place", lambda *_: True)
    with pytest.raises(UnsupportedError, match=r"'README' and 'readme' would be one file"):
        download(asset.repo, commit, target=str(tmp_path / "p"))


def test_damaged_bytes_are_never_handed_out(asset: Asset, tmp_path: Path) -> None:
    root = asset.repo.storage.capabilities.local_path
    if root is None:
        pytest.skip("damages files on disk")
    asset.write(a=os.urandom(60_000), b=os.urandom(500_000))
    commit = asset.commit()
    for key in list(asset.repo.storage.list("packs/data/")):
        path = Path(root) / key
        data = bytearray(path.read_bytes())
        for at in range(100, len(data) - 20_000, 700):
            data[at] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
    for path in ("a", "b"):
        with pytest.raises(CorruptError):
            download(asset.repo, commit, target=str(tmp_path / "o"), paths=[path])
    assert files(tmp_path / "o") == []
    assert not list((tmp_path / "o").iterdir())
