"""What verbs cost in a version of many objects: pages and bytes, counted; they follow the change.

The bounds are the same for ten thousand objects and for a million.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ahstore.codec.digests import md5
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.objects import content_type
from ahstore.objects.file import ChunkRef, Row, make_flags, pack_refs
from ahstore.objects.tree import build
from ahstore.storage.recording import RecordingStorage
from ahstore.versions.adding.commits import commit_files, create_asset_root, preview
from ahstore.versions.comparing.diff import diff
from ahstore.versions.history.blame import blame
from ahstore.versions.history.log import LogFilter, log
from ahstore.versions.history.merge import merge
from ahstore.versions.history.picking import Picked, cherry_pick, revert
from ahstore.versions.history.recover import restore_objects
from ahstore.versions.history.reset import reset
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download, open_object
from ahstore.versions.transactions.transaction import Transaction

SIGNED = Signature("m", "ann")
FOLDERS = 1000
_counter = itertools.count()


def path_of(number: int) -> str:
    return f"d{number % FOLDERS:03}/{number:07}"


@dataclass
class Large:
    """A model of ``count`` objects: ``base``, then two commits on main and one on dev."""

    plain: Repository
    asset: AssetId
    count: int
    base: CommitId
    main: CommitId
    dev: CommitId
    work: Path

    def over(self, storage: RecordingStorage) -> Repository:
        settings = {"id": self.plain.creation_id, "chunking": self.plain.cutting.to_value()}
        return Repository(storage, settings, None)

    def branch(self) -> str:
        """Make a branch of main as it was."""
        name = f"b{next(_counter)}"
        Refs(self.plain).create(self.asset, name, "branch", self.main, by="ann", via="main")
        return name


def fill(repo: Repository, asset: AssetId, count: int) -> CommitId:
    """Commit so many objects, seven contents among them."""
    with repo.session([ref_cell(asset, "main")]) as session:
        contents = [b"%d" % number for number in range(7)]
        chunks = [pack_refs([ChunkRef(session.put_chunk(data), len(data))]) for data in contents]

        def row(number: int) -> Row:
            path, which = path_of(number), number % 7
            code = content_type.guess_code(path)
            return [path, 1, md5(contents[which]), 10**18, PLAIN, code, chunks[which]]

        folders = min(FOLDERS, count)
        numbers = (n for d in range(folders) for n in range(d, count, FOLDERS))
        tree = build(map(row, numbers), session)
        made = publish(repo, session, asset, "main", lambda head: Proposal(tree, (head,)), SIGNED)  # type: ignore[arg-type]
    assert made is not None
    return made.id


PLAIN = make_flags(executable=False)


def put(repo: Repository, asset: AssetId, branch: str, **files: str) -> CommitId:
    changes = Transaction(repo, asset, branch, SIGNED)
    for path, text in files.items():
        changes.put_bytes(path.replace("__", "/"), text.encode())
    made = changes.publish()
    assert made is not None
    return made.commit


@pytest.fixture(scope="module", params=[10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def large(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Large]:
    root = tmp_path_factory.mktemp("large")
    repo = Repository.open(str(root / "store"), create=True)
    asset = AssetId(new_entity_id())
    create_asset_root(repo, asset, committer="ann")
    base = fill(repo, asset, request.param)
    Refs(repo).create(asset, "dev", "branch", base, by="ann", via="main")
    put(repo, asset, "main", d005__new="1", d017__0000017="changed")
    main = put(repo, asset, "main", d900__new="2")
    dev = put(repo, asset, "dev", d333__new="3", d444__0000444="changed")
    (root / "one").write_bytes(b"one")
    yield Large(repo, asset, request.param, base, main, dev, root)
    repo.close()


Verb = Callable[[Repository, Large, str], object]


def transact(repo: Repository, at: Large, branch: str) -> object:
    changes = Transaction(repo, at.asset, branch, SIGNED)
    changes.put_bytes("d050/new", b"new")
    changes.move("d017/0000017", "d017/moved")
    changes.delete("d018/0000018")
    return changes.publish()


def read_one(repo: Repository, at: Large, _: str) -> object:
    with open_object(repo, at.main, "d123/0000123") as file:
        return file.read()


VERBS: dict[str, Verb] = {
    "commit": lambda repo, at, branch: commit_files(
        repo, at.asset, branch, message="m", committer="a", add=[f"{at.work}/one:d123/one"]
    ),
    "commit of a deletion": lambda repo, at, branch: commit_files(
        repo, at.asset, branch, message="m", committer="a", delete=["d500/0000500"]
    ),
    "status": lambda repo, at, _: preview(repo, at.main, add=[f"{at.work}/one:d123/0000123"]),
    "transaction": transact,
    "branch": lambda repo, at, branch: Refs(repo).create(
        at.asset, f"{branch}x", "branch", at.main, by="ann", via="main"
    ),
    "tag": lambda repo, at, branch: Refs(repo).create(
        at.asset, f"{branch}t", "tag", at.base, by="ann", via="main"
    ),
    "reset": lambda repo, at, branch: reset(
        repo, at.asset, branch, at.base, committer="ann", via="main"
    ),
    "merge": lambda repo, at, branch: merge(
        repo, at.asset, at.dev, branch, committer="ann", message="m", via="dev"
    ),
    "merge replace": lambda repo, at, branch: merge(
        repo, at.asset, at.dev, branch, committer="a", message="m", via="dev", strategy="replace"
    ),
    "revert": lambda repo, at, branch: revert(repo, at.asset, branch, Picked(at.main), SIGNED),
    "cherry-pick": lambda repo, at, branch: cherry_pick(
        repo, at.asset, branch, Picked(at.dev, via="dev"), SIGNED
    ),
    "restore": lambda repo, at, branch: restore_objects(
        repo, at.asset, branch, at.base, ["d017"], SIGNED, via="main"
    ),
    "diff": lambda repo, at, _: list(diff(repo, at.dev, at.main)),
    "log": lambda repo, at, _: list(log(repo, at.main)),
    "log of a path": lambda repo, at, _: list(
        log(repo, at.main, only=LogFilter.of(paths=["d017"]))
    ),
    "blame": lambda repo, at, _: list(blame(repo, at.main, "d017/0000017")),
    "cat": read_one,
    "download of one": lambda repo, at, branch: download(
        repo, at.main, target=str(at.work / branch), paths=["d123/0000123"]
    ),
    "count of a folder": lambda repo, at, _: repo.files(at.main).totals_under("d123/"),
}


@dataclass(frozen=True)
class Bound:
    """At most so many pages, bytes read and written, and calls of the storage."""

    pages: int
    read: int
    written: int
    calls: int


ONE_PATH = Bound(8, 64 * 1024, 64 * 1024, 24)
FEW_PATHS = Bound(16, 128 * 1024, 128 * 1024, 30)
BOTH_SIDES = Bound(48, 384 * 1024, 64 * 1024, 64)
"""Three commits that touch five folders are looked at from both sides."""
NO_PATH = Bound(0, 4 * 1024, 2 * 1024, 24)
BOUNDS = {
    "transaction": FEW_PATHS,
    "revert": FEW_PATHS,
    "restore": FEW_PATHS,
    "log of a path": FEW_PATHS,
    "blame": FEW_PATHS,
    "merge": BOTH_SIDES,
    "cherry-pick": BOTH_SIDES,
    "diff": BOTH_SIDES,
    **dict.fromkeys(["branch", "tag", "reset", "merge replace", "log"], NO_PATH),
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_costs_what_it_changes(large: Large, verb: str) -> None:
    branch = large.branch()
    storage = RecordingStorage(large.plain.storage)
    repo = large.over(storage)
    repo.index.refresh()
    pages = 0
    real = repo.read_page

    def counted(page):  # type: ignore[no-untyped-def]
        nonlocal pages
        pages += 1
        return real(page)

    repo.read_page = counted  # type: ignore[method-assign]
    storage.clear()
    assert VERBS[verb](repo, large, branch)
    most = BOUNDS.get(verb, ONE_PATH)
    assert pages <= most.pages
    assert storage.carried("read", "read_range") <= most.read
    assert storage.carried("create", "commit", "write") <= most.written
    assert len(storage.calls) <= most.calls
