"""C5: one operation stopped before each of its steps while another runs whole; any order is right.

What is seen in the end, and what each was told, must be as if one had been after the other.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ahstore.errors import AhError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.objects.file import PATH
from ahstore.storage.faults import FaultyStorage
from ahstore.testing.s3_servers import S3Server
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.merge import merge
from ahstore.versions.history.picking import Picked, cherry_pick, revert
from ahstore.versions.history.recover import restore_objects
from ahstore.versions.history.reset import reset
from ahstore.versions.history.undelete import undelete
from ahstore.versions.publish import Signature
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import open_row
from ahstore.versions.transactions.transaction import Transaction

SIGNED = Signature("m", "ann")
_counter = itertools.count()


class Unlocked(FaultyStorage):
    """Without the courtesy lock, on which correctness must not rest."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class Scene:
    """main: a, b at `early`, then c; dev from `early`: d; old was deleted; what main once was."""

    url: str
    plain: Repository
    asset: AssetId
    early: CommitId
    dev: CommitId

    def over(self) -> tuple[Repository, Unlocked]:
        storage = Unlocked(self.plain.storage)
        settings = {"id": self.plain.creation_id, "chunking": self.plain.cutting.to_value()}
        repo = Repository(storage, settings, None)
        repo.index.refresh()
        return repo, storage

    def seen(self) -> dict[str, dict[str, str]]:
        """What anybody sees who comes now, every byte of it."""
        repo, _ = self.over()
        found = {}
        for ref in Refs(repo).list(self.asset):
            rows = repo.files(ref.commit).scan()
            found[ref.name] = {row[PATH]: open_row(repo, row).read().decode() for row in rows}
        return found


def put(repo: Repository, asset: AssetId, branch: str, **files: str) -> CommitId:
    changes = Transaction(repo, asset, branch, SIGNED)
    for path, text in files.items():
        changes.put_bytes(path, text.encode())
    made = changes.publish()
    assert made is not None
    return made.commit


def scene(url: str) -> Scene:
    repo = Repository.open(url, create=True)
    asset = AssetId(new_entity_id())
    create_asset_root(repo, asset, committer="ann")
    early = put(repo, asset, "main", a="1", b="1")
    for name in ("dev", "old", "lag"):
        Refs(repo).create(asset, name, "branch", early, by="ann", via="main")
    dev = put(repo, asset, "dev", a="2", d="1")
    put(repo, asset, "old", o="only here")
    Refs(repo).delete(asset, "old", "branch")
    repo.leases.rest()
    return Scene(url, repo, asset, early, dev)


Operation = Callable[[Repository, Scene], object]


def merging(source: str, target: str) -> Operation:
    return lambda repo, at: merge(
        repo,
        at.asset,
        Refs(repo).get(at.asset, source).commit,
        target,
        committer="ann",
        message="m",
        via=source,
    )


OPERATIONS: dict[str, Operation] = {
    "commit": lambda repo, at: put(repo, at.asset, "main", c="1"),
    "commit of the same": lambda repo, at: put(repo, at.asset, "main", a="9"),
    "commit to dev": lambda repo, at: put(repo, at.asset, "dev", e="1"),
    "commit to lag": lambda repo, at: put(repo, at.asset, "lag", f="1"),
    "merge": merging("dev", "main"),
    "fast-forward": merging("dev", "lag"),
    "merge back": merging("main", "dev"),
    "revert": lambda repo, at: revert(repo, at.asset, "dev", Picked(at.dev, via="dev"), SIGNED),
    "cherry-pick": lambda repo, at: cherry_pick(repo, at.asset, "main", Picked(at.dev), SIGNED),
    "restore": lambda repo, at: restore_objects(
        repo, at.asset, "main", at.dev, ["a"], SIGNED, via="dev"
    ),
    "reset": lambda repo, at: reset(repo, at.asset, "main", at.dev, committer="ann", via="dev"),
    "delete": lambda repo, at: Refs(repo).delete(at.asset, "dev", "branch"),
    "undelete": lambda repo, at: undelete(repo, at.asset, "old", "branch", by="ann"),
    "gc": lambda repo, at: gc(repo),
}


def gc(repo: Repository) -> object:
    repo.leases.rest()
    return collect(repo, Policy(now=True, min_age=0, wait=0), pause=lambda _: None)


def told(operation: Operation, repo: Repository, at: Scene) -> str:
    try:
        return "nothing" if operation(repo, at) is None else "done"
    except AhError as error:
        return type(error).__name__


@dataclass(frozen=True)
class Kind:
    """A kind of storage: where new stores go, and each how-manieth step is tried."""

    new_url: Callable[[], str]
    step: int = 1

    @contextmanager
    def scene(self) -> Iterator[Scene]:
        at = scene(self.new_url())
        try:
            yield at
        finally:
            at.plain.close()


def in_memory() -> str:
    return f"memory://interleavings-{next(_counter)}"


def on_disk(folder: Path) -> Callable[[], str]:
    return lambda: (folder / f"store-{next(_counter)}").as_uri()


def in_bucket(server: S3Server) -> Callable[[], str]:
    return lambda: server.url(f"stores/{secrets.token_hex(8)}")


@pytest.fixture
def memory() -> Kind:
    return Kind(in_memory)


