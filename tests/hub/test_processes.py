"""Many processes on one folder of a local store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.storage.cells import CellState
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository

PROGRAM = Path(__file__).with_name("create_many.py")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("processes", "own", "contested"),
    [(8, 4, 4), pytest.param(8, 40, 40, marks=pytest.mark.long)],
)
def test_no_asset_is_lost_and_each_name_has_one_winner(
    tmp_path: Path, processes: int, own: int, contested: int
) -> None:
    # Two who both "made" a model would each train into his own, and one of them is nowhere.
    url = (tmp_path / "store").as_uri()
    repo = Repository.open(url, create=True)
    hub = Hub(repo, "ann")
    folder = hub.create_folder("model", "ic")
    arguments = [url, tmp_path / "cache", folder.id]
    running = [
        subprocess.Popen(
            [sys.executable, PROGRAM, *arguments, f"w{n}", str(own), str(contested)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
        )
        for n in range(processes)
    ]
    answers: dict[str, list[str]] = {}
    for process in running:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        for line in output.splitlines():
            name, answer = line.split()
            answers.setdefault(name, []).append(answer)
    made = {name: [a for a in given if a != "taken"] for name, given in answers.items()}
    assert len(made) == processes * own + contested
    assert all(len(winners) == 1 for winners in made.values())
    assert all(len(answers[f"all-{at}"]) == processes for at in range(contested))
    listed = {asset.name: [asset.id] for asset in hub.list_assets(folder)}
    assert listed == made
    for (asset,) in made.values():
        assert hub.repo.read_commit(Refs(repo).get(asset, "main").commit).message
    # The losers have cleaned up: no other asset's branch is live.
    live = [
        cell for cell in repo.cells.list("ref") if repo.cells.read(cell).state is CellState.LIVE
    ]
    assert len(live) == len(made)
    repo.close()
