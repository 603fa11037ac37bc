"""Two ways into one store in memory: one whose storage can be made to fail or wait, one that sees."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from ahstore.hub.hub import Hub
from ahstore.storage.contract import Storage
from ahstore.storage.faults import FaultyStorage
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository


class Unlocked(FaultyStorage):
    """Without the courtesy lock, on which correctness must not rest: every race takes place."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


class Killed(BaseException):
    """Stands for the end of the process: nobody handles it."""


class Two:
    """A store; `ann`'s storage can be scripted, `bob` is another process that sees what is there."""

    def __init__(self, url: str) -> None:
        self.plain = Repository.open(url, create=True)
        self.faults = Unlocked(self.plain.storage)
        self.ann = Hub(self.over(self.faults), "ann")

    @property
    def bob(self) -> Hub:
        """Another process, just started."""
        return Hub(self.over(Unlocked(self.plain.storage)), "bob")

    def over(self, storage: Storage) -> Repository:
        settings = {"id": self.plain.creation_id, "chunking": self.plain.cutting.to_value()}
        return Repository(storage, settings, None)

    def recorded(self) -> tuple[Hub, RecordingStorage]:
        """Return a process that has just started, and the record of what it asks of the storage."""
        storage = RecordingStorage(self.plain.storage)
        return Hub(self.over(storage), "ann"), storage

    def kill(self, op: str = "*", *, skip: int = 0, under: str = "") -> None:
        """Let ann die at an operation: from then on nothing of hers reaches the storage."""
        self.faults.fail(op, lambda _: self._die(), skip=skip, under=under, times=10**9)

    def _die(self) -> Killed:
        self.ann.repo.leases._begin()  # a dead process ends no lease
        return Killed()

    def everything(self) -> dict[str, object]:
        """Return all that can be seen, by every way there is to see it."""
        hub = self.bob
        seen: dict[str, object] = {}
        for folder in hub.list_folders():
            assert hub.get_folder_by_id(folder.id) == folder
            assert hub.get_folder(folder.type, folder.name, owner=folder.owner) == folder
            seen[folder.path] = (folder.id, folder.labels, folder.description)
            for asset in hub.list_assets(folder.id):
                assert hub.get_asset_by_id(asset.id) == asset
                assert hub.get_asset(folder, asset.name) == asset
                main = Refs(hub.repo).get(asset.id, "main", "branch")
                assert hub.repo.read_commit(main.commit).asset == asset.id
                seen[asset.path] = (asset.id, asset.labels, asset.description)
                if asset.type == "model":
                    for evaluation in hub.list_evaluations(asset):
                        assert hub.get_evaluation(evaluation.id) == evaluation
                        seen[f"{asset.path}#{evaluation.id}"] = evaluation.results
        return seen
