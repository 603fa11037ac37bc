"""Half of many small files goes to a second process: same tree, whatever happens to it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("hash_in_two.py")
FILES = 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    rng = random.Random(9)
    for at in range(FILES):
        sub = folder / f"d{at % 7}"
        sub.mkdir(exist_ok=True)
        (sub / f"f{at}").write_bytes(rng.randbytes(rng.choice([0, 1, 100, 100, 3000])))
    return folder


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize(
    ("fate", "delivered"),
    [("well", range(FILES // 3, FILES)), ("no walker", range(FILES // 3, FILES)),
     ("killed", range(1)), ("thread", range(1)),
     ("stale", range(1))],
)  # fmt: skip
def test_both_ways_give_one_tree(folder: Path, fate: str, delivered: range) -> None:
    """A child that dies, or sees other files than were walked, must cost time and nothing else."""
    output = subprocess.run(
        [sys.executable, PROGRAM, folder, fate], capture_output=True, text=True, check=True
    ).stdout.split(maxsplit=3)
    assert int(output[0]) in delivered
    assert output[1:] == ["0" if fate == "thread" else "1", "True", "no child is left\n"]
