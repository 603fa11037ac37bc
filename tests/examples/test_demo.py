"""`make demo` goes through to its end and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


def test_the_demo(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, DEMO],
        env={"HOME": str(home), "TMPDIR": str(temporary), "PATH": os.environ["PATH"]},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for shown in (
        "STATUS:         Succeeded",
        "TARGET_BRANCH:  epoch-5",
        '"schema_version": 1',
        "AH INFO: Continue training commit",
        "continuing after epoch 5",
        "RESULTS:         key     value",
        ">>> pprint(branch.list_evaluation())",
    ):
        assert shown in done.stdout
    metrics = re.findall(r'"accuracy": (0\.\d+)', done.stdout)
    assert float(metrics[1]) > float(metrics[0]) > 0.8
    # The first and the continued training are done again, with the same bytes.
    verdicts = re.findall(r"ah rerun \S+\n(?:AH INFO: .*\n)*(.*)\n", done.stdout)
    assert len(verdicts) == 2, done.stdout
    assert all("same bytes" in verdict for verdict in verdicts), verdicts
    # What the demo makes in the home of whoever tries it would stay there for ever.
    assert os.listdir(home) == []
    assert os.listdir(temporary) == []
