import json
import os
import random
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Ah, Result


def paths(result: object) -> list[str]:
    return [line.split()[0] for line in result.lines[1:]]  # type: ignore[attr-defined]


def test_objects_are_shown_as_in_the_tutorial(digits: Ah) -> None:
    now = os.stat("a.txt").st_mtime
    os.utime("a.txt", (now - 329, now - 329))
    digits("create", "branch", "img/net:v1")
    digits(
        "commit", "model/img/net:v1", "-m", "Add", "-a", "a.txt:long-name.txt", "-a", "sub/b.txt"
    )
    lines = digits("ls", "object", "model/img/net:v1").lines
    # A busy machine may take some seconds between the writing and the look.
    lines = [re.sub(r"\b\ds ago", "0s ago", re.sub(r"5m[23]\ds", "5m29s", line)) for line in lines]
    assert lines == [
        "PATH           BYTES  CHECKSUM                          MODIFIED",
        "b.txt             6B  febe6995bad457991331348f7b9c85fa  0s ago",
        "long-name.txt     4B  5bbf5a52328e7439ae6e719dfe712200  5m29s ago",
    ]


def test_a_commit_says_what_it_made(digits: Ah) -> None:
    made = digits("commit", "dataset/img/digits", "-m", "More", "-a", "a.txt:again.txt", "--json")
    commit = json.loads(made.out)
    assert made.err == (
        "AH INFO: Committing changes to branch main of Dataset digits\n"
        f"AH INFO: Commit {commit['id'][:8]} created\n"
    )
    assert commit["message"] == "More"
    assert commit["committer"] == "user"


def test_a_commit_that_changes_nothing_is_not_made(digits: Ah) -> None:
    before = digits("log", "img/digits").out
    again = digits("commit", "dataset/img/digits", "-m", "Again", "-a", "a.txt")
    assert (again.code, again.out) == (0, "")
    assert again.err.endswith("AH INFO: Nothing to commit: the branch has all of this already\n")
    assert digits("log", "img/digits").out == before


def test_what_add_and_delete_mean(digits: Ah) -> None:
    def commit(*args: str) -> list[str]:
        assert digits("commit", "dataset/img/digits", "-m", "x", *args).code == 0
        return paths(digits("ls", "object", "img/digits"))

    assert paths(digits("ls", "object", "img/digits")) == ["a.txt", "sub/b.txt"]
    assert commit("-a", "sub/*") == ["a.txt", "b.txt", "sub/b.txt"]
    assert commit("-a", "a.txt:to/") == ["a.txt", "b.txt", "sub/b.txt", "to/a.txt"]
    assert commit("-d", "sub/", "-d", "nothing") == ["a.txt", "b.txt", "to/a.txt"]
    assert commit("-d", "to/", "-a", "sub:to") == ["a.txt", "b.txt", "to/b.txt"]
    # A shell that has expanded -a sub/* before.
    assert commit("-d", "b.txt", "-d", "to/", "-a", "a.txt", "sub") == ["a.txt", "sub/b.txt"]


def test_status_and_dry_run_change_nothing(digits: Ah) -> None:
    before = digits("log", "img/digits").out
    Path("a.txt").write_text("changed\n")
    Path("new").write_text("")
    table = [
        "CHANGE    PATH          BYTES",
        "modified  a.txt      4B -> 8B",
        "added     new              0B",
        "deleted   sub/b.txt        6B",
    ]
    assert digits("status", "img/digits", "a.txt", "new", "-d", "sub/").lines == table
    dry = digits(
        "commit", "dataset/img/digits", "-m", "x", "--dry-run", "-a", "a.txt", "-a", "new",
        "-d", "sub/",
    )  # fmt: skip
    assert dry.lines == table
    assert digits("status", "img/digits:main", "sub").err == "AH INFO: Nothing would change\n"
    assert digits("log", "img/digits").out == before


def test_download_all_or_some(digits: Ah) -> None:
    down = digits("download", "dataset/img/digits", "-s", "out")
    assert down.out == ""
    assert down.err.splitlines()[1] == "AH INFO: Downloaded 2 objects to out"
    assert Path("out/a.txt").read_text() == "one\n"
    assert Path("out/sub/b.txt").read_text() == "three\n"
    assert digits("download", "img/digits:main", "-o", "sub/", "-s", "some").code == 0
    assert [str(p) for p in Path("some").rglob("*") if p.is_file()] == ["some/sub/b.txt"]
    missing = digits("download", "img/digits", "-o", "nope", "-s", "none")
    assert missing.code == 1
    assert not Path("none").exists()


