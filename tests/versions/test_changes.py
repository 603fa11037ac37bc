"""What -a and -d mean, and what a walk refuses."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ahstore.errors import InvalidInputError, ObjectNotFoundError
from ahstore.versions.adding.changes import parse_add, parse_adds, parse_delete
from ahstore.versions.adding.walk import walk


def paths(*adds: str) -> list[str]:
    return walk(parse_adds(adds)).paths()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "a.txt").write_text("a")
    (tmp_path / "dir" / ".hidden").write_text("h")
    (tmp_path / "dir" / "sub" / "b.txt").write_text("b")
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "two.txt").write_text("2")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        ("one.txt", ["one.txt"]),
        ("./one.txt", ["one.txt"]),
        ("one.txt:sub/", ["sub/one.txt"]),
        ("one.txt:other", ["other"]),
        ("one.txt:deep/er/name.bin", ["deep/er/name.bin"]),
        ("one.txt:.", ["one.txt"]),
        ("dir", ["dir/.hidden", "dir/a.txt", "dir/sub/b.txt"]),
        ("dir/", ["dir/.hidden", "dir/a.txt", "dir/sub/b.txt"]),
        ("dir/*", [".hidden", "a.txt", "sub/b.txt"]),
        ("dir/*:sub/", ["sub/.hidden", "sub/a.txt", "sub/sub/b.txt"]),
        ("dir/*:.", [".hidden", "a.txt", "sub/b.txt"]),
        ("dir:sub/", ["sub/dir/.hidden", "sub/dir/a.txt", "sub/dir/sub/b.txt"]),
        ("dir:other", ["other/.hidden", "other/a.txt", "other/sub/b.txt"]),
        ("*.txt", ["one.txt", "two.txt"]),
        ("*.txt:texts", ["texts/one.txt", "texts/two.txt"]),
        ("dir/.", [".hidden", "a.txt", "sub/b.txt"]),
    ],
)
def test_where_an_addition_goes(here: Path, add: str, expected: list[str]) -> None:
    assert paths(add) == expected


def test_a_colon_in_a_name_that_exists_is_part_of_it(here: Path) -> None:
    (here / "run:1").write_text("x")
    assert paths("run:1") == ["run:1"]
    assert paths("run:1:renamed") == ["renamed"]


@pytest.mark.parametrize("add", ["missing", "missing/*", "missing:sub/", "no*thing"])
def test_what_is_not_there_is_named(here: Path, add: str) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"missing|no\*thing"):
        parse_add(add)


@pytest.mark.parametrize(
    "add", ["", ":x", "one.txt:/abs", "one.txt:../up", "one.txt:a//b", "one.txt:a\\b", "a\0b"]
)
def test_malformed_additions_are_refused(here: Path, add: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_add(add)


@pytest.mark.parametrize("path", ["/", "", "..", "a/../b", "/abs", "a//", "a\nb"])
def test_malformed_deletions_are_refused(path: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_delete(path)


def test_two_files_for_one_path_are_refused(here: Path) -> None:
    with pytest.raises(InvalidInputError, match="would both become same"):
        paths("one.txt:same", "two.txt:same")


def test_the_same_file_twice_is_one(here: Path) -> None:
    assert paths("one.txt", "./one.txt") == ["one.txt"]


def test_links_are_followed_inside_only(here: Path) -> None:
    """A link out of an added folder would put files of the user's into the store unasked."""
    os.symlink("a.txt", here / "dir" / "inside")
    assert "dir/inside" in paths("dir")
    os.symlink("../one.txt", here / "dir" / "outside")
    with pytest.raises(InvalidInputError, match="outside is a symbolic link out of"):
        paths("dir")
    (here / "dir" / "outside").unlink()
    os.symlink("nowhere", here / "dir" / "dangling")
    with pytest.raises(InvalidInputError, match="dangling"):
        paths("dir")
    (here / "dir" / "dangling").unlink()
    os.symlink(".", here / "dir" / "loop")
    with pytest.raises(InvalidInputError, match="loop"):
        paths("dir")


def test_a_link_that_the_user_names_is_followed(here: Path) -> None:
    os.symlink("one.txt", here / "link.txt")
    assert paths("link.txt") == ["link.txt"]


def test_special_files_are_refused(here: Path) -> None:
    """Opening a pipe would hang for ever."""
    os.mkfifo(here / "dir" / "pipe")
    with pytest.raises(InvalidInputError, match="pipe is not a regular file"):
        paths("dir")
    (here / "dir" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("dir/sock")
        with pytest.raises(InvalidInputError, match="sock is not a regular file"):
            paths("dir")


def test_names_that_are_not_text_are_refused(here: Path) -> None:
    with open(os.fsencode(str(here / "dir")) + b"/bad\xff", "wb"):
        pass
    with pytest.raises(InvalidInputError, match="not valid UTF-8"):
        paths("dir")
    os.unlink(os.fsencode(str(here / "dir")) + b"/bad\xff")
    (here / "dir" / "new\nline").write_text("")
    with pytest.raises(InvalidInputError, match="not allowed"):
        paths("dir")


def test_a_deep_tree_is_walked(here: Path) -> None:
    deep = here / "deep"
    for _ in range(300):
        deep = deep / "d"
    os.makedirs(deep)
    (deep / "f").write_text("x")
    assert paths("deep") == ["deep/" + "d/" * 300 + "f"]
