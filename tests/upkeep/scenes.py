"""Scenes for schedules: a store as it stands, actors who work on it at once, and what must hold.

The store has a model with branch ``main``; a branch ``side`` that was deleted, whose pack holds a
chunk that writers are about to use again; and a live branch ``keep`` beside it.
"""

from __future__ import annotations

import functools
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from ahstore.errors import AhError
from ahstore.hub.assets import Assets
from ahstore.hub.evaluations import Evaluations, NewEvaluation
from ahstore.hub.folders import Folders
from ahstore.hub.records import AssetRecord
from ahstore.ids import Address, AssetId, ChunkId, CommitId, FolderId, new_entity_id
from ahstore.index.segment_list import INDEX_CELL, decode_list
from ahstore.objects.file import REFS
from ahstore.storage.cells import CellState
from ahstore.storage.memory import MemoryStorage
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.adding.commits import commit_files, create_asset_root
from ahstore.versions.history.ancestry import is_ancestor
from ahstore.versions.history.log import log
from ahstore.versions.history.merge import merge
from ahstore.versions.history.picking import Picked, cherry_pick
from ahstore.versions.history.recover import restore_objects
from ahstore.versions.history.undelete import undelete
from ahstore.versions.pins import pinned_head
from ahstore.versions.publish import Signature
from ahstore.versions.refs import Refs, read_ref, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.settings import make_settings
from ahstore.versions.transactions.transaction import Transaction
from tests.upkeep.schedules import (
    Actor,
    KilledError,
    Random,
    Schedule,
    SimulatedStorage,
    current,
    pause,
    restore,
    snapshot,
)

NOISE = random.Random(3).randbytes(40_000)
KEPT = random.Random(4).randbytes(40_000)
NEW = random.Random(5).randbytes(40_000)
NOW = Policy(now=True, wait=1e9)
SIGNED = Signature("m", "ann")


@dataclass(frozen=True)
class Start:
    """A store to begin with."""

    files: dict[str, tuple[bytes, float]]
    settings: dict[str, object]
    asset: AssetId
    side: CommitId
    folder: Path


_folders: list[Path] = []


def remove_folders() -> None:
    """Remove what the stores to begin with were filled from; new scenes make it anew."""
    start.cache_clear()
    while _folders:
        shutil.rmtree(_folders.pop())


@functools.cache
def start(*, mixed: bool) -> Start:
    """Return the store, made once; ``mixed``: what ``keep`` needs lies in the pack with x."""
    storage = MemoryStorage()
    settings = make_settings(storage, None)
    repo = Repository(storage, settings, None)
    asset = AssetId(new_entity_id())
    create_asset_root(repo, asset, committer="ann")
    folder = Path(tempfile.mkdtemp(prefix="ahstore-scenes-"))
    _folders.append(folder)
    for name, data in {
        "x": NOISE,
        "own0": b"mine 0",
        "own1": b"mine 1",
        "kept": KEPT,
        "new": NEW,
    }.items():
        (folder / name).write_bytes(data)
    main = Refs(repo).get(asset, "main").commit
    Refs(repo).create(asset, "side", "branch", main, by="ann", via="main")
    added = [str(folder / name) for name in (("x", "kept") if mixed else ("x",))]
    side = commit_files(repo, asset, "side", message="x", committer="ann", add=added)
    Refs(repo).create(asset, "keep", "branch", main, by="ann", via="main")
    kept = str(folder / "kept")
    commit_files(repo, asset, "keep", message="kept", committer="ann", add=[kept])
    assert side is not None
    Refs(repo).delete(asset, "side", "branch")
    repo.leases.rest()
    return Start(snapshot(storage), settings, asset, side.commit, folder)


class LostError(Exception):
    """Something that must hold does not."""


