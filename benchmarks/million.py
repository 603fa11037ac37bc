"""A version of a million objects: its first commit, one file more, the diff, a branch of it.

``python -m benchmarks.million build|use OBJECTS FOLDER``. The objects' rows are made up, for a
million real files would measure the file system: their chunks are not there.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ahstore import api
from ahstore.client.dataset import Dataset
from ahstore.client.ref import Commit
from ahstore.client.store import Store
from ahstore.ids import CommitId, PageId
from ahstore.objects.content_type import encode, guess
from ahstore.objects.file import Row
from ahstore.objects.tree import build
from ahstore.packs.place import Kind
from ahstore.packs.reader import list_packs
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import ref_cell
from ahstore.versions.repository import Repository
from benchmarks.inprocess import get_dataset, get_main, milliseconds, quantiles
from benchmarks.parts import Rows

FOLDER, MILLION, ONE = "dataset/m", "dataset/m/million", "dataset/m/one"
COMMITS, BRANCHES, DIFFS = 20, 200, 5
PER_FOLDER = 1000


def rows(count: int) -> Iterator[Row]:
    """Yield the rows of made-up pictures, sorted by path."""
    kind = encode(guess("a.png"))
    for at in range(count):
        chunk = hashlib.sha256(b"%d" % at).digest()
        size = 2000 + at % 8000
        path = f"train/{at // PER_FOLDER:05d}/{at:08d}.png"
        yield [path, size, chunk[:16], 10**18 + at, 0, kind, chunk + size.to_bytes(8, "big")]


def build_first(store: Store, count: int) -> Rows:
    """Commit the million objects to a new dataset's ``main``."""
    store.create_folder("dataset", "m")
    store.create(MILLION)
    asset = get_dataset(store, MILLION).record.id
    repo = store.core.repo
    started = time.perf_counter()
    with repo.session([ref_cell(asset, "main")]) as session:
        root = build(rows(count), session)

        def propose(head: CommitId | None) -> Proposal:
            return Proposal(root, (head,) if head else ())

        made = publish(repo, session, asset, "main", propose, Signature("first", "bench"))
    assert made is not None
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"M1": {"seconds": seconds, "peak MiB": peak}}


def use(store: Store, count: int, folder: Path) -> Rows:
    """Measure one file more, the diff and branches of it."""
    source = folder / "one.bin"
    store.create(ONE)
    one = get_dataset(store, ONE)
    million = get_dataset(store, MILLION)
    _commit_one(one, source, 0, 1)
    before = million.get_branch("main").commit_id
    samples = [milliseconds(_commit_one, million, source, at, count) for at in range(COMMITS)]
    branches = _branches(one, million)
    counted = _count_commit(store, source, count)
    after = get_main(store, MILLION).get_commit(COMMITS).id
    assert after != before
    return {
        "M2": {**quantiles(samples[1:]), **counted},
        "M3": _diff(store),
        "P8": quantiles(branches[0]),
        "P8m": quantiles(branches[1]),
    }


def _commit_one(asset: Dataset, source: Path, seed: int, count: int) -> None:
    source.write_bytes(random.Random(seed).randbytes(4096))
    at = random.Random(seed).randrange(count)
    path = f"train/{at // PER_FOLDER:05d}/{at:08d}-more.png"
    assert asset.get_branch("main").create_commit("one more", add={str(source): path})


def _branches(one: Dataset, million: Dataset) -> tuple[list[float], list[float]]:
    samples: tuple[list[float], list[float]] = ([], [])
    for at in range(BRANCHES):  # in turn, so that both see the same machine
        for asset, taken in zip((one, million), samples, strict=True):
            taken.append(milliseconds(asset.create_branch, f"dev-{at}", "main"))
    return samples


def _count_commit(store: Store, source: Path, count: int) -> dict[str, float]:
    """Commit with everything that reaches the storage counted; the largest of some commits."""
    repo = store.core.repo
    recording = RecordingStorage(repo.storage)
    counted = Repository(recording, json.loads(repo.storage.read("store.json")), repo.cache_root)
    asset = get_dataset(Store(counted, user=store.user, runs_dir=store.core.runs_dir), MILLION)
    pages, sizes = [], []
    for seed in range(1000, 1000 + DIFFS):
        packs = set(list_packs(repo.storage))
        recording.clear()
        _commit_one(asset, source, seed, count)
        sizes.append(recording.carried("create", "write", "replace"))
        new = set(list_packs(repo.storage)) - packs
        entries = [place for pack in new for _, place in repo.packs.read_index(*pack)]
        pages.append(sum(place.kind is Kind.PAGE for place in entries))
    return {"pages": max(pages), "KiB": max(sizes) / 1024}


def _diff(store: Store) -> dict[str, float]:
    """Compare a commit with its parent in a store opened for it, nothing read before."""
    samples, pages = [], []
    for at in range(DIFFS):
        with api.open(store.url, user=store.user) as fresh:
            main = get_main(fresh, MILLION)
            new, old = main.get_commit(at), main.get_commit(at + 1)
            reads = _count_pages(fresh.core.repo)
            samples.append(milliseconds(_one_change, old, new))
            pages.append(len(reads))
    return {"ms": statistics.median(samples), "pages": max(pages)}


def _one_change(old: Commit, new: Commit) -> None:
    assert [change["change"] for change in old.diff(new)] == ["added"]


def _count_pages(repo: Repository) -> list[PageId]:
    """Have every page that is read from now on added to the list that is returned."""
    reads: list[PageId] = []
    read_page = repo.read_page

    def counted(page: PageId) -> bytes:
        reads.append(page)
        return read_page(page)

    repo.read_page = counted  # type: ignore[method-assign]
    return reads


def _main(action: str, objects: str, folder: str) -> None:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with api.open() as store:
        if action == "build":
            measured = build_first(store, int(objects))
        else:
            measured = use(store, int(objects), place)
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
