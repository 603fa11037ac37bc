"""Where damage shows: which objects of which commits need a blob that is damaged or missing.

Looked for only when something was found. Every tree of every commit is walked, but each page once:
what lies below a page is the same wherever the page is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ahstore.errors import AhError, CorruptError, NotFoundError
from ahstore.hub.assets import Assets
from ahstore.hub.folders import Folders
from ahstore.ids import AssetId, ChunkId, CommitId, PageId
from ahstore.objects.chunklist import all_chunks
from ahstore.objects.commit import Commit
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, PATH, REFS, Row
from ahstore.objects.page import KEY, PAGE_ID, decode_page
from ahstore.packs.place import Kind
from ahstore.storage.cells import CellState
from ahstore.upkeep.blobs import KIND_BYTE
from ahstore.upkeep.cell_walk import list_cells
from ahstore.upkeep.damage import Damage, Use
from ahstore.upkeep.roots import needs_of
from ahstore.versions.repository import Repository

MAX_COMMITS = 10
MAX_PATHS = 100

_CHUNK = KIND_BYTE[Kind.CHUNK]
_PAGE = KIND_BYTE[Kind.PAGE]
_COMMIT = KIND_BYTE[Kind.COMMIT]

Shows = dict[bytes, list[str]]
"""By damaged blob: the paths where it shows."""


def find_uses(repo: Repository, damages: Iterable[Damage]) -> None:
    """Fill in ``uses`` of the damages that are about blobs."""
    wanted = {damage.blob: damage for damage in damages if damage.blob}
    if not wanted:
        return
    finder = _Finder(repo, frozenset(key for key in wanted if key))
    commits = finder.commits()
    uses: defaultdict[tuple[bytes, AssetId, str], list[CommitId]] = defaultdict(list)
    for commit_id, commit in commits:
        if commit is None:
            continue
        for key, paths in finder.below(commit.tree).items():
            for path in paths[:MAX_PATHS]:
                uses[key, commit.asset, path].append(commit_id)
    for commit_id, asset in finder.lost_commits.items():
        uses[commit_id + _COMMIT, asset, ""].append(commit_id)
    names = _Names(repo)
    for (key, asset, path), ids in uses.items():
        shown = tuple(i.hex() for i in ids[:MAX_COMMITS])
        use = Use(names.get(asset), path, shown, max(0, len(ids) - MAX_COMMITS))
        for damage in damages:
            if damage.blob == key:
                damage.uses.append(use)


class _Finder:
    def __init__(self, repo: Repository, wanted: frozenset[bytes]) -> None:
        self._repo = repo
        self._wanted = wanted
        self._memo: dict[PageId, Shows] = {}
        self._chunks: dict[bytes, list[bytes]] = {}
        self.lost_commits: dict[CommitId, AssetId] = {}

    def commits(self) -> list[tuple[CommitId, Commit | None]]:
        """Return all commits that any cell leads to, newest first."""
        front: dict[CommitId, AssetId | None] = {}
        for found in list_cells(self._repo.cells):
            front.update(self._roots(found.cell))
        seen: dict[CommitId, Commit | None] = {}
        while front:
            following: dict[CommitId, AssetId | None] = {}
            for commit_id, asset in front.items():
                if commit_id in seen:
                    continue
                commit = self._read(commit_id)
                seen[commit_id] = commit
                if commit is not None:
                    following.update(dict.fromkeys(commit.parents, commit.asset))
                elif asset is not None:
                    self.lost_commits[commit_id] = asset
            front = following
        return sorted(seen.items(), key=lambda item: -item[1].date_us if item[1] else 0)

    def _roots(self, cell) -> dict[CommitId, AssetId | None]:  # type: ignore[no-untyped-def]
        roots: dict[CommitId, AssetId | None] = {}
        asset = AssetId(cell.key[0]) if cell.kind == "ref" else None
        try:
            for version in self._repo.cells.history(cell):
                if version.state is CellState.LIVE:
                    roots.update(dict.fromkeys(needs_of(cell, version).commits, asset))
        except AhError:
            pass  # reported by itself
        return roots

    def _read(self, commit: CommitId) -> Commit | None:
        try:
            return self._repo.read_commit(commit)
        except (NotFoundError, CorruptError):
            return None

    def below(self, page: PageId, last: str = "") -> Shows:
        """Return which damaged blobs show at which paths below a page."""
        known = self._memo.get(page)
        if known is None:
            known = self._memo[page] = self._look(page, last)
        return known

    def _look(self, page_id: PageId, last: str) -> Shows:
        shows: Shows = {}
        if page_id + _PAGE in self._wanted:
            shows[page_id + _PAGE] = [f"… {last}" if last else "…"]
        try:
            page = decode_page(self._repo.read_page(page_id))
        except (NotFoundError, CorruptError):
            return shows
        for row in page.rows:
            found = self.below(row[PAGE_ID], row[KEY]) if page.level else self._look_at_file(row)
            for key, paths in found.items():
                shows.setdefault(key, []).extend(paths[: MAX_PATHS - len(shows.get(key, ()))])
        return shows

    def _look_at_file(self, row: Row) -> Shows:
        level, refs = row[FLAGS] >> LEVEL_SHIFT, row[REFS]
        if not level:
            found = {refs[at : at + 32] + _CHUNK for at in range(0, len(refs), 40)} & self._wanted
        else:
            found = self._in_lists(level, refs)
        return {key: [row[PATH]] for key in found}

    def _in_lists(self, level: int, refs: bytes) -> set[bytes]:
        found: set[bytes] = set()

        def read(chunk: ChunkId) -> bytes:
            try:
                return self._repo.read_chunk(chunk)
            except (NotFoundError, CorruptError):
                return b""

        try:
            for chunk in all_chunks(level, refs, read):
                if chunk + _CHUNK in self._wanted:
                    found.add(chunk + _CHUNK)
        except CorruptError:
            pass  # a list that can't be read is itself among the wanted
        return found


class _Names:
    """Paths of assets, each looked up once."""

    def __init__(self, repo: Repository) -> None:
        self._assets = Assets(repo, Folders(repo, "fsck"), "fsck")
        self._known: dict[AssetId, str] = {}

    def get(self, asset: AssetId) -> str:
        if asset not in self._known:
            try:
                self._known[asset] = self._assets.get_by_id(asset).path
            except AhError:
                self._known[asset] = asset
        return self._known[asset]
