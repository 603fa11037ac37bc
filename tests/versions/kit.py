"""An asset in a store with a folder of local files, to commit from in a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ahstore.ids import AssetId, CommitId
from ahstore.versions.adding.commits import commit_files
from ahstore.versions.repository import Repository


@dataclass
class Asset:
    """An asset in a store, and a folder of local files to commit from."""

    repo: Repository
    id: AssetId
    work: Path

    def write(self, **files: str | bytes) -> None:
        for name, content in files.items():
            path = self.work / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(
        self, message: str = "change", *, branch: str = "main", delete: tuple[str, ...] = ()
    ) -> CommitId:
        add = [f"{self.work}/*"] if self.work.is_dir() else []
        made = commit_files(
            self.repo, self.id, branch, message=message, committer="ann", add=add, delete=delete
        )
        assert made is not None
        return made.commit

    def paths(self, commit: CommitId) -> list[str]:
        tree = self.repo.tree(self.repo.read_commit(commit).tree)
        return [row[0] for row in tree.scan()]
