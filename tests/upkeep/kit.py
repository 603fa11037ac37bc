"""A store of the user ann's with one model, to fill and look at in a line."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from ahstore.client.store import Store
from ahstore.ids import AssetId, CommitId
from ahstore.index.consolidation import Consolidation
from ahstore.packs.reader import list_packs
from ahstore.storage.process import ProcessIdentity
from ahstore.upkeep.policy import Policy
from ahstore.versions.repository import Repository

NOW = Policy(now=True, wait=0.0)
MODEL = "model/f/a"

DEAD = replace(ProcessIdentity.current(), pid=2**22 - 1, start=1)
"""A process of this machine that is not there any more."""


@dataclass
class House:
    """A store with one model, and a folder to commit from."""

    store: Store
    work: Path
    random: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def repo(self) -> Repository:
        return self.store.core.repo

    @property
    def asset(self) -> AssetId:
        return AssetId(self.store.model(MODEL).id)

    def commit(self, ref: str = "main", **files: bytes) -> str:
        """Commit files by name; returns the commit's id."""
        self.work.mkdir(exist_ok=True)
        for name, data in files.items():
            (self.work / name).write_bytes(data)
        paths = [str(self.work / name) for name in files]
        made = self.store.commit(f"{MODEL}:{ref}", "change", add=paths)
        assert made is not None
        return made.id

    def noise(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def content(self, ref: str = "main") -> dict[str, bytes]:
        """Read every object of a version."""
        version = self.store.version(f"{MODEL}:{ref}")
        found = {}
        for row in version.list_object():
            with version.open(row["path"]) as file:
                found[row["path"]] = file.read()
        return found

    def holds(self, commit: str) -> bool:
        """Tell whether a commit can be read."""
        try:
            return bool(self.repo.read_commit(CommitId(bytes.fromhex(commit))))
        except LookupError:
            return False

    def size(self) -> int:
        """Bytes of all packs."""
        storage = self.repo.storage
        return sum(storage.stat(key).size for key in storage.list("packs/"))

    def deleted_branch(self, size: int = 100_000) -> str:
        """Make a branch with a commit of its own and delete it; returns the commit."""
        self.store.create(f"{MODEL}:side")
        commit = self.commit("side", lost=self.noise(size))
        self.store.delete(f"{MODEL}:side")
        return commit


def new_house(url: str, tmp_path: Path, *, name: str = "house") -> House:
    store = Store.open(
        url, user="ann", cache_dir=tmp_path / f"{name}-cache", runs_dir=tmp_path / "runs"
    )
    store.create("model/f")
    store.create(MODEL)
    return House(store, tmp_path / f"{name}-work")


def furnish(house: House) -> None:
    """Put one of everything into a store, in as few files as may be."""
    store = house.store
    house.commit(small=b"small", large=house.noise(1_500_000), long=b"1" * 2_000_000)
    house.commit(small=b"other", second=house.noise(800_000))
    store.create(f"{MODEL}:v1", resource="tag", source="main")
    store.create("dataset/d")
    store.create("dataset/d/data", description="x" * 6000)
    results = {"metric.json": {"acc": 0.5}, "long.json": {"text": "y" * 8000}}
    store.version(MODEL).create_evaluation(results, dataset="dataset/d/data")
    repo = house.repo
    Consolidation(repo.storage, repo.cells, repo.packs).cover(list_packs(repo.storage))
    repo.leases.rest()
