"""What history is asked: which commits, of which paths, whose content, and at what cost."""

from __future__ import annotations

import random

import pytest

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.objects.commit import Commit
from ahstore.objects.edit import edit
from ahstore.objects.file import PATH, Row
from ahstore.objects.tree import build
from ahstore.storage.cells import Cell
from ahstore.versions.history.blame import _Walk, blame
from ahstore.versions.history.heads import head_at, heads, nth_head
from ahstore.versions.history.log import LogFilter, log
from ahstore.versions.history.merge import merge
from ahstore.versions.history.paths import ALL, path_ranges
from ahstore.versions.history.reset import reset
from ahstore.versions.history.summary import summarize
from ahstore.versions.history.undelete import undelete
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.resolve import resolve
from tests.versions.kit import Asset


class Line:
    """A long line of commits to a large tree, each changing one object, made without the verbs."""

    def __init__(self, repo: Repository, objects: int, commits: int) -> None:
        self.repo = repo
        self.asset = AssetId(new_entity_id())
        self.paths = [f"d{n % 100:02}/{n:06}" for n in range(objects)]
        self.changed: list[str] = []
        random_ = random.Random(1)
        with repo.session([Cell("test", ("line",))]) as session:
            tree = build([row(path, 1) for path in sorted(self.paths)], session)
            self.ids = [session.put_commit(Commit(self.asset, (), tree, "m", "ann", 0))]
            session.settle()
            for number in range(1, commits):
                path = random_.choice(self.paths)
                self.changed.append(path)
                tree = edit(repo, tree, [(path, row(path, number + 1))], session)
                commit = Commit(self.asset, (self.ids[-1],), tree, f"m{number}", "ann", number)
                self.ids.append(session.put_commit(commit))
                session.settle()

    def fresh(self) -> tuple[Repository, list[int]]:
        """The store with nothing in memory, and the number of pages that it reads."""
        repo = Repository(
            self.repo.storage,
            {"id": self.repo.creation_id, "chunking": self.repo.cutting.to_value()},
            self.repo.cache_root,
        )
        read, count = repo.read_page, [0]

        def counted(page):  # type: ignore[no-untyped-def]
            count[0] += 1
            return read(page)

        repo.read_page = counted  # type: ignore[method-assign]
        return repo, count


def row(path: str, size: int) -> Row:
    return [path, size, bytes(16), 0, 0, 0, bytes(32) + size.to_bytes(8, "big")]


@pytest.fixture(scope="module")
def line() -> Line:
    return Line(Repository.open("memory://line", create=True), 20_000, 60)


def test_a_log_of_a_path_reads_only_what_differs_there(line: Line) -> None:
    """Of a large dataset each commit would otherwise cost a walk through its whole tree."""
    repo, pages = line.fresh()
    path = line.changed[30]
    found = [line.ids.index(c) for c, _ in log(repo, line.ids[-1], only=LogFilter.of(paths=[path]))]
    expected = [n + 1 for n, each in enumerate(line.changed) if each == path]
    assert found == [*reversed(expected), 0]
    # Root and the inner page of its part differ in each commit; leaves only where it changed.
    assert pages[0] <= 2.5 * len(line.ids)


def test_one_walk_blames_all(line: Line) -> None:
    repo, pages = line.fresh()
    origins = {o.row[PATH]: line.ids.index(o.commit) for o in blame(repo, line.ids[-1], "d17")}
    expected = {path: 0 for path in line.paths if path.startswith("d17/")}
    expected.update((p, n + 1) for n, p in enumerate(line.changed) if p.startswith("d17/"))
    assert origins == expected
    few = pages[0]
    assert few <= 3 * len(line.ids) + 10
    repo, pages = line.fresh()
    everything = {o.row[PATH]: line.ids.index(o.commit) for o in blame(repo, line.ids[-1])}
    last = {path: number + 1 for number, path in enumerate(line.changed)}
    assert everything == dict.fromkeys(line.paths, 0) | last
    whole = sum(1 for _ in repo.tree(repo.read_commit(line.ids[-1]).tree).page_ids())
    assert pages[0] <= 4 * len(line.ids) + whole + 50


