"""Which objects of a commit are meant by some paths: counted from few pages, streamed in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ahstore.errors import ObjectNotFoundError
from ahstore.ids import CommitId
from ahstore.names import check_object_path
from ahstore.objects.file import PATH, SIZE, Row
from ahstore.versions.repository import Repository


class Selection:
    """Objects of a commit: all, or those at ``paths`` (objects, or folders with all below).

    Raises:
        ObjectNotFoundError: a path names neither an object nor a folder of the commit.
    """

    def __init__(self, repo: Repository, commit: CommitId, paths: Sequence[str] = ()) -> None:
        # Its rows, which become paths on the user's disk, are checked whoever wrote them.
        self._tree = repo.files(commit)
        if not paths:
            self._chosen: list[str | Row] = [""]
            return
        found = {path: self._at_path(path, commit) for path in paths}
        folders = {chosen for chosen in found.values() if isinstance(chosen, str)}
        single = {chosen[PATH]: chosen for chosen in found.values() if not isinstance(chosen, str)}
        self._chosen = [
            single.get(key, key)
            for key in sorted(folders | single.keys())
            if not _is_below(key.removesuffix("/"), folders)
        ]

    def _at_path(self, path: str, commit: CommitId) -> Row | str:
        """Return the object's row, or the prefix of the folder."""
        check_object_path(path.removesuffix("/"))
        row = None if path.endswith("/") else self._tree.find(path)
        if row is not None:
            return row
        prefix = path.rstrip("/") + "/"
        if not self._tree.count_under(prefix):
            raise ObjectNotFoundError(
                f"there is no object or folder {path!r} in commit {commit.hex()[:8]}", path=path
            )
        return prefix

    def rows(self) -> Iterator[Row]:
        """Yield the objects' rows, each once, sorted by path."""
        for chosen in self._chosen:
            if isinstance(chosen, str):
                yield from self._tree.scan(prefix=chosen)
            else:
                yield chosen

    def paths(self) -> Iterator[str]:
        """Yield the objects' paths, sorted."""
        return (row[PATH] for row in self.rows())

    def totals(self) -> tuple[int, int]:
        """Return how many objects and bytes these are."""
        files = size = 0
        for chosen in self._chosen:
            if isinstance(chosen, str):
                count, weight = self._tree.totals_under(chosen)
            else:
                count, weight = 1, chosen[SIZE]
            files, size = files + count, size + weight
        return files, size


def _is_below(path: str, folders: set[str]) -> bool:
    """Tell whether some folder above the path is chosen as a whole."""
    at = path.find("/")
    while at >= 0:
        if path[: at + 1] in folders:
            return True
        at = path.find("/", at + 1)
    return False