class Scene:
    """One run: a storage of its own, and a repository for each actor."""

    def __init__(
        self, *works: Callable[[Scene], Callable[[], object]], mixed: bool = False
    ) -> None:
        self.start = start(mixed=mixed)
        self.memory = restore(self.start.files)
        self.storage = SimulatedStorage(self.memory)
        self.acknowledged: list[tuple[str, CommitId]] = []
        self.promised: Actor | None = None
        self.late: Callable[[], None] | None = None
        self.dropped: set[str] = set()
        """Branches that somebody deletes: nobody can say when, until he has done it."""
        self.deleted: set[CommitId] = set()
        self.repos: dict[Actor | None, Repository] = {}
        self.actors = [
            Actor(f"{n}-{work.__name__}", self._ended(work(self)), self.storage)
            for n, work in enumerate(works)
        ]

    def repo(self) -> Repository:
        """Return the repository of the actor that asks."""
        actor = current()
        if actor not in self.repos:
            self.repos[actor] = Repository(self.storage, self.start.settings, None)
            self.repos[actor].cells._pause = pause
        return self.repos[actor]

    def _ended(self, work: Callable[[], object]) -> Callable[[], object]:
        """Return work at whose end its process ends, too."""

        def run() -> None:
            try:
                work()
            finally:
                self.repo().leases.rest()

        return run

    def play(self, plan: Schedule | Random) -> None:
        """Run the actors by a plan and check what must hold."""
        with ExitStack() as patches:
            for module in ("ahstore.versions.session", "ahstore.upkeep.holders"):
                patches.enter_context(mock.patch(f"{module}.time.sleep"))
            dead = lambda _storage, record, **_: self.storage.is_dead(record)  # noqa: E731
            patches.enter_context(mock.patch("ahstore.upkeep.holders.is_dead", dead))
            # A thread that ends idle leases would do so for those who were killed, too.
            patches.enter_context(mock.patch("ahstore.versions.lease_keeper.BACKGROUND"))
            plan.run(self.actors)
            self.check(plan)
            # And all rubbish goes, if one gc is let alone; but nothing else.
            for actor in self.actors:
                actor.killed = True
            collect(Repository(self.storage, self.start.settings, None), NOW)
            self.check(plan)
            self.check_reading(plan)

    def check(self, plan: object) -> None:
        """Check that no live object is lost, and no acknowledged commit."""
        repo = Repository(self.memory, self.start.settings, None)
        said = f"{plan}\n" + "\n".join(self.storage.log[-400:])
        for actor in self.actors:
            if not isinstance(actor.error, (AhError, KilledError, type(None))):
                raise AssertionError(f"{actor.name}: {actor.error!r}\n{said}") from actor.error
        if self.promised is not None and not self.promised.killed:
            raise LostError(f"a pinned reader lost what he read\n{said}")
        report = check(repo)
        if report.damages:
            raise LostError(f"{[d.message for d in report.damages]}\n{said}")
        for branch, commit in self.acknowledged:
            if branch in self.dropped or commit in self.deleted:
                continue
            head = Refs(repo).find(self.start.asset, branch)
            if head is None or not is_ancestor(repo, commit, head.commit):
                raise LostError(f"{branch} lost a commit\n{said}")

    def note_deleted(self, branch: str) -> None:
        """Take in that a branch has just been deleted with the commits that it had."""
        repo = Repository(self.memory, self.start.settings, None)
        cell = ref_cell(self.start.asset, branch)
        dead = next(v.number for v in repo.cells.history(cell) if v.state is CellState.DEAD)
        versions = (v for v in repo.cells.history(cell) if v.number < dead)
        last = next(ref for v in versions if (ref := read_ref(self.start.asset, branch, v)))
        self.deleted |= {commit for commit, _ in log(repo, last.commit)}
        self.dropped.discard(branch)

    def check_reading(self, plan: object) -> None:
        """Check that all is read by who has the index alone, as it is by now, and no cache."""
        self.memory.capabilities = replace(self.memory.capabilities, far=True)
        repo = Repository(self.memory, self.start.settings, None)
        try:
            for ref in Refs(repo).list(self.start.asset):
                read_all(repo, ref.commit)
        except AhError as error:
            log = "\n".join(self.storage.log[-400:])
            raise LostError(f"{error!r}\n{plan}\n{log}") from error
        named = {segment.key for segment in decode_list(repo.cells.read(INDEX_CELL))}
        assert set(self.memory.list("index/")) == named  # the others were rubbish


def read_all(repo: Repository, head: CommitId) -> None:
    """Read every chunk of a version."""
    for row in repo.files(head).scan():
        assert list(repo.read_chunks([ChunkId(Address(row[REFS][:32]))]))


# Actors.


def commit(
    name: str, branch: str = "main", *, other: str = "x"
) -> Callable[[Scene], Callable[[], object]]:
    """Return who commits x, whose chunk the deleted branch's pack holds, and a file of his own."""

    def writer(scene: Scene) -> Callable[[], object]:
        def work() -> None:
            add = [str(scene.start.folder / file) for file in dict.fromkeys((other, name))]
            made = commit_files(
                scene.repo(), scene.start.asset, branch, message=name, committer=name, add=add
            )
            if made is not None:
                scene.acknowledged.append((branch, made.commit))

        return work

    return writer


