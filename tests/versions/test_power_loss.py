"""The power goes at every moment of a store's life: what was acknowledged is there, whole.

A kill proves nothing about fsync, since the kernel keeps what was written. Here the calls on a
store are recorded and replayed to every prefix, with what was not synced lost, torn or reordered.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ahstore.codec.digests import md5
from ahstore.errors import AhError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.objects.file import MD5
from ahstore.storage.folders import Folders
from ahstore.versions.adding.commits import commit_files, create_asset_root
from ahstore.versions.history.closure import row_chunks
from ahstore.versions.history.log import log
from ahstore.versions.history.merge import merge
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from tests.storage.power import (
    Fate,
    File,
    Folder,
    Recorder,
    Synced,
    Wrote,
    all_kept,
    all_lost,
    by_chance,
    only_names,
    remains,
)

State = dict[str, str]


class Life:
    """A short life of a store, and after which event which state was acknowledged."""

    def __init__(self, root: Path) -> None:
        self.store, self._work = root / "store", root / "work"
        self._work.mkdir()
        self.asset = AssetId(new_entity_id())
        self._repo = Repository.open(self.store.as_uri(), create=True)
        create_asset_root(self._repo, self.asset, committer="ann")
        self.recorder = Recorder(self.store)
        self.states = [(0, self._state())]
        self._chance = random.Random(7)

    def live(self) -> None:
        with self.recorder.recording():
            for step in self._steps():
                # Read without recording anything: reading changes nothing.
                self.states.append((len(self.recorder.events), self._state()))
                assert step
        self._repo.close()

    def _steps(self) -> Iterator[str]:
        self._commit("main", a=300_000, b=10)
        yield "commit with a large file"
        self._commit("main", b=20, c=5000)
        yield "commit"
        refs = Refs(self._repo)
        refs.create(self.asset, "side", "branch", self._head("main"), by="ann", via="main")
        yield "branch"
        self._commit("side", d=100)
        yield "commit to the branch"
        self._commit("main", e=100)
        yield "commit beside it"
        side = self._head("side")
        merge(self._repo, self.asset, side, "main", committer="ann", message="merge")
        yield "merge"
        refs.create(self.asset, "v1", "tag", self._head("main"), by="ann", via="main")
        yield "tag"
        refs.delete(self.asset, "side", "branch")
        yield "delete"
        # A new process knows of no folder that it is durable.
        self._repo.close()
        self._repo = Repository.open(self.store.as_uri())
        self._commit("main", f=1)
        yield "commit of another process"

    def _head(self, branch: str) -> CommitId:
        return Refs(self._repo).get(self.asset, branch).commit

    def _commit(self, branch: str, **sizes: int) -> None:
        for name, size in sizes.items():
            (self._work / name).write_bytes(self._chance.randbytes(size))
        add = [str(self._work / name) for name in sizes]
        commit_files(self._repo, self.asset, branch, message="change", committer="ann", add=add)

    def _state(self) -> State:
        return state_of(self._repo, self.asset)

    def allowed(self, count: int) -> list[State]:
        """Return what may be seen when the power goes after ``count`` events."""
        done = [n for n, (at, _) in enumerate(self.states) if at <= count][-1]
        return [state for _, state in self.states[done : done + 2]]


def state_of(repo: Repository, asset: AssetId) -> State:
    return {ref.name: ref.commit.hex() for ref in Refs(repo).list(asset)}


def check_whole(repo: Repository, asset: AssetId) -> None:
    """Read every byte of every commit that can be reached; each is verified as it is read."""
    for ref in Refs(repo).list(asset):
        for commit, _ in log(repo, ref.commit):
            for row in repo.files(commit).scan():
                body = b"".join(map(repo.read_chunk, row_chunks(repo, row)))
                assert md5(body) == row[MD5]


FATES = [all_lost, all_kept, only_names, by_chance(1), by_chance(2)]


def lives_on(life: Life, count: int, fate: Fate, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    remains(life.recorder, count, fate, target)
    repo = Repository.open(target.as_uri())
    state = state_of(repo, life.asset)
    assert state in life.allowed(count), (count, life.recorder.events[count - 1 : count + 1])
    check_whole(repo, life.asset)
    repo.close()


def lives_on_always(life: Life, fates: list[Fate], target: Path) -> None:
    for count in range(len(life.recorder.events) + 1):
        for fate in fates:
            lives_on(life, count, fate, target)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    life = Life(tmp_path_factory.mktemp("life"))
    life.live()
    return life


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: getattr(fate, "__name__", "chance"))
def test_nothing_acknowledged_is_lost(life: Life, fate: Fate, tmp_path: Path) -> None:
    total = len(life.recorder.events)
    assert total > 60
    assert len({str(state) for _, state in life.states}) == len(life.states)
    lives_on_always(life, [fate], tmp_path / "left")


@pytest.mark.parametrize("forgotten", [File, Folder, "folders above"])
def test_a_forgotten_sync_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: object
) -> None:
    """The simulation itself must be able to fail: else the test above says nothing."""
    life = Life(tmp_path)
    if forgotten == "folders above":
        monkeypatch.setattr(Folders, "make_durable", lambda *_: None)
    life.live()
    recorder = life.recorder
    for number, event in enumerate(recorder.events):
        if isinstance(event, Synced) and type(event.node) is forgotten:
            recorder.events[number] = Wrote(File(), 0, b"")
    with pytest.raises((AssertionError, AhError)):
        lives_on_always(life, FATES, tmp_path / "left")
