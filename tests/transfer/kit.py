"""Stores with a hub, files to commit in a line, and everything that can be seen of a store."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from ahstore.hub.evaluations import NewEvaluation
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.ids import CommitId
from ahstore.objects.chunklist import walk
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, PATH, REFS
from ahstore.packs.reader import list_packs
from ahstore.transfer.bundle_file import BundleFile
from ahstore.transfer.exporting import export
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.history.log import log
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository


@dataclass
class Side:
    """A store and a folder of local files to commit from."""

    hub: Hub
    work: Path

    @property
    def repo(self) -> Repository:
        return self.hub.repo

    def asset(self, name: str = "net", folder: str = "img", kind: str = "model") -> AssetRecord:
        home = self.hub.find_folder(kind, folder) or self.hub.create_folder(
            kind, folder, labels=["a label"], description="a folder"
        )
        return self.hub.find_asset(home, name) or self.hub.create_asset(
            home, name, labels=["x"], description="what it is"
        )

    def commit(
        self,
        asset: AssetRecord,
        files: dict[str, bytes],
        *,
        branch: str = "main",
        message: str = "change",
        delete: tuple[str, ...] = (),
    ) -> CommitId:
        folder = self.work / str(len(list(self.work.iterdir())))
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made = commit_files(
            self.repo,
            asset.id,
            branch,
            message=message,
            committer="ann",
            add=[f"{folder}/*"] if files else [],
            delete=delete,
        )
        assert made is not None
        return made.commit

    def branch(self, asset: AssetRecord, name: str, at: CommitId, kind: str = "branch") -> None:
        Refs(self.repo).create(asset.id, name, kind, at, by="ann")  # type: ignore[arg-type]

    def head(self, asset: AssetRecord, name: str = "main") -> CommitId | None:
        found = Refs(self.repo).find(asset.id, name)
        return found.commit if found else None

    def evaluate(
        self, model: AssetRecord, dataset: AssetRecord, *, ref: str = "main", note: str = "0.9"
    ) -> None:
        results = {"metric": {"accuracy": note}}
        self.hub.create_evaluations(model, [NewEvaluation(ref, dataset, "main", results)])

    def packs(self) -> set[str]:
        return {pack for _, pack in list_packs(self.repo.storage)}

    def snapshot(self) -> dict[str, object]:
        """Return all that can be seen, read to the last byte."""
        fresh = Hub(
            Repository(
                self.repo.storage,
                {"id": self.repo.creation_id, "chunking": self.repo.cutting.to_value()},
                None,
            ),
            "bob",
        )
        seen: dict[str, object] = {}
        for folder in fresh.list_folders():
            seen[folder.path] = (folder.id, folder.labels, folder.description, folder.created)
            for asset in fresh.list_assets(folder):
                assert fresh.get_asset_by_id(asset.id) == asset
                seen[asset.path] = (asset.id, asset.labels, asset.description, asset.created)
                for ref in Refs(fresh.repo).list(asset.id):
                    seen[f"{asset.path}:{ref.name}"] = (ref.kind, ref.commit)
                    for commit, body in log(fresh.repo, ref.commit):
                        seen[commit.hex()] = (body, contents(fresh.repo, commit))
                if asset.type == "model":
                    for each in fresh.list_evaluations(asset):
                        seen[str(each.id)] = each
        return seen


def contents(repo: Repository, commit: CommitId) -> dict[str, bytes]:
    files = {}
    for row in repo.files(commit).scan():
        refs = walk(row[FLAGS] >> LEVEL_SHIFT, row[REFS], repo.read_chunk)
        files[row[PATH]] = b"".join(repo.read_chunk(ref.id) for ref, _ in refs)
    return files


def bundle_of(
    side: Side, *paths: str, since: tuple[str, ...] = (), branch: str | None = None
) -> bytes:
    out = io.BytesIO()
    export(side.hub, paths, out, "-", since=since, branch=branch)
    return out.getvalue()


def opened(data: bytes) -> BundleFile:
    return BundleFile.from_stream(io.BytesIO(data))
