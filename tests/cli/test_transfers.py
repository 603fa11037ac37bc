"""``sync``, ``clone``, ``export`` and ``import`` as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Ah, content_of


def test_sync_there_and_back(digits: Ah, home: Path) -> None:
    other = str(home / "other")
    done = digits("sync", "@", other)
    assert done.code == 0, done.err
    assert "user/dataset/img/digits (new)" in done.err
    assert digits("--store", other, "cat", "dataset/img/digits", "a.txt").out == "one\n"
    assert "up to date" in digits("sync", "@", other).err
    Path("a.txt").write_text("two\n")
    digits("--store", other, "commit", "dataset/img/digits", "-m", "m", "-a", "a.txt")
    back = digits("sync", "--json", other, "@", "dataset/img")
    assert [ref["action"] for ref in json.loads(back.out)["assets"][0]["refs"]] == ["moved"]
    assert digits("cat", "dataset/img/digits", "a.txt").out == "two\n"


def test_branches_that_diverged_are_named_and_left(digits: Ah, home: Path) -> None:
    other = str(home / "other")
    digits("sync", "@", other)
    for store, text in ((str(home / "store"), "mine"), (other, "theirs")):
        Path("a.txt").write_text(text)
        digits("--store", store, "commit", "dataset/img/digits", "-m", "m", "-a", "a.txt")
    digits("create", "tag", "dataset/img/digits:v1", "--source", "main")
    done = digits("sync", "@", other)
    assert done.code == 3
    assert "user/dataset/img/digits:main" in done.err
    assert digits("--store", other, "cat", "dataset/img/digits", "a.txt").out == "theirs"
    # The rest has moved.
    assert digits("--store", other, "cat", "dataset/img/digits:v1", "a.txt").out == "mine"
    assert digits("sync", "@", other, "--force").code == 0
    assert digits("--store", other, "cat", "dataset/img/digits", "a.txt").out == "mine"


def test_a_bundle_by_file_and_by_pipe(digits: Ah, home: Path) -> None:
    assert digits("export", "dataset/img/digits", "-o", "d.ahb").code == 0
    first, second = str(home / "first"), str(home / "second")
    assert digits("--store", first, "import", "d.ahb").code == 0
    assert digits("--store", first, "cat", "dataset/img/digits", "sub/b.txt").out == "three\n"
    ah = [sys.executable, "-m", "ahstore"]
    made = subprocess.run(
        [*ah, "export", "dataset/img/digits", "-o", "-"], capture_output=True, check=True
    )
    subprocess.run([*ah, "--store", second, "import", "-"], input=made.stdout, check=True)
    assert digits("--store", second, "cat", "dataset/img/digits", "a.txt").out == "one\n"


def test_the_kind_may_be_left_out_as_everywhere(digits: Ah, home: Path) -> None:
    other = str(home / "other")
    assert digits("export", "img/digits:main", "-o", "d.ahb").code == 0
    assert digits("--store", other, "import", "d.ahb").code == 0
    assert "up to date" in digits("sync", "@", other, "img/digits").err
    assert digits("sync", "@", other, "dataset").code == 0
    missing = digits("export", "img/nope", "-o", "e.ahb")
    assert (missing.code, Path("e.ahb").exists()) == (1, False)
    assert "neither a model nor a dataset 'img/nope'" in missing.err


def test_a_bad_bundle_changes_nothing(digits: Ah, home: Path) -> None:
    digits("export", "dataset/img/digits", "-o", "d.ahb")
    digits("create", "--store", str(home / "other"), "model/x")
    before = content_of(home / "other")
    data = bytearray(Path("d.ahb").read_bytes())
    data[len(data) // 2] ^= 1
    Path("bad.ahb").write_bytes(data)
    for name, says in (("bad.ahb", "damaged"), ("a.txt", "not a bundle"), ("none", "no file")):
        done = digits("--store", str(home / "other"), "import", name)
        assert done.code == 1
        assert says in done.err
    assert content_of(home / "other") == before


def test_clone(digits: Ah, home: Path) -> None:
    other = str(home / "other")
    assert digits("clone", "@", other).code == 0
    assert digits("clone", "@", other).code == 0
    assert digits("--store", other, "cat", "dataset/img/digits", "a.txt").out == "one\n"
    digits("--store", other, "create", "model/own")
    refused = digits("clone", "@", other)
    assert refused.code == 1
    assert "own" in refused.err
