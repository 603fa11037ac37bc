import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Ah


@pytest.fixture
def crossed(digits: Ah) -> Ah:
    """main and dev of img/digits, merged once."""
    digits("create", "branch", "img/digits:dev")
    Path("a.txt").write_text("two\n")
    digits("commit", "img/digits:dev", "-m", "Change a", "-a", "a.txt", "--metadata", "lr=0.1")
    Path("c.txt").write_text("c\n")
    digits("commit", "img/digits", "-m", "Add c", "-a", "c.txt")
    assert digits("merge", "img/digits:dev", "-m", "Both").code == 0
    return digits


def messages(ah: Ah, *args: str) -> list[str]:
    return [line.partition(" ")[2] for line in ah("log", "img/digits", "--oneline", *args).lines]


def test_log_draws_and_filters(crossed: Ah) -> None:
    drawn = [
        re.sub(r"[0-9a-f]{8} ", "", line)
        for line in crossed("log", "img/digits", "--graph", "--oneline").lines
    ]
    assert drawn == [
        "* Both", "|\\", "| * Change a", "* | Add c", "|/", "* Add digits", "* Repository created",
    ]  # fmt: skip
    assert messages(crossed, "a.txt") == ["Change a", "Add digits"]
    assert messages(crossed, "c.txt", "sub") == ["Add c", "Add digits"]
    assert messages(crossed, "-n", "1", "sub/") == ["Add digits"]
    assert messages(crossed, "--grep", "^Add", "--author", "us") == ["Add c", "Add digits"]
    assert messages(crossed, "--since", "1 hour ago", "--until", "now", "--first-parent")[:2] == [
        "Both",
        "Add c",
    ]
    assert messages(crossed, "--since", "2999-01-01") == []
    assert json.loads(crossed("log", "img/digits", "--graph", "--json").out)[0]["message"] == "Both"
    full = crossed("log", "img/digits:dev", "-n", "1").lines
    assert "Metadata:  lr: 0.1" in full
    graph = crossed("log", "img/digits", "--graph").lines
    assert graph[1].startswith("|\\ Merge:")
    assert all(line[0] in "*|" for line in graph[:-6])


def test_what_a_branch_was(crossed: Ah) -> None:
    crossed("reset", "img/digits", "main~1")
    rows = [line.split("  ") for line in crossed("log", "img/digits", "-g").lines]
    assert rows[0][0] == "HEAD"
    assert [row[0] for row in rows[1:]] == [f"main@{{{n}}}" for n in range(5)]
    heads = json.loads(crossed("log", "img/digits", "-g", "-n", "2", "--json").out)
    assert [(h["index"], h["event"], h["by"]) for h in heads] == [
        (0, "moved", "user"),
        (1, "committed", "user"),
    ]
    assert messages(crossed)[0] == "Add c"
    assert crossed("log", "img/digits:main@{1}", "--oneline").lines[0].endswith("Both")
    assert crossed("log", "img/digits", "-g", "--graph").code == 2
    assert crossed("log", "img/digits:main~1", "-g").code == 2


def test_show_tells_what_changed(crossed: Ah) -> None:
    assert "CHANGES:        1 added (+2B)" in crossed("show", "img/digits:main~1").lines
    assert "CHANGES:        1 modified (+0B)" in crossed("show", "img/digits:main").lines
    assert "METADATA:       lr: 0.1" in crossed("show", "img/digits:dev").lines
    shown = json.loads(crossed("show", "img/digits:main~1", "--json").out)
    assert shown["changes"] == {"added": 1, "deleted": 0, "grown_bytes": 2, "modified": 0}


def test_blame(crossed: Ah) -> None:
    table = crossed("blame", "img/digits").lines
    assert table[0].split() == ["COMMIT_ID", "COMMITTER", "CREATED", "PATH", "MESSAGE"]
    assert [re.split("  +", line)[-2:] for line in table[1:]] == [
        ["a.txt", "Change a"], ["c.txt", "Add c"], ["sub/b.txt", "Add digits"],
    ]  # fmt: skip
    (one,) = json.loads(crossed("blame", "img/digits:main", "sub", "--json").out)
    assert (one["path"], one["message"]) == ("sub/b.txt", "Add digits")