@pytest.fixture
def crossed(asset: Asset) -> dict[str, CommitId]:
    """main: a, then d/x; dev: b; merged into main; then d/x is deleted."""
    made = {}
    asset.write(a="1")
    made["a"] = asset.commit("Add a")
    Refs(asset.repo).create(asset.id, "dev", "branch", made["a"], by="ann", via="main")
    asset.write(d__x="1")
    made["x"] = asset.commit("Add x")
    (asset.work / "d" / "x").unlink()
    asset.write(b="1")
    made["b"] = asset.commit("Add b", branch="dev")
    merged = merge(
        asset.repo, asset.id, made["b"], "main", committer="bob", message="Merge", via="dev"
    )
    assert merged is not None
    made["merge"] = merged
    asset.write(a="2")
    made["end"] = asset.commit("Change a", delete=("d/x",))
    return made


def names(asset: Asset, made: dict[str, CommitId], **options: object) -> list[str]:
    only = LogFilter.of(**options)  # type: ignore[arg-type]
    by_id = {commit: name for name, commit in made.items()}
    head = Refs(asset.repo).get(asset.id, "main").commit
    return [by_id.get(c, "root") for c, _ in log(asset.repo, head, only=only)]


def test_what_a_log_can_be_asked(asset: Asset, crossed: dict[str, CommitId]) -> None:
    assert names(asset, crossed) == ["end", "merge", "b", "x", "a", "root"]
    assert names(asset, crossed, paths=["a"]) == ["end", "a"]
    assert names(asset, crossed, paths=["b"]) == ["b"], "not the merge that took it"
    assert names(asset, crossed, paths=["d"]) == ["end", "x"]
    assert names(asset, crossed, paths=["d/"]) == ["end", "x"]
    assert names(asset, crossed, paths=["d/x", "b"]) == ["end", "merge", "b", "x"]
    assert names(asset, crossed, paths=["nothing", "a/"]) == []
    assert names(asset, crossed, first_parent=True) == ["end", "merge", "x", "a", "root"]
    assert names(asset, crossed, author="^bo") == ["merge"]
    assert names(asset, crossed, message="Add [ab]") == ["b", "a"]
    times = {n: asset.repo.read_commit(c).date_us / 10**6 for n, c in crossed.items()}
    assert names(asset, crossed, since=times["b"]) == ["end", "merge", "b"]
    assert names(asset, crossed, until=times["x"]) == ["x", "a", "root"]
    assert names(asset, crossed, since=times["x"], until=times["b"]) == ["b", "x"]


