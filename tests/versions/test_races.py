"""Many processes on one branch: every acknowledged commit is in its history, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ahstore.ids import AssetId, new_entity_id
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository

PROGRAM = Path(__file__).with_name("commit_many.py")


@pytest.mark.parametrize(
    ("processes", "commits"),
    [(8, 50), pytest.param(16, 200, marks=pytest.mark.long)],
)
def test_no_commit_is_lost(tmp_path: Path, processes: int, commits: int) -> None:
    """Two writers that read the same head must not both win: one's commit would be gone."""
    url = (tmp_path / "store").as_uri()
    repo = Repository.open(url, create=True)
    asset = AssetId(new_entity_id())
    create_asset_root(repo, asset, committer="ann")
    running = [
        subprocess.Popen(
            [
                sys.executable,
                PROGRAM,
                url,
                tmp_path / "cache",
                asset,
                f"w{n}",
                str(commits),
                tmp_path,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    acknowledged = []
    for process in running:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        acknowledged += output.split()
    assert len(acknowledged) == len(set(acknowledged)) == processes * commits
    head = Refs(repo).get(asset, "main").commit
    history = [commit_id.hex() for commit_id, _ in log(repo, head)]
    assert sorted(history[:-1]) == sorted(acknowledged)
    assert repo.tree(repo.read_commit(head).tree).count() == processes * commits
    packs = sum(1 for _ in repo.storage.list("packs/meta/"))
    # Each commit needs one; what lost races wrote for nothing stays small.
    assert packs <= processes * commits * 1.1 + 5
    repo.close()
