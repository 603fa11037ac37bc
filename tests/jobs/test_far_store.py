"""Runs on a store in a bucket: their supervisor keeps of it what the user allows, and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.jobs.jobs import Jobs
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.refs import Refs
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


STEPS = """
import os, sys
from pathlib import Path
from ahstore import run
out = Path(os.environ["AH_OUTPUT_DIR"])
step = int(os.environ.get("AH_RESUMED_STEP", "0")) + 1
(out / "model").write_text(str(step))
(out / "large").write_bytes(os.urandom(300_000))
print("committed", run.checkpoint(out, step=step))
sys.exit(step < 3)
"""


@pytest.mark.long
def test_checkpoints_retries_resume_and_reuse_in_a_bucket(s3_url: str, tmp_path: Path) -> None:
    """A thread commits beside the one that watches: both talk to the bucket at once."""
    repo = Repository.open(s3_url, create=True, cache_root=str(tmp_path / "cache"))
    try:
        hub = Hub(repo, "user")
        model = hub.create_asset(hub.create_folder("model", "f").id, "m")
        dataset = hub.create_asset(hub.create_folder("dataset", "f").id, "d")
        make_repository(tmp_path / "code", {"train.py": STEPS})
        jobs = Jobs(hub, runs_root=str(tmp_path / "runs"), store_url=s3_url)
        first = jobs.train(
            model, branch="b", dataset=dataset, volume="16Mi", retries=1, retry_wait=0,
            git_repo=str(tmp_path / "code"), git_revision="master",
        )  # fmt: skip
        failed = jobs.wait(first, WAIT_SECONDS)
        assert (failed.status, len(failed.attempts)) == ("Failed", 1), supervisor_log(failed)
        assert failed.checkpoint is not None
        assert (failed.checkpoint.step, failed.checkpoint.attempt) == (2, 2)
        done = jobs.wait(jobs.resume(failed), WAIT_SECONDS)
        assert done.status == "Succeeded", (done.reason, supervisor_log(done))
        head = Refs(repo).get(model.id, failed.checkpoint.branch)
        assert head.commit == failed.checkpoint.commit
        assert f"committed {head.commit.hex()}" in "\n".join(jobs.logs(failed))
        again = jobs.wait(
            jobs.train(
                model, branch="c", dataset=dataset, volume="16Mi", reuse=True, retries=2,
                retry_wait=0, git_repo=str(tmp_path / "code"), git_revision="master",
            ),
            WAIT_SECONDS,
        )  # fmt: skip
        # A run that goes on from a checkpoint is not the same as one that does all of it.
        assert (again.status, again.reused_from) == ("Succeeded", None), again.reason
        same = jobs.wait(
            jobs.train(
                model, branch="d", dataset=dataset, volume="16Mi", reuse=True,
                git_repo=str(tmp_path / "code"), git_revision="master",
            ),
            WAIT_SECONDS,
        )  # fmt: skip
        assert same.reused_from is not None
        assert (same.reused_from.run, same.commit) == (again.id, again.commit)
        assert Refs(repo).get(model.id, "d").commit == again.commit
    finally:
        repo.close()
