"""What a killed download leaves in a folder is not committed with it, and nothing else is left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ah

KILLED = """
import os, sys
os.rename = lambda *args, **kwargs: os._exit(9)
from ahstore.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def leftovers(ah: Ah, home: Path) -> list[str]:
    """A folder ``out`` in which a download was killed twice: in a new folder, and in one there."""
    os.makedirs("in/sub")
    Path("in/a").write_text("whole")
    Path("in/sub/b").write_text("below")
    ah("create", "folder", "dataset/f")
    ah("create", "dataset", "f/d")
    assert ah("commit", "f/d", "-m", "1", "-a", "in/*").code == 0
    os.makedirs("out")
    for wanted in ("a", "sub/b"):
        command = [sys.executable, "-c", KILLED, "download", "f/d", "-o", wanted, "-s", "out"]
        assert subprocess.run(command, check=False, cwd=os.getcwd()).returncode == 9
    names = sorted(os.listdir("out"))
    assert len(names) == 2
    assert all(name.endswith(".ahpart") for name in names), names
    return names


def objects(ah: Ah) -> list[str]:
    return [each["path"] for each in json.loads(ah("ls", "object", "f/d", "--json").out)]


def test_what_a_killed_download_left_is_not_committed(ah: Ah, leftovers: list[str]) -> None:
    # Half a file under a name of ours would be a version's forever, in everybody's download.
    Path("out/new").write_text("mine")
    status = ah("status", "f/d", "out/*")
    assert "new" in status.out
    assert "ahpart" not in status.out
    done = ah("commit", "f/d", "-m", "2", "-a", "out")
    assert objects(ah) == ["a", "out/new", "sub/b"]
    for name in leftovers:
        told = f"AH INFO: Leaving out out/{name}: a download that was cut short left it"
        assert told in done.err.splitlines()
        assert told.replace("out/out", "out") in status.err


def test_what_only_looks_like_it_is_the_users(ah: Ah, leftovers: list[str]) -> None:
    own = ["x.ahpart", ".1.ahpart", ".01.0123456789ab.ahpart", ".1.0123456789AB.ahpart", "ahpart"]
    own += [".1.0123456789ab.ahpart2", "1.0123456789ab.ahpart", ".1.0123456789abc.ahpart"]
    for name in own:
        (Path("out") / name).write_text("mine")
    # Who names one himself gets it.
    named = next(name for name in leftovers if os.path.isfile(f"out/{name}"))
    assert ah("commit", "f/d", "-m", "2", "-a", "out", "-a", f"out/{named}:named").code == 0
    assert sorted(objects(ah)) == sorted(["a", "sub/b", "named", *(f"out/{name}" for name in own)])


def test_a_transaction_leaves_it_out_and_says_so(leftovers: list[str], home: Path) -> None:
    from ahstore.client.store import Store

    said: list[str] = []
    with Store.open(str(home / "store"), user="user", notify=said.append) as store:
        with store.branch("f/d").transaction("t") as changes:
            changes.put("from", "out")
            changes.put("x", b"1")
        listed = store.branch("f/d").list_object()
    assert [each["path"] for each in listed] == ["a", "sub/b", "x"]
    assert sum("Leaving out" in line for line in said) == len(leftovers)
