"""Who builds on a commit that no name leads to asks for each thing that it needs.

gc may be about to delete any of it: what was built on it would be broken from then on. Chunks,
chunk lists, pages and the commit lie in packs of their own here, of which gc has condemned one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ahstore.codec.digests import md5
from ahstore.errors import NotFoundError
from ahstore.ids import CommitId, PackId
from ahstore.objects.chunklist import build as build_list
from ahstore.objects.file import ChunkRef, Row, make_flags
from ahstore.objects.tree import build as build_tree
from ahstore.packs.reader import list_packs
from ahstore.versions.history.merge import merge
from ahstore.versions.history.picking import Picked, cherry_pick, revert
from ahstore.versions.history.recover import restore_objects
from ahstore.versions.history.reset import reset
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import GC_CELL, WriteSession
from ahstore.versions.transactions.transaction import Transaction
from tests.versions.kit import Asset

SIGNED = Signature("m", "ann")


class Nameless:
    """A commit whose branch was deleted, with each kind of thing in a pack of its own."""

    def __init__(self, asset: Asset) -> None:
        self.repo, self.asset = asset.repo, asset.id
        self.packs: dict[str, PackId] = {}
        refs = Refs(self.repo)
        root = refs.get(self.asset, "main").commit
        refs.create(self.asset, "side", "branch", root, by="ann", via="main")
        noise = random.Random(6)
        data = [noise.randbytes(20_000) for _ in range(6)]
        chunks = self.stored(
            "chunk", lambda s: [ChunkRef(s.put_chunk(each), len(each)) for each in data]
        )
        level, packed = self.stored("chunk list", lambda s: build_list(chunks, s.put_chunk))
        assert level == 1
        flags = make_flags(executable=False, level=level)
        content = b"".join(data)
        row: Row = ["x", len(content), md5(content), 10**18, flags, 0, packed]
        tree = self.stored("page", lambda s: build_tree([row], s))

        def commit(session: WriteSession) -> CommitId:
            propose = lambda head: Proposal(tree, (head,))  # noqa: E731
            made = publish(self.repo, session, self.asset, "side", propose, SIGNED)
            assert made is not None
            return made.id

        self.commit = self.stored("commit", commit)
        refs.delete(self.asset, "side", "branch")
        self.repo.leases.rest()

    def stored(self, what: str, store: Callable[[WriteSession], object]) -> object:
        """Return what ``store`` makes; it made one pack."""
        before = set(list_packs(self.repo.storage))
        with self.repo.session([ref_cell(self.asset, "side")]) as session:
            made = store(session)
            session.flush()
        ((_, pack),) = set(list_packs(self.repo.storage)) - before
        self.packs[what] = pack
        return made

    def condemn(self, *packs: PackId) -> None:
        self.repo.cells.swap(GC_CELL, -1, {"phase": "open", "packs": list(packs)})


@pytest.fixture
def nameless(asset: Asset) -> Nameless:
    return Nameless(asset)


def copy(repo: Repository, at: Nameless) -> object:
    changes = Transaction(repo, at.asset, "main", SIGNED)
    try:
        changes.copy("x", "y", source=at.commit)
        return changes.publish()
    finally:
        changes.abandon()


Verb = Callable[[Repository, Nameless], object]
WHOLE: dict[str, Verb] = {
    "branch": lambda repo, at: Refs(repo).create(at.asset, "new", "branch", at.commit, by="a"),
    "tag": lambda repo, at: Refs(repo).create(at.asset, "new", "tag", at.commit, by="a"),
    "reset": lambda repo, at: reset(repo, at.asset, "main", at.commit, committer="a"),
    "fast-forward": lambda repo, at: merge(
        repo, at.asset, at.commit, "main", committer="a", message="m"
    ),
    "replace": lambda repo, at: merge(
        repo, at.asset, at.commit, "ahead", committer="a", message="m", strategy="replace"
    ),
    "merge": lambda repo, at: merge(repo, at.asset, at.commit, "ahead", committer="a", message="m"),
}
ROWS: dict[str, Verb] = {
    "cherry-pick": lambda repo, at: cherry_pick(repo, at.asset, "main", Picked(at.commit), SIGNED),
    "restore": lambda repo, at: restore_objects(repo, at.asset, "main", at.commit, ["x"], SIGNED),
    "copy": copy,
}
CASES = [
    *[(verb, what) for verb in WHOLE for what in ("chunk", "chunk list", "page", "commit")],
    *[(verb, what) for verb in ROWS for what in ("chunk", "chunk list")],
]


def ahead(at: Nameless) -> None:
    """Make a branch that has a commit of its own."""
    Refs(at.repo).create(
        at.asset, "ahead", "branch", Refs(at.repo).get(at.asset, "main").commit, by="a", via="main"
    )
    changes = Transaction(at.repo, at.asset, "ahead", SIGNED)
    changes.put_bytes("own", b"own")
    assert changes.publish() is not None
    at.repo.leases.rest()


@pytest.mark.parametrize(("verb", "what"), CASES)
def test_what_is_condemned_is_not_built_on(nameless: Nameless, verb: str, what: str) -> None:
    ahead(nameless)
    nameless.condemn(nameless.packs[what])
    before = {ref.name: ref.commit for ref in Refs(nameless.repo).list(nameless.asset)}
    with pytest.raises(NotFoundError):
        (WHOLE | ROWS)[verb](nameless.repo, nameless)
    assert {ref.name: ref.commit for ref in Refs(nameless.repo).list(nameless.asset)} == before


@pytest.mark.parametrize("verb", WHOLE | ROWS)
def test_what_is_there_is_built_on(nameless: Nameless, verb: str) -> None:
    ahead(nameless)
    nameless.condemn(PackId("ab" * 16))
    assert (WHOLE | ROWS)[verb](nameless.repo, nameless)


def test_a_revert_brings_back_only_what_is_there(nameless: Nameless) -> None:
    """What a commit took away may be needed by nobody any more."""
    refs = Refs(nameless.repo)
    refs.create(nameless.asset, "side", "branch", nameless.commit, by="a")
    changes = Transaction(nameless.repo, nameless.asset, "side", SIGNED)
    changes.delete("x")
    made = changes.publish()
    assert made is not None
    refs.delete(nameless.asset, "side", "branch")
    nameless.repo.leases.rest()
    nameless.condemn(nameless.packs["chunk"])
    with pytest.raises(NotFoundError):
        revert(nameless.repo, nameless.asset, "main", Picked(made.commit), SIGNED)