def test_cat_writes_bytes_and_nothing_else(digits: Ah) -> None:
    result = digits("cat", "img/digits", "a.txt", "sub/b.txt")
    assert (result.code, result.out, result.err) == (0, "one\nthree\n", "")


def test_log_show_and_diff(digits: Ah) -> None:
    newest, oldest = json.loads(digits("log", "img/digits", "--json").out)
    assert digits("log", "img/digits", "--oneline").lines == [
        f"{newest['id'][:8]} Add digits",
        f"{oldest['id'][:8]} Repository created",
    ]
    full = digits("log", "img/digits", "-n", "1").lines
    assert full[0] == f"commit {newest['id']}"
    assert full[1] == "Committer: user"
    assert full[-1] == "    Add digits"
    shown = digits("show", "img/digits:main").lines
    assert f"COMMIT_ID:      {newest['id']}" in shown
    assert "OBJECTS:        2 (10B)" in shown
    assert digits("diff", "img/digits:main~1", "main").lines[1:] == [
        "added   a.txt         4B",
        "added   sub/b.txt     6B",
    ]
    assert digits("diff", "img/digits:main", "dataset/img/digits:main").err == (
        "AH INFO: Nothing differs\n"
    )


def test_a_message_can_not_forge_lines(digits: Ah) -> None:
    message = "fine\x1b[31m\ncommit 0000 forged"
    digits("commit", "dataset/img/digits", "-m", message, "-a", "a.txt:c.txt")
    assert "\x1b" not in digits("log", "img/digits").out
    assert not any(line.startswith("commit 0000") for line in digits("log", "img/digits").lines)
    assert len(digits("ls", "commit", "img/digits").lines) == 4


def test_merge_and_reset(digits: Ah) -> None:
    digits("create", "branch", "img/digits:v1")
    digits("commit", "dataset/img/digits:v1", "-m", "x", "-a", "a.txt:c.txt")
    assert digits("merge", "img/digits:v1").code == 0
    assert "c.txt" in digits("ls", "img/digits").out
    again = digits("merge", "img/digits:v1", "--json")
    assert (again.code, again.out) == (0, "null\n")
    assert digits("reset", "img/digits", "main~1").code == 0
    assert "c.txt" not in digits("ls", "img/digits").out
    assert "c.txt" in digits("ls", "img/digits:main@{1}").out


def test_a_conflict_has_a_status_of_its_own(digits: Ah) -> None:
    head = json.loads(digits("log", "img/digits", "--json").out)[0]["id"]
    digits("create", "branch", "img/digits:v1")
    for branch in ("main", "v1"):
        Path("a.txt").write_text(branch)
        digits("commit", f"dataset/img/digits:{branch}", "-m", "x", "-a", "a.txt")
    conflict = digits("merge", "img/digits:v1")
    assert conflict.code == 3
    assert "a.txt" in conflict.err
    stale = digits("commit", "dataset/img/digits", "-m", "x", "-a", "a.txt:z", "--expect", head)
    assert stale.code == 3
    assert head[:8] in stale.err
    assert digits("merge", "img/digits:v1", "--strategy", "replace").code == 0
    assert digits("cat", "img/digits", "a.txt").out == "v1"


def test_versions_are_named_in_many_ways(digits: Ah) -> None:
    head = json.loads(digits("log", "img/digits", "--json").out)[0]["id"]
    digits("create", "tag", "img/digits:t1", "--source", "main")
    expected = digits("ls", "object", "img/digits", "--json").out
    for ref in (
        "main", "branch/main", "t1", "tag/t1", head, head[:6], f"commit/{head}", "main@{0}",
    ):  # fmt: skip
        assert digits("ls", "object", f"user/dataset/img/digits:{ref}", "--json").out == expected


def rows_of(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.lines]