def test_revert_and_cherry_pick(crossed: Ah) -> None:
    assert crossed("revert", "img/digits", "dev", "-m", "Undo a").code == 0
    assert crossed("cat", "img/digits", "a.txt").out == "one\n"
    again = crossed("revert", "img/digits", "dev", "--json")
    assert (again.code, again.out) == (0, "null\n")
    made = json.loads(
        crossed("cherry-pick", "img/digits", "dev", "--metadata", "n=2", "--json").out
    )
    assert made["metadata"]["n"] == 2
    assert len(made["metadata"]["cherry_picked_from"]) == 64
    Path("a.txt").write_text("three\n")
    crossed("commit", "img/digits", "-m", "Otherwise", "-a", "a.txt")
    conflict = crossed("revert", "img/digits", "dev")
    assert conflict.code == 3
    assert "a.txt" in conflict.err
    assert crossed("revert", "img/digits", "dev", "--strategy", "theirs").code == 0
    assert crossed("revert", "img/digits", "main~4").code == 2, "a merge needs --mainline"
    assert crossed("revert", "img/digits", "dev", "--strategy", "replace").code == 2
    assert crossed("cherry-pick", "img/digits", "dev", "--expect", made["id"]).code == 3


def test_metadata_reads_well_and_is_whole_as_json(crossed: Ah) -> None:
    Path("m.txt").write_text("1")
    given = {"epoch": 3, "note": "as \u00fcsual: two\nlines", "tag": "3", "none": None, "empty": ""}
    words = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    words += ['run={"name": "asset-hub-x", "params": {"lr": 0.1, "sizes": [1, 2]}, "bare": {}}']
    options = [word for pair in words for word in ("--metadata", pair)]
    assert crossed("commit", "img/digits", "-m", "M", "-a", "m.txt", *options).code == 0
    shown = [
        'empty: ""',
        "epoch: 3",
        "none: null",
        'note: "as \u00fcsual: two\\nlines"',
        "run.bare: {}",
        "run.name: asset-hub-x",
        "run.params.lr: 0.1",
        "run.params.sizes: [1, 2]",
        'tag: "3"',
    ]
    log = crossed("log", "img/digits", "-n", "1").lines
    assert log[3:-2] == [f"Metadata:  {shown[0]}", *(" " * 11 + line for line in shown[1:])]
    graph = crossed("log", "img/digits", "--graph", "-n", "1").lines
    assert [line.lstrip("* |") for line in graph[3:12]] == [f"Metadata:  {shown[0]}", *shown[1:]]
    block = crossed("show", "img/digits:main").lines
    assert block[-len(shown) :] == [
        f"METADATA:       {shown[0]}",
        *(" " * 16 + s for s in shown[1:]),
    ]
    run = {"name": "asset-hub-x", "params": {"lr": 0.1, "sizes": [1, 2]}, "bare": {}}
    for command in (
        ("log", "img/digits", "-n", "1", "--json"),
        ("show", "img/digits:main", "--json"),
    ):
        told = json.loads(crossed(*command).out)
        assert (told[0] if isinstance(told, list) else told)["metadata"] == given | {"run": run}


def test_a_commit_named_by_the_branch_itself_is_the_one_it_was_at(crossed: Ah) -> None:
    # The message named the commit that was just made, as if it had undone itself.
    was = json.loads(crossed("show", "img/digits:dev", "--json").out)["id"]
    done = crossed("revert", "img/digits:dev", "dev")
    assert done.err.startswith(f"AH INFO: Reverting commit {was[:8]} in branch dev")
    shown = crossed("show", "img/digits:dev", "--json").out
    assert f"This reverts commit {was}." in json.loads(shown)["message"]
    Path("a.txt").write_text("more")
    crossed("commit", "img/digits:dev", "-m", "More", "-a", "a.txt")
    was = json.loads(crossed("show", "img/digits:dev", "--json").out)["id"]
    done = crossed("restore", "img/digits:dev", "a.txt", "-s", "dev~1")
    parent = json.loads(crossed("show", f"img/digits:{was}~1", "--json").out)["id"]
    assert f"from commit {parent[:8]} in" in done.err


