"""What operations ask of a bucket, request by request: over a network that is what they cost."""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.testing.fault_proxy import FaultProxy
from ahstore.testing.s3_servers import S3Server
from ahstore.versions.adding.commits import commit_files, create_asset_root
from ahstore.versions.history.log import log
from ahstore.versions.refs import RefKind, Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download

Requests = list[str]


class Bucket:
    """A store in a bucket, and what is asked of it."""

    def __init__(self, server: S3Server, proxy: FaultProxy, folder: Path) -> None:
        self.proxy = proxy
        self.folder = folder
        place = f"{server.bucket}/{secrets.token_hex(6)}"
        self.url = f"s3://{place}?endpoint_url={proxy.endpoint}"
        self.asset = AssetId(new_entity_id())
        folder.joinpath("work").mkdir()
        with self.opened("first") as repo:
            create_asset_root(repo, self.asset, committer="ann")

    @contextlib.contextmanager
    def opened(self, cache: str) -> Iterator[Repository]:
        root = str(self.folder / cache)
        repo = Repository.open(self.url, create=True, cache_root=root)
        try:
            yield repo
        finally:
            repo.close()

    def commit(self, repo: Repository, text: str) -> None:
        one = self.folder / "work" / "one"
        one.write_text(text)
        commit_files(repo, self.asset, "main", message=text, committer="a", add=[str(one)])

    def asked(self, action: Callable[[], object]) -> Requests:
        """Return the requests of ``action``, each with the part of the store it goes to."""
        self.proxy.clear()
        action()
        return [f"{r.operation} {_part(r.key)}" for r in self.proxy.requests]


def _part(key: str) -> str:
    """Return what kind of thing a key is."""
    for name in ("cells/lease", "cells/gc", "cells/ref", "packs/meta", "packs/data", "store.json"):
        if name in key:
            return name
    return key


@pytest.fixture
def bucket(s3_environment: S3Server, tmp_path: Path) -> Iterator[Bucket]:
    with FaultProxy(s3_environment.endpoint) as proxy:
        yield Bucket(s3_environment, proxy, tmp_path)


def of_first_commit(asked: Requests) -> Requests:
    """Return the requests without those that open a bucket for the first time."""
    return [request for request in asked if "hints/probe" not in request]


LISTING = "ListObjects "  # the newest version of a cell
COMMIT = ["Put packs/meta", LISTING, "Put cells/ref"]  # one pack; the lease is checked; published


def test_the_first_commit_of_a_process(bucket: Bucket) -> None:
    """At most ten, with opening the store and ending the lease, whatever the caches hold."""

    def run() -> None:
        with bucket.opened("another") as repo:
            bucket.commit(repo, secrets.token_hex(4))

    for _ in ("nothing cached", "cached"):
        assert of_first_commit(bucket.asked(run)) == [
            "Get store.json",
            "Put cells/lease",
            LISTING,  # gc
            LISTING,  # the branch
            "Get cells/ref",
            "Get packs/meta",  # its commit and pages
            *COMMIT,
            "Delete cells/lease",
        ]


def test_one_of_many_commits(bucket: Bucket) -> None:
    with bucket.opened("cache") as repo:
        bucket.commit(repo, "1")
        for text in "23":
            asked = bucket.asked(lambda: bucket.commit(repo, text))  # noqa: B023
            assert asked == [LISTING, LISTING, *COMMIT]


def test_a_branch_a_tag_and_what_follows(bucket: Bucket) -> None:
    with bucket.opened("cache") as repo:
        bucket.commit(repo, "1")
        refs = Refs(repo)
        head = refs.get(bucket.asset, "main").commit

        def make(name: str, kind: RefKind) -> None:
            refs.create(bucket.asset, name, kind, head, by="ann", via="main")

        for name, kind in (("side", "branch"), ("v1", "tag")):
            asked = bucket.asked(lambda: make(name, kind))  # type: ignore[arg-type]  # noqa: B023
            assert asked == [
                "Put cells/lease",  # it has to name the new cell
                "Head cells/lease",
                *[LISTING] * 4,  # gc, the name, the source, the lease
                "Get cells/lease",
                "Put cells/ref",
            ]
        # A lease that was extended is read when it is checked.
        assert len(bucket.asked(lambda: bucket.commit(repo, "2"))) == 6


def test_reading_what_was_just_made(bucket: Bucket) -> None:
    with bucket.opened("cache") as repo:
        for text in "123":
            bucket.commit(repo, text)

        def head() -> CommitId:
            return Refs(repo).get(bucket.asset, "main").commit

        assert bucket.asked(lambda: list(repo.files(head()).scan())) == [LISTING]
        assert bucket.asked(lambda: list(log(repo, head()))) == [LISTING]


@pytest.mark.parametrize("files", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_many_small_files(bucket: Bucket, files: int) -> None:
    """At most thirty for 20,000: nothing goes with the number of files but parts of the pack."""
    chance = random.Random(1)
    for n in range(files):
        bucket.folder.joinpath("work", f"f{n}").write_bytes(chance.randbytes(4096))
    with bucket.opened("cache") as repo:
        bucket.commit(repo, "1")
        asked = bucket.asked(
            lambda: commit_files(
                repo, bucket.asset, "main", message="m", committer="a",
                add=[f"{bucket.folder}/work/*"],
            )
        )  # fmt: skip
    parts = sum("UploadPart" in request for request in asked)
    assert parts <= files * 4096 / 2**23 + 1
    assert len(asked) - parts <= 18
    assert len(asked) <= 30
    # And back, with nothing cached: a page or a file each would be thousands.
    target = bucket.folder / "out"

    def fetch() -> None:
        with bucket.opened("another") as repo:
            download(repo, Refs(repo).get(bucket.asset, "main").commit, target=str(target))

    asked = of_first_commit(bucket.asked(fetch))
    assert len(list(target.iterdir())) == files + 1
    assert asked.count("Get packs/data") <= files * 4096 / 2**23 + 3
    assert len(asked) <= files * 4096 / 2**23 + 24, asked
