from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ahstore.hub.hub import Hub
from ahstore.jobs.jobs import Jobs
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.repository import Repository
from tests.jobs.conftest import FOLDER, House
from tests.jobs.engines.clusters import need_ray, need_slurm, shared_cluster, shared_folder


@pytest.fixture(scope="session")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A Slurm of one node; the tests that use it share it."""
    need_slurm()
    with shared_cluster("slurm", shared_folder(tmp_path_factory)) as variables:
        yield variables


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A Ray head; likewise."""
    programs = need_ray()
    with shared_cluster("ray", shared_folder(tmp_path_factory), programs) as variables:
        yield variables


@pytest.fixture
def slurm(slurm_cluster: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The Slurm, found by this process and what it starts."""
    monkeypatch.setenv("SLURM_CONF", slurm_cluster["SLURM_CONF"])
    return slurm_cluster


@pytest.fixture
def ray(ray_cluster: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The Ray, found by this process and what it starts."""
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", ray_cluster["RAY_API_SERVER_ADDRESS"])
    return ray_cluster


@pytest.fixture
def bucket_house(s3_url: str, tmp_path: Path) -> Iterator[House]:
    """A store in S3 with a model and a dataset."""
    repo = Repository.open(s3_url, create=True, cache_root=str(tmp_path / "cache"))
    hub = Hub(repo, "user")
    model = hub.create_asset(hub.create_folder("model", FOLDER).id, "mnist-cnn-keras")
    dataset = hub.create_asset(hub.create_folder("dataset", FOLDER).id, "mnist")
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "images").write_bytes(b"images")
    commit_files(repo, dataset.id, "main", message="data", committer="user", add=[f"{data}/*"])
    jobs = Jobs(hub, runs_root=str(tmp_path / "runs"), store_url=repo.url)
    yield House(tmp_path, repo, hub, jobs, model, dataset, tmp_path / "code")
    repo.close()