def test_restore(crossed: Ah) -> None:
    crossed("commit", "img/digits", "-m", "Delete", "-d", "sub/", "-d", "c.txt")
    assert crossed("restore", "img/digits", "sub", "-s", "main~1").code == 0
    assert crossed("cat", "img/digits", "sub/b.txt").out == "three\n"
    assert messages(crossed)[0].startswith("Restore sub from ")
    none = crossed("restore", "img/digits", "sub", "-s", "main~2", "--json")
    assert (none.code, none.out) == (0, "null\n")
    assert crossed("restore", "img/digits", "nothing", "-s", "main").code == 1


def test_what_was_deleted_comes_back(crossed: Ah) -> None:
    head = json.loads(crossed("show", "img/digits:dev", "--json").out)["id"]
    for form in (["branch"], []):
        crossed("delete", "branch", "img/digits:dev")
        assert crossed("undelete", *form, "img/digits:dev").code == 0
        assert json.loads(crossed("show", "img/digits:dev", "--json").out)["id"] == head
    assert crossed("undelete", "branch", "img/digits:dev").code == 1
    assert crossed("undelete", "tag", "img/digits:nope").code == 1


def test_a_deleted_model_and_its_folder_come_back(crossed: Ah) -> None:
    before = json.loads(crossed("ls", "branch", "img/digits", "--json").out)
    kind = json.loads(crossed("show", "img/digits", "--json").out).get("type", "dataset")
    for words in (["dataset", "img/digits"], ["dataset/img/digits"]):
        assert crossed("delete", "dataset", "img/digits").code == 0
        back = crossed("undelete", *words)
        assert (back.code, back.out) == (0, "")
        assert back.err == "AH INFO: Bringing back Dataset digits in Folder img\n"
        assert json.loads(crossed("ls", "branch", "img/digits", "--json").out) == before
    taken = crossed("undelete", "dataset/img/digits")
    assert (taken.code, "is not deleted" in taken.err) == (1, True)
    assert crossed("delete", "dataset/img", "-f").code == 0
    assert crossed("undelete", "dataset", "img/digits").code == 1, "its folder is not there"
    back = crossed("undelete", "folder", "dataset/img", "--json")
    assert json.loads(back.out)["path"] == "user/dataset/img"
    assert json.loads(crossed("ls", "branch", "img/digits", "--json").out) == before
    assert crossed("delete", "branch", "img/digits:dev").code == 0
    back = crossed("undelete", "dataset/img/digits:dev", "--json")
    assert json.loads(back.out) == next(each for each in before if each["name"] == "dev")
    assert crossed("undelete", "dataset", "img/digits:dev").code == 2
    assert crossed("undelete", "dataset/nope").code == 1
    assert crossed("undelete", "nonsense").code == 2
    assert kind == "dataset"


def test_a_tag_does_not_move(crossed: Ah) -> None:
    assert crossed("create", "tag", "img/digits:t", "--source", "dev").code == 0
    assert crossed("create", "tag", "img/digits:t", "--source", "main").code == 1
    forced = crossed("create", "tag", "img/digits:t", "--source", "main", "-f")
    assert forced.code == 2
    assert "does not move" in forced.err
    assert crossed("reset", "img/digits:t", "main").code == 2


def test_merge_strategies_and_metadata(crossed: Ah) -> None:
    for branch in ("main", "dev"):
        Path("a.txt").write_text(branch)
        crossed("commit", f"img/digits:{branch}", "-m", branch, "-a", "a.txt")
    assert crossed("merge", "img/digits:dev").code == 3
    made = crossed("merge", "img/digits:dev", "--strategy", "theirs", "--metadata", "k=v", "--json")
    assert json.loads(made.out)["metadata"] == {"k": "v"}
    assert crossed("cat", "img/digits", "a.txt").out == "dev"
    assert crossed("merge", "img/digits:dev", "--strategy", "mine").code == 2


@pytest.mark.parametrize(
    "ref", ["main@{5.seconds.ago}", "main@{2020-01-01}", "main@{99}", "main~99"]
)
def test_a_reference_from_before_the_beginning(crossed: Ah, ref: str) -> None:
    assert crossed("log", f"img/digits:{ref}", "--oneline").code in (0, 1)
    assert crossed("log", "img/digits:main@{nonsense}").code == 2