def in_order(kind: Kind, *names: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    with kind.scene() as at:
        return _in_order(at, *names)


def _in_order(at: Scene, *names: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    answers = {}
    for name in names:
        repo, _ = at.over()
        answers[name] = told(OPERATIONS[name], repo, at)
        repo.leases.rest()
    return answers, at.seen()


PAIRS = [
    ("merge", "commit"),
    ("merge", "commit of the same"),
    ("merge", "delete"),
    ("fast-forward", "commit to lag"),
    ("fast-forward", "commit to dev"),
    ("merge", "merge back"),
    ("commit", "merge"),
    ("commit to dev", "delete"),
    ("delete", "commit to dev"),
    ("revert", "commit to dev"),
    ("cherry-pick", "commit of the same"),
    ("restore", "commit of the same"),
    ("reset", "commit"),
    ("commit", "reset"),
    ("undelete", "undelete"),
]


def two_at_once(kind: Kind, first: str, second: str) -> None:
    """Stop one before each of its steps while the other runs whole."""
    orders = []
    if first != second:
        orders = [in_order(kind, first, second), in_order(kind, second, first)]
    else:
        once, seen = in_order(kind, first)
        orders = [({"a": once[first], "b": "AlreadyExistsError"}, seen)]
    for point in range(0, 300, kind.step):
        with kind.scene() as at:
            if not _tried_at(at, point, first, second, orders):
                assert point >= 4
                return
    pytest.fail("it never ended")


def _tried_at(at: Scene, point: int, first: str, second: str, orders: list[Any]) -> bool:
    """Return whether the first had so many steps."""
    repo, faults = at.over()
    other, _ = at.over()
    answers: dict[str, str] = {}

    def step_in(_: str) -> None:
        answers[second if second != first else "a"] = told(OPERATIONS[second], other, at)
        other.leases.rest()

    fault = faults.pause("*", step_in, skip=point)
    answers[first if second != first else "b"] = told(OPERATIONS[first], repo, at)
    repo.leases.rest()
    if not fault.hits:
        return False
    seen = at.seen()
    if first == second:
        assert sorted(answers.values()) == ["AlreadyExistsError", "done"], point
        assert seen == orders[0][1]
    else:
        assert any(_fits(answers, seen, *order) for order in orders), (point, answers, seen)
    return True


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_operations_are_as_one_after_the_other(memory: Kind, first: str, second: str) -> None:
    """Else a commit that was acknowledged is lost, or a merge holds what neither side has."""
    two_at_once(memory, first, second)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_operations_on_a_disk(tmp_path: Path, first: str, second: str) -> None:
    two_at_once(Kind(on_disk(tmp_path), step=17), first, second)


@pytest.mark.parametrize(
    ("first", "second", "step"), [("merge", "commit", 17), ("delete", "commit to dev", 2)]
)
def test_two_operations_in_a_bucket(
    s3_environment: S3Server, first: str, second: str, step: int
) -> None:
    two_at_once(Kind(in_bucket(s3_environment), step=step), first, second)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_operations_everywhere(
    s3_environment: S3Server, tmp_path: Path, first: str, second: str
) -> None:
    two_at_once(Kind(on_disk(tmp_path)), first, second)
    two_at_once(Kind(in_bucket(s3_environment), step=4), first, second)


def _fits(
    answers: dict[str, str],
    seen: dict[str, dict[str, str]],
    expected: dict[str, str],
    then: dict[str, dict[str, str]],
) -> bool:
    return seen == then and answers == expected


def with_gc_in_between(kind: Kind, first: str) -> None:
    """Stop an operation before each of its steps while gc runs."""
    allowed = [in_order(kind, first, "gc")[1], in_order(kind, "gc", first)[1]]
    for point in range(0, 300, kind.step):
        with kind.scene() as at:
            repo, faults = at.over()
            other, _ = at.over()
            fault = faults.pause(
                "*", lambda _, at=at, other=other: told(OPERATIONS["gc"], other, at), skip=point
            )
            answer = told(OPERATIONS[first], repo, at)
            repo.leases.rest()
            assert at.seen() in allowed, (point, answer)
            if not fault.hits:
                return
    pytest.fail("it never ended")


BESIDE_GC = ["undelete", "merge", "cherry-pick", "restore", "reset", "revert", "commit"]


@pytest.mark.parametrize("first", BESIDE_GC)
def test_gc_at_any_moment_takes_nothing_that_comes_back(memory: Kind, first: str) -> None:
    """A branch brought back, or rows copied, while their bytes are being deleted."""
    with_gc_in_between(memory, first)


@pytest.mark.parametrize("first", BESIDE_GC)
def test_gc_at_any_moment_on_a_disk(tmp_path: Path, first: str) -> None:
    with_gc_in_between(Kind(on_disk(tmp_path), step=17), first)


def test_gc_at_any_moment_in_a_bucket(s3_environment: S3Server) -> None:
    with_gc_in_between(Kind(in_bucket(s3_environment), step=29), "undelete")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", BESIDE_GC)
def test_gc_at_any_moment_everywhere(s3_environment: S3Server, tmp_path: Path, first: str) -> None:
    with_gc_in_between(Kind(on_disk(tmp_path)), first)
    with_gc_in_between(Kind(in_bucket(s3_environment), step=4), first)
