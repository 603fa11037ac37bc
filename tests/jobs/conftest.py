from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.ids import CommitId
from ahstore.jobs.jobs import Jobs
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import open_object
from tests.jobs.repositories import make_repository

WAIT_SECONDS = 60.0
FOLDER = "image-classification"


@dataclass
class House:
    """A store with a dataset and a model, and what tests do with its runs."""

    root: Path
    repo: Repository
    hub: Hub
    jobs: Jobs
    model: AssetRecord
    dataset: AssetRecord
    code: Path
    count: int = 0

    def make_code(self, files: dict[str, str]) -> Path:
        self.count += 1
        self.code = self.root / f"code{self.count}"
        make_repository(self.code, files)
        return self.code

    def train(self, train_py: str | None = None, **options: Any) -> RunRecord:
        if train_py is not None:
            self.make_code({"train.py": train_py})
        arguments: dict[str, Any] = {
            "branch": "b",
            "dataset": self.dataset,
            "volume": "16Mi",
            "git_repo": str(self.code),
            "git_revision": "master",
        }
        return self.jobs.train(self.model, **{**arguments, **options})

    def evaluate(self, evaluate_py: str, ref: str = "main", **options: Any) -> RunRecord:
        self.make_code({"evaluate.py": evaluate_py})
        arguments: dict[str, Any] = {
            "dataset": self.dataset,
            "volume": "16Mi",
            "git_repo": str(self.code),
            "git_revision": "master",
        }
        return self.jobs.evaluate(self.model, ref, **{**arguments, **options})

    def until_cleared(self) -> None:
        """Wait until all supervisors have cleared up and ended, after which nothing changes."""
        deadline = time.monotonic() + 60
        while any(record.supervisor.is_alive() for record in RunRecords(self.repo).all()):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def wait(self, run: RunRecord) -> RunRecord:
        record = self.jobs.wait(run, WAIT_SECONDS)
        assert record.is_over, (record, list(self.jobs.logs(run)), supervisor_log(record))
        return record

    def wait_for(self, run: RunRecord, path: Path) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not path.exists():
            record = self.jobs.get(run.name)
            assert not record.is_over, (record, list(self.jobs.logs(run)))
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def log(self, run: RunRecord) -> str:
        return "\n".join(self.jobs.logs(run))

    def head(self, branch: str) -> CommitId | None:
        ref = Refs(self.repo).find(self.model.id, branch)
        return None if ref is None else ref.commit

    def files(self, commit: CommitId) -> dict[str, bytes]:
        tree = self.repo.tree(self.repo.read_commit(commit).tree)
        found = {}
        for row in tree.scan():
            with open_object(self.repo, commit, row[0]) as file:
                found[row[0]] = file.read()
        return found


def supervisor_log(record: RunRecord) -> str:
    path = Path(record.workspace, "logs", "supervisor.log")
    return path.read_text() if path.exists() else "(no supervisor.log)"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model and a dataset, made once: a copied store works at its new place."""
    root = tmp_path_factory.mktemp("template")
    repo = Repository.open(f"file://{root}/store", create=True, cache_root=None)
    hub = Hub(repo, "user")
    hub.create_asset(hub.create_folder("model", FOLDER).id, "mnist-cnn-keras")
    dataset = hub.create_asset(hub.create_folder("dataset", FOLDER).id, "mnist")
    data = root / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "images").write_bytes(b"images")
    (data / "labels").write_bytes(b"labels")
    commit_files(repo, dataset.id, "main", message="data", committer="user", add=[f"{data}/*"])
    repo.close()
    return root / "store"


@pytest.fixture
def house(template: Path, tmp_path: Path) -> Iterator[House]:
    shutil.copytree(template, tmp_path / "store")
    url = f"file://{tmp_path}/store"
    repo = Repository.open(url, cache_root=str(tmp_path / "cache"))
    hub = Hub(repo, "user")
    model = hub.get_asset(hub.get_folder("model", FOLDER).id, "mnist-cnn-keras")
    dataset = hub.get_asset(hub.get_folder("dataset", FOLDER).id, "mnist")
    jobs = Jobs(hub, runs_root=str(tmp_path / "runs"), store_url=url)
    yield House(tmp_path, repo, hub, jobs, model, dataset, tmp_path / "code")
    repo.close()
