"""The command runs small and writes a table that can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.page import replace_table

ROOT = Path(__file__).parents[2]
SMALL = ["--files=50", "--large-mib=4", "--tiny=60", "--objects=3000", "--writers=2", "--commits=2"]


def bench(module, results, *options):
    return subprocess.run(
        [sys.executable, "-m", module, "--quick", *SMALL, f"--results={results}",
         f"--dir={results}", "--no-cold", *options],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    done = bench("benchmarks", results)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in results.iterdir()) == ["latest.json", "latest.md"]
    return results


def test_every_row_has_figures(written):
    document = json.loads((written / "latest.json").read_text())
    rows = set(document["rows"]) - {"W1c", "W5c"}
    assert rows == set(document["values"])
    for row in rows:
        assert all(len(values) == 1 for values in document["values"][row]["ahstore"].values()), row
    assert document["values"]["W1"]["ahstore"]["adds MiB"][0] > 50 * 4096 / 2**20
    # Few pages for one file more: an amount, so it must not depend on the machine.
    assert document["values"]["M2"]["ahstore"]["pages"][0] <= 10
    assert document["values"]["M3"]["ahstore"]["pages"][0] <= 20
    assert document["sizes"]["files"] == 50
    assert not document["failed"]


def test_no_goal_is_judged_at_other_sizes(written):
    document = json.loads((written / "latest.json").read_text())
    assert {goal["met"] for goals in document["goals"].values() for goal in goals} == {None}


def test_tables_are_well_formed(written):
    tables = [
        [line.split("|") for line in block.splitlines()]
        for block in (written / "latest.md").read_text().split("\n\n")
        if block.startswith("|")
    ]
    assert len(tables) == 3
    for table in tables:
        assert len({len(cells) for cells in table}) == 1
        assert set("".join(table[1])) == set(" -")
    assert [line[1].strip() for line in tables[0][2:]][:2] == ["help", "W1"]


def test_peers_stand_in_the_same_table(tmp_path):
    done = bench("benchmarks.peers", tmp_path, "--peers=git", "--rows=W3,W6")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "peers.json").read_text())
    assert set(document["values"]) == {"W1", "W2", "W3", "W4", "W6"}
    assert not document["failed"]
    assert document["values"]["W6"].keys() == {"ahstore", "git", "cp+sync"}


def test_an_unknown_row_is_refused(tmp_path):
    done = bench("benchmarks", tmp_path, "--rows=W1,W99")
    assert done.returncode == 2
    assert "there is no row 'W99'" in done.stderr


def test_the_page_has_a_place_for_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "benchmarks.md").read_text())
    for table in ("| one |\n", "| two |\n"):
        replace_table(page, table)
    assert "| two |" in page.read_text()
    assert "| one |" not in page.read_text()
    assert page.read_text().startswith("# Benchmarks")
