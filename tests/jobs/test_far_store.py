"""Runs on a store in a bucket: their supervisor keeps of it what the user allows, and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.jobs.jobs import Jobs
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.repository import Repository
from tests.jobs.conftest import WAIT_SECONDS, supervisor_log
from tests.jobs.repositories import make_repository


@pytest.mark.parametrize("size", [0, 2**30])
def test_the_size_of_the_cache_holds_for_supervisors(
    s3_url: str, tmp_path: Path, size: int
) -> None:
    """Who says that nothing is to be kept (a small disk, secret data) means runs as well."""
    cache = tmp_path / "cache"
    repo = Repository.open(s3_url, create=True, cache_root=str(cache), cache_size=size)
    try:
        hub = Hub(repo, "user")
        model = hub.create_asset(hub.create_folder("model", "f").id, "m")
        dataset = hub.create_asset(hub.create_folder("dataset", "f").id, "d")
        data = tmp_path / "data"
        data.write_bytes(os.urandom(2**20))
        commit_files(repo, dataset.id, "main", message="d", committer="user", add=[str(data)])
        train = "import os; open(os.environ['AH_OUTPUT_DIR'] + '/model', 'w').write('1')"
        make_repository(tmp_path / "code", {"train.py": train})
        jobs = Jobs(hub, runs_root=str(tmp_path / "runs"), store_url=s3_url)
        run = jobs.train(
            model, branch="b", dataset=dataset, volume="16Mi",
            git_repo=str(tmp_path / "code"), git_revision="master",
        )  # fmt: skip
        done = jobs.wait(run, WAIT_SECONDS)
        assert done.status == "Succeeded", (done.reason, supervisor_log(done))
    finally:
        repo.close()
    kept = list(cache.glob("**/ranges/*/*"))
    assert bool(kept) == (size > 0), kept