def collector(scene: Scene) -> Callable[[], object]:
    """A gc that keeps nothing for a while."""
    return lambda: collect(scene.repo(), NOW, pause=pause)


def deleter(scene: Scene) -> Callable[[], object]:
    """Who deletes the branch ``keep``."""

    def work() -> None:
        scene.dropped.add("keep")
        Refs(scene.repo()).delete(scene.start.asset, "keep", "branch")
        scene.note_deleted("keep")

    return work


def recreator(scene: Scene) -> Callable[[], object]:
    """Who makes the branch ``keep``, that was deleted, anew from ``main``, and commits to it."""
    commits = commit("own1", "keep")(scene)

    def work() -> None:
        repo = scene.repo()
        source = Refs(repo).get(scene.start.asset, "main").commit
        Refs(repo).create(scene.start.asset, "keep", "branch", source, by="ann", via="main")
        commits()

    return work


def consolidator(scene: Scene) -> Callable[[], object]:
    """Who covers all packs of the store by segments of its index."""
    return lambda: scene.repo().index.consolidate(everything=True)


def forker(scene: Scene) -> Callable[[], object]:
    """Who makes a branch from the live branch ``keep``."""

    def work() -> None:
        repo = scene.repo()
        source = Refs(repo).get(scene.start.asset, "keep").commit
        Refs(repo).create(scene.start.asset, "new", "branch", source, by="ann", via="keep")

    return work


def from_id(scene: Scene) -> Callable[[], object]:
    """Who makes a branch from the bare id of the deleted branch's commit."""

    def work() -> None:
        refs = Refs(scene.repo())
        refs.create(scene.start.asset, "new", "branch", scene.start.side, by="ann")

    return work


def reader(scene: Scene) -> Callable[[], object]:
    """Who reads the branch ``keep`` under a pin."""

    def work() -> None:
        repo = scene.repo()
        with pinned_head(repo, scene.start.asset, "keep") as head:
            scene.promised = current()
            read_all(repo, head)
            scene.promised = None

    return work


def undeleter(scene: Scene) -> Callable[[], object]:
    """Who brings the deleted branch back."""
    return lambda: undelete(scene.repo(), scene.start.asset, "side", "branch", by="ann")


def merger(scene: Scene) -> Callable[[], object]:
    """Who merges the deleted branch's commit, named by its id, into ``main``."""
    return lambda: merge(
        scene.repo(), scene.start.asset, scene.start.side, "main", committer="ann", message="m"
    )


def picker(scene: Scene) -> Callable[[], object]:
    """Who does again on ``main`` what the deleted branch's commit, named by its id, did."""
    picked = Picked(scene.start.side)
    return lambda: cherry_pick(scene.repo(), scene.start.asset, "main", picked, SIGNED)


def restorer(scene: Scene) -> Callable[[], object]:
    """Who brings back into ``main`` what the deleted branch's commit, named by its id, has."""
    return lambda: restore_objects(
        scene.repo(), scene.start.asset, "main", scene.start.side, ["x"], SIGNED
    )


def copier(scene: Scene) -> Callable[[], object]:
    """Who copies an object of the deleted branch's commit, named by its id, in a transaction."""

    def work() -> None:
        changes = Transaction(scene.repo(), scene.start.asset, "main", SIGNED)
        try:
            changes.copy("x", "copied", source=scene.start.side)
            changes.publish()
        finally:
            changes.abandon()

    return work


def busy(scene: Scene) -> Callable[[], object]:
    """A process that commits to one branch and the other, and keeps its lease in between."""
    first, second = commit("own0")(scene), commit("own1", "keep")(scene)

    def work() -> None:
        first()
        second()

    return work


def evaluator(scene: Scene) -> Callable[[], object]:
    """Who records results of the deleted branch's commit, named by its id, on that of ``keep``."""

    def work() -> None:
        repo, asset = scene.repo(), scene.start.asset
        folder = FolderId(asset)
        model = AssetRecord(asset, folder, "ann", "model", "f", "a", (), "", 0.0)
        dataset = AssetRecord(asset, folder, "ann", "dataset", "f", "a", (), "", 0.0)
        new = NewEvaluation(scene.start.side.hex(), dataset, "keep", {"metric": {"acc": 1}})
        Evaluations(repo, Assets(repo, Folders(repo, "ann"), "ann"), "ann").create(model, [new])

    return work
