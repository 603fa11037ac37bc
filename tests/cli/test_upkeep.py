"""``ah gc`` and ``ah fsck`` as scripts and people use them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Ah


@pytest.fixture
def store(home: Path, ah: Ah) -> Path:
    """A store with a deleted branch."""
    assert ah("create", "folder", "model/f").code == 0
    assert ah("create", "model", "f/a").code == 0
    Path("x").write_bytes(os.urandom(200_000))
    assert ah("commit", "model/f/a", "-m", "m", "-a", "x").code == 0
    assert ah("create", "branch", "model/f/a:side").code == 0
    Path("y").write_bytes(os.urandom(700_000))
    assert ah("commit", "model/f/a:side", "-m", "m", "-a", "y").code == 0
    assert ah("delete", "branch", "model/f/a:side").code == 0
    return home / "store"


def size(store: Path) -> int:
    return sum(path.stat().st_size for path in (store / "packs").rglob("*") if path.is_file())


def test_gc_tells_first_and_then_does(store: Path, ah: Ah) -> None:
    before = size(store)
    told = ah("gc", "--dry-run", "--now")
    assert told.code == 0
    assert told.lines[0].startswith("Would delete 68")
    assert size(store) == before
    done = json.loads(ah("gc", "--now", "--json").out)
    assert done["reclaimed"] > 700_000
    assert size(store) < before - 700_000
    assert ah("gc", "--now").lines[0] == "Deleted 0 B"


def test_gc_keeps_for_a_while(store: Path, ah: Ah) -> None:
    before = size(store)
    assert ah("gc").code == 0
    assert ah("gc", "--retention", "1d", "--min-age", "0s", "--keep-last", "2").code == 0
    assert size(store) == before
    assert ah("undelete", "model/f/a:side").code == 0


@pytest.mark.parametrize("bad", ["7", "d", "-1d", "3 days", ""])
def test_a_time_is_written_with_its_unit(store: Path, ah: Ah, bad: str) -> None:
    result = ah("gc", f"--retention={bad}")
    assert result.code == 2
    assert "30d" in result.err
    assert "Traceback" not in result.err


def test_fsck_of_a_whole_store(store: Path, ah: Ah) -> None:
    result = ah("fsck", "--read-data")
    assert result.code == 0
    assert result.lines[-1] == "No damage found"
    assert ah("fsck", "--read-data", "1/3").code == 0
    assert ah("fsck", "--read-data", "4/3").code == 2
    assert ah("fsck", "--from", str(store)).code == 2


def test_fsck_tells_damage_mends_it_and_says_so_to_scripts(store: Path, ah: Ah) -> None:
    row = json.loads(ah("ls", "object", "model/f/a", "--json").out)[0]
    path, _, span = row["physical_address"].removeprefix("file://").partition("#")
    data = bytearray(Path(path).read_bytes())
    data[int(span.split(",")[0]) + 3] ^= 1
    os.chmod(path, 0o644)
    Path(path).write_bytes(data)
    result = ah("fsck", "--read-data")
    assert result.code == 5
    assert "  user/model/f/a x in " in result.out
    (damage,) = json.loads(ah("fsck", "--read-data", "--json").out)["damages"]
    assert damage["uses"][0]["path"] == "x"
    assert ah("fsck", "--read-data", "--repair").code == 5
    assert ah("commit", "model/f/a", "-m", "again", "-a", "x", "--rehash").code == 0
    assert ah("fsck", "--read-data").code == 0


def test_there_has_to_be_a_store(home: Path, ah: Ah) -> None:
    for verb in ("gc", "fsck"):
        result = ah(verb)
        assert result.code == 1
        assert "there is no store" in result.err