def test_diff_shows_what_moved(digits: Ah) -> None:
    noise = random.Random(1).randbytes(1_024_000)
    Path("big").write_bytes(noise)
    digits("commit", "dataset/img/digits", "-m", "x", "-a", "big")
    Path("moved.txt").write_text("three\n")
    Path("other").write_bytes(noise[:972_800] + b"another end" * 1000)
    digits(
        "commit", "dataset/img/digits", "-m", "y", "-d", "sub/", "-d", "big", "-a", "moved.txt",
        "-a", "other",
    )  # fmt: skip
    both = ("diff", "img/digits:main~1", "main")
    assert rows_of(digits(*both)) == [
        "CHANGE PATH BYTES",
        "deleted big 1024000B",
        "renamed sub/b.txt -> moved.txt 6B",
        "added other 983800B",
    ]
    assert rows_of(digits(*both, "-M"))[2].startswith("renamed big -> other (")
    assert [row.split()[0] for row in rows_of(digits(*both, "--no-renames"))] == [
        "CHANGE", "deleted", "added", "added", "deleted",
    ]  # fmt: skip
    limited = digits(*both, "--rename-limit", "1")
    assert limited.err == "AH INFO: More than 1 differences: renames were not looked for\n"
    assert len(limited.lines) == 5
    assert digits(*both, "--name-only").lines == ["big", "moved.txt", "other"]
    assert digits(*both, "moved.txt", "nope/", "--name-only").lines == ["moved.txt"]
    assert rows_of(digits(*both, "--stat")) == [
        "CHANGE OBJECTS BYTES_BEFORE BYTES_AFTER",
        "added 1 0B 983800B",
        "renamed 1 6B 6B",
        "deleted 1 1024000B 0B",
    ]
    stat = json.loads(digits(*both, "--stat", "--json").out)
    assert stat["deleted"] == {"objects": 1, "old_size_bytes": 1024000, "size_bytes": 0}
    (record,) = json.loads(digits(*both, "moved.txt", "sub/", "--json").out)
    assert record == {
        "change": "renamed", "old_path": "sub/b.txt", "old_size_bytes": 6, "path": "moved.txt",
        "similarity": 1.0, "size_bytes": 6, "what": [],
    }  # fmt: skip


def test_diff_names_what_is_not_content(digits: Ah) -> None:
    Path("a.txt").chmod(0o755)
    digits("commit", "dataset/img/digits", "-m", "x", "-a", "a.txt")
    assert rows_of(digits("diff", "img/digits:main~1", "main"))[1:] == [
        "modified a.txt (executable) 4B"
    ]


def test_diff_looks_inside(digits: Ah) -> None:
    np = pytest.importorskip("numpy")
    np.savez("m.npz", a=np.zeros((2, 3)), b=np.zeros(3))
    sizes = [Path("m.npz").stat().st_size]
    digits("commit", "dataset/img/digits", "-m", "x", "-a", "m.npz")
    np.savez("m.npz", a=np.eye(2, 3), c=np.array(["\x1b[31m"], object))
    Path("a.txt").write_text("changed")
    digits("commit", "dataset/img/digits", "-m", "y", "-a", "m.npz", "-a", "a.txt")
    both = ("diff", "img/digits:main~1", "main")
    sizes.append(Path("m.npz").stat().st_size)
    assert rows_of(digits(*both, "--values")) == [
        "CHANGE PATH BYTES",
        "modified a.txt 4B -> 7B",
        f"modified m.npz {sizes[0]}B -> {sizes[1]}B",
        "modified a <f8 2x3 2 of 6 differ; L2 1.41421, max 1",
        "added c O 1",
        "deleted b <f8 3",
        "0 arrays unchanged",
    ]
    assert rows_of(digits(*both, "--deep"))[3] == "modified a <f8 2x3 content"
    text, record = json.loads(digits(*both, "--deep", "--json").out)
    assert text["inside"] is None
    assert record["inside"]["format"] == "npz"
    assert [part["name"] for part in record["inside"]["parts"]] == ["a", "c", "b"]
    np.savez("n.npz", weight=np.arange(5.0))
    digits("commit", "dataset/img/digits", "-m", "n", "-a", "n.npz")
    np.savez("n.npz", kernel=np.arange(5.0))
    digits("commit", "dataset/img/digits", "-m", "n", "-a", "n.npz")
    for option in ("--deep", "--values"):
        assert rows_of(digits(*both, "n.npz", option))[2:] == [
            "renamed weight -> kernel <f8 5",
            "0 arrays unchanged",
        ]
    (record,) = json.loads(digits(*both, "n.npz", "--deep", "--json").out)
    (part,) = record["inside"]["parts"]
    assert (part["change"], part["old_name"], part["name"]) == ("renamed", "weight", "kernel")
    apart = digits(*both, "n.npz", "--deep", "--no-renames")
    assert [line.split()[0] for line in apart.lines[2:4]] == ["added", "deleted"]
    Path("m.npz").write_bytes(Path("m.npz").read_bytes()[:-30])
    digits("commit", "dataset/img/digits", "-m", "z", "-a", "m.npz")
    lying = digits("diff", "img/digits:main~1", "main", "m.npz", "--deep")
    assert (lying.code, lying.lines[2]) == (0, "    can't be read as zip")


@pytest.mark.parametrize(
    "options",
    [
        ["--stat", "--deep"],
        ["--stat", "--name-only"],
        ["--no-renames", "-M"],
        ["--similarity", "0"],
    ],
)
def test_options_of_diff_that_make_no_sense(digits: Ah, options: list[str]) -> None:
    assert digits("diff", "img/digits:main~1", "main", *options).code == 2
