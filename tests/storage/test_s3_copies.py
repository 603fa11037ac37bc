"""A store copied between a disk and a bucket by rclone works at its new place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ahstore.client.store import Store
from ahstore.testing.s3_servers import S3Server

FILES = {"big": os.urandom(3_000_000), "Ünï/Ä b~.txt": b"odd", "UPPER": b"case", "empty": b""}


def rclone(server: S3Server, source: str, target: str) -> None:
    program = os.path.join(os.path.dirname(sys.executable), "rclone")
    subprocess.run(
        [program, "--config", os.devnull, "--s3-provider", "Other", "--s3-env-auth", "--s3-no-check-bucket",
         "--s3-endpoint", server.endpoint, "copy", source, target],
        check=True,
    )  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def fill(url: str, sources: Path, cache: Path) -> None:
    with Store.open(url, user="Some.One", cache_dir=cache) as store:
        store.create("model/F.older_1")
        store.create("model/F.older_1/Asset.X")
        store.commit("model/F.older_1/Asset.X", "one", add=[f"{sources}/*"])
        store.create("model/F.older_1/Asset.X:Branch-2.b")
        store.create("model/F.older_1/Asset.X:V1.0", resource="tag")


def look(url: str, cache: Path, target: Path) -> list[object]:
    """Return all that is to be seen, wherever the store lies."""
    with Store.open(url, user="Some.One", cache_dir=cache, create=False) as store:
        path = "model/F.older_1/Asset.X"
        store.download(path, save_dir=target)
        objects = [{**o, "physical_address": ""} for o in store.list(path)]
        seen = [store.id, store.list("model"), store.list("model/F.older_1"), objects]
        seen += [store.list(path, resource=kind) for kind in ("branch", "tag", "commit")]
    read = {str(f.relative_to(target)): f.read_bytes() for f in target.rglob("*") if f.is_file()}
    assert read == FILES
    return seen


def test_from_a_disk_to_a_bucket_and_back(
    s3_environment: S3Server, s3_url: str, sources: Path, tmp_path: Path
) -> None:
    fill(str(tmp_path / "store"), sources, tmp_path / "cache")
    seen = look(str(tmp_path / "store"), tmp_path / "cache", tmp_path / "out-1")
    prefix = s3_url.partition("?")[0].removeprefix("s3://")
    rclone(s3_environment, str(tmp_path / "store"), f":s3:{prefix}")
    # With the same cache: nothing of the one may be taken for the other's.
    assert look(s3_url, tmp_path / "cache", tmp_path / "out-2") == seen
    with Store.open(s3_url, user="Some.One", cache_dir=tmp_path / "cache") as store:
        made = store.commit("model/F.older_1/Asset.X:Branch-2.b", "two", delete=["big"])
        assert made is not None
    rclone(s3_environment, f":s3:{prefix}", str(tmp_path / "back"))
    for place in (s3_url, str(tmp_path / "back")):
        with Store.open(place, user="Some.One", cache_dir=tmp_path / "fresh") as store:
            (newest, *_) = store.list("model/F.older_1/Asset.X:Branch-2.b", resource="commit")
            assert newest["id"] == made.id
            store.commit("model/F.older_1/Asset.X", "there", add=[f"{sources}/UPPER:{len(place)}"])
    # The original knows nothing of it.
    assert look(str(tmp_path / "store"), tmp_path / "cache", tmp_path / "out-3") == seen