@pytest.mark.parametrize("options", [{"paths": ["/x"]}, {"author": "("}, {"message": "["}])
def test_what_a_log_can_not_be_asked(options: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        LogFilter.of(**options)  # type: ignore[arg-type]


def test_a_limit_counts_what_is_listed(asset: Asset, crossed: dict[str, CommitId]) -> None:
    only = LogFilter.of(paths=["a"])
    assert [c for c, _ in log(asset.repo, crossed["end"], limit=1, only=only)] == [crossed["end"]]
    assert list(log(asset.repo, crossed["end"], limit=0)) == []


def test_blame_follows_the_parent_that_has_it(asset: Asset, crossed: dict[str, CommitId]) -> None:
    origins = {o.row[PATH]: o.commit for o in blame(asset.repo, crossed["merge"])}
    assert origins == {"a": crossed["a"], "b": crossed["b"], "d/x": crossed["x"]}
    assert [o.row[PATH] for o in blame(asset.repo, crossed["merge"], "d/")] == ["d/x"]
    assert [o.commit for o in blame(asset.repo, crossed["end"], "a")] == [crossed["end"]]
    assert list(blame(asset.repo, crossed["end"], "nothing")) == []


def test_what_was_deleted_is_blamed_on_nobody(asset: Asset) -> None:
    """Counted among the found, it would end the walk before the rest was found."""
    asset.write(a="1", b="1")
    first = asset.commit()
    asset.write(c="1", d="1")
    asset.commit()
    for name in "cd":
        (asset.work / name).unlink()
    asset.commit(delete=("c", "d"))
    asset.write(e="1")
    last = asset.commit()
    found = {o.row[PATH]: o.commit for o in blame(asset.repo, last)}
    assert found == {"a": first, "b": first, "e": last}


def test_what_is_as_in_the_beginning_is_not_kept_by_name(line: Line) -> None:
    """Of a million objects that have never changed memory would hold each."""
    known, rest = _Walk(line.repo, ALL).run(line.ids[-1])
    assert len(known) <= len(line.ids)
    assert rest == line.ids[0]
    asset = line.asset
    with line.repo.session([Cell("test", ("line",))]) as session:
        empty = session.put_commit(Commit(asset, (), build([], session), "m", "ann", 0))
        tree = line.repo.read_commit(line.ids[0]).tree
        start = session.put_commit(Commit(asset, (empty,), tree, "m", "ann", 1))
        session.settle()
    known, rest = _Walk(line.repo, ALL).run(start)
    assert (len(known), rest) == (0, start)


def test_a_merge_hides_what_it_did_not_take(asset: Asset, crossed: dict[str, CommitId]) -> None:
    """As git has it: a detour of another branch is no part of how the path came to be so."""
    asset.write(a="detour")
    asset.commit(branch="dev")
    asset.write(a="1")
    dev = asset.commit(branch="dev")
    made = merge(asset.repo, asset.id, dev, "main", committer="ann", message="m", via="dev")
    assert made is not None
    found = [c for c, _ in log(asset.repo, made, only=LogFilter.of(paths=["a"]))]
    assert found == [crossed["end"], crossed["a"]]


def test_a_path_names_an_object_and_what_is_below_it() -> None:
    def held(path: str) -> list[str]:
        paths = ["a", "a-b", "a/b", "a/b/c", "a0", "b"]
        return [p for p in paths if any(p in each for each in path_ranges(path))]

    assert held("a") == ["a", "a/b", "a/b/c"]
    assert held("a/") == ["a/b", "a/b/c"]
    assert held("a/b") == ["a/b", "a/b/c"]
    assert held("") == ["a", "a-b", "a/b", "a/b/c", "a0", "b"]


def test_a_summary_counts_what_a_commit_changed(asset: Asset, crossed: dict[str, CommitId]) -> None:
    def counts(name: str) -> tuple[int, ...]:
        found = summarize(asset.repo, crossed[name])
        return found.added, found.modified, found.deleted, found.grown_bytes

    assert counts("a") == (1, 0, 0, 1)
    assert counts("end") == (0, 1, 1, -1)
    assert counts("merge") == (1, 0, 0, 1)


def test_a_branch_remembers_what_it_was(asset: Asset, crossed: dict[str, CommitId]) -> None:
    refs, repo = Refs(asset.repo), asset.repo
    reset(repo, asset.id, "main", crossed["a"], committer="bob")
    found = list(heads(repo, asset.id, "main"))
    assert [(h.index, h.event, h.by) for h in found[:4]] == [
        (0, "moved", "bob"), (1, "committed", "ann"), (2, "committed", "bob"), (3, "committed", "ann"),
    ]  # fmt: skip
    assert (found[-1].event, found[-1].index) == ("created", 5)
    refs.delete(asset.id, "dev", "branch")
    deleted = next(heads(repo, asset.id, "dev"))
    assert (deleted.index, deleted.commit, deleted.event) == (None, None, "deleted")
    undelete(repo, asset.id, "dev", "branch", by="bob")
    assert [h.event for h in heads(repo, asset.id, "dev")] == [
        "created",
        "deleted",
        "committed",
        "created",
    ]
    assert [h.index for h in heads(repo, asset.id, "dev")] == [0, None, 1, 2]
    for index, commit in ((0, "b"), (1, "b"), (2, "a")):
        assert nth_head(repo, asset.id, "dev", index) == crossed[commit]
        assert resolve(repo, asset.id, f"dev@{{{index}}}").commit == crossed[commit]
    assert nth_head(repo, asset.id, "dev", 3) is None
    assert list(heads(repo, asset.id, "never")) == []


def test_a_moment_tells_what_a_branch_was_then(asset: Asset, crossed: dict[str, CommitId]) -> None:
    repo = asset.repo
    moved = next(heads(repo, asset.id, "dev"))
    Refs(repo).delete(asset.id, "dev", "branch")
    deleted = next(heads(repo, asset.id, "dev"))
    undelete(repo, asset.id, "dev", "branch", by="bob")
    assert head_at(repo, asset.id, "dev", moved.time) == crossed["b"]
    assert head_at(repo, asset.id, "dev", deleted.time) in (None, crossed["b"])
    assert head_at(repo, asset.id, "dev", 0.0) is None
    assert head_at(repo, asset.id, "dev", moved.time + 10**6) == crossed["b"]
    for text in ("1 second ago", "2020-01-01", "20200101", "1.year.ago"):
        with pytest.raises((NotFoundError, InvalidInputError)):
            resolve(repo, asset.id, f"dev@{{{text}}}")
