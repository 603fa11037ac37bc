"""Many processes on one branch: every acknowledged commit is in its history, once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from ahstore.ids import AssetId, new_entity_id
from ahstore.storage.memory import MemoryStorage
from ahstore.storage.wrapper import WrappedStorage
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.log import log
from ahstore.versions.publish import Signature
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.settings import make_settings
from ahstore.versions.transactions.transaction import Transaction

PROGRAM = Path(__file__).with_name("commit_many.py")


def commit_together(url: str, folder: Path, *, processes: int, commits: int) -> Repository:
    """Let processes commit to one branch; return the store when all is in its history."""
    repo = Repository.open(url, create=True)
    asset = AssetId(new_entity_id())
    create_asset_root(repo, asset, committer="ann")
    running = [
        subprocess.Popen(
            [sys.executable, PROGRAM, url, folder / "cache", asset, f"w{n}", str(commits), folder],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    acknowledged = []
    for process in running:
        output, _ = process.communicate(timeout=1700)
        assert process.returncode == 0
        acknowledged += output.split()
    check_history(repo, asset, acknowledged, processes * commits)
    return repo


def check_history(repo: Repository, asset: AssetId, acknowledged: list[str], count: int) -> None:
    """Each acknowledged commit is in the history, once, and its file in the tree."""
    assert len(acknowledged) == len(set(acknowledged)) == count
    head = Refs(repo).get(asset, "main").commit
    history = [commit_id.hex() for commit_id, _ in log(repo, head)]
    assert sorted(history[:-1]) == sorted(acknowledged)
    assert repo.tree(repo.read_commit(head).tree).count() == count


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("processes", "commits"),
    [(8, 50), pytest.param(16, 200, marks=pytest.mark.long)],
)
def test_no_commit_is_lost(tmp_path: Path, processes: int, commits: int) -> None:
    """Two writers that read the same head must not both win: one's commit would be gone."""
    url = (tmp_path / "store").as_uri()
    repo = commit_together(url, tmp_path, processes=processes, commits=commits)
    packs = sum(1 for _ in repo.storage.list("packs/meta/"))
    # Each commit needs one; what lost races wrote for nothing stays small.
    assert packs <= processes * commits * 1.1 + 5
    repo.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("processes", "commits"),
    [(3, 4), pytest.param(16, 25, marks=pytest.mark.long)],
)
def test_no_commit_is_lost_in_a_bucket(
    s3_url: str, tmp_path: Path, processes: int, commits: int
) -> None:
    commit_together(s3_url, tmp_path, processes=processes, commits=commits).close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("threads", "commits"),
    [(8, 25), pytest.param(16, 100, marks=pytest.mark.long)],
)
def test_no_commit_is_lost_in_memory(threads: int, commits: int) -> None:
    """Threads with a store each, as processes have, over one storage without courtesy locks."""
    memory = Unlocked(MemoryStorage())
    plain = Repository(memory, make_settings(memory, None), None)
    asset = AssetId(new_entity_id())
    create_asset_root(plain, asset, committer="ann")
    settings = {"id": plain.creation_id, "chunking": plain.cutting.to_value()}
    acknowledged: list[str] = []

    def work(who: int) -> None:
        repo = Repository(memory, settings, None)
        for at in range(commits):
            changes = Transaction(repo, asset, "main", Signature(f"{who} {at}", "ann"))
            changes.put_bytes(f"w{who}/{at}", b"%d" % at)
            made = changes.publish()
            assert made is not None
            acknowledged.append(made.commit.hex())
        repo.leases.rest()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    check_history(plain, asset, acknowledged, threads * commits)


class Unlocked(WrappedStorage):
    """Without the courtesy lock, on which correctness must not rest."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()
