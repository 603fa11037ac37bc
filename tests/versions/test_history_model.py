"""C6: a store driven at random beside a plain model of what its verbs are said to do."""

from __future__ import annotations

import itertools
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ahstore.errors import AhError, MergeConflictError
from ahstore.ids import AssetId, CommitId, new_entity_id
from ahstore.objects.file import PATH
from ahstore.testing.s3_servers import S3Server
from ahstore.upkeep.gc import collect
from ahstore.upkeep.policy import Policy
from ahstore.versions.adding.commits import create_asset_root
from ahstore.versions.history.blame import blame
from ahstore.versions.history.heads import heads
from ahstore.versions.history.log import LogFilter, in_order_of_parents, log, steps
from ahstore.versions.history.merge import merge
from ahstore.versions.history.picking import Picked, cherry_pick, revert
from ahstore.versions.history.recover import restore_objects
from ahstore.versions.history.reset import reset
from ahstore.versions.history.undelete import undelete
from ahstore.versions.publish import Published, Signature
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository
from ahstore.versions.resolve import resolve
from ahstore.versions.restoring.checkout import open_row
from ahstore.versions.transactions.transaction import Transaction
from tests.versions.plain import ConflictError, PlainAsset, RefusedError

NAMES = st.sampled_from(["main", "b", "c"])
PATHS = st.sampled_from(["a", "f", "f/x", "f/y", "g/h/i", "z"])
VALUES = st.sampled_from("123")
SIDES = st.sampled_from(["three-way", "ours", "theirs"])
STRATEGIES = st.sampled_from(["three-way", "three-way", "ours", "theirs", "replace"])
PICK = st.integers(0, 40)
SIGNED = Signature("m", "ann")

_counter = itertools.count()


class History(RuleBasedStateMachine):
    """One asset; the store in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.url = self.new_url()
        self.repo = self.open()
        self.asset = AssetId(new_entity_id())
        self.ids = [create_asset_root(self.repo, self.asset, committer="ann")]
        self.plain = PlainAsset()

    def new_url(self) -> str:
        return f"memory://history-model-{next(_counter)}"

    def open(self) -> Repository:
        return Repository.open(self.url, create=True, cache_root=str(self.folder / "cache"))

    def teardown(self) -> None:
        self.repo.close()
        shutil.rmtree(self.folder)

    def both(
        self, plain: Callable[[], int | None], real: Callable[[], Any], *, makes: bool = True
    ) -> None:
        """Do it in both; they agree on what comes of it, or on that nothing does."""
        try:
            expected = plain()
        except ConflictError as conflict:
            paths = conflict.paths
        except RefusedError:
            with pytest.raises(AhError):
                real()
            return
        else:
            self.agree_on(expected, real(), makes)
            return
        with pytest.raises(MergeConflictError) as caught:
            real()
        assert paths <= set(caught.value.paths)

    def agree_on(self, expected: int | None, made: Any, makes: bool) -> None:
        if makes:
            found = made.id if isinstance(made, Published) else made
            if expected is not None and expected == len(self.ids):
                self.ids.append(found)
            assert found == (None if expected is None else self.ids[expected])

    def pick(self, number: int) -> tuple[int, CommitId]:
        kept = self.plain.kept()
        at = kept[number % len(kept)]
        return at, self.ids[at]

    @rule(
        branch=NAMES,
        puts=st.dictionaries(PATHS, VALUES, max_size=3),
        gone=st.sets(PATHS, max_size=2),
    )
    def commit(self, branch: str, puts: dict[str, str], gone: set[str]) -> None:
        def real() -> CommitId | None:
            changes = Transaction(self.repo, self.asset, branch, SIGNED)
            try:
                for path in sorted(gone):
                    changes.delete(path)
                for path, value in puts.items():
                    changes.put_bytes(path, value.encode())
                made = changes.publish()
                return None if made is None else made.commit
            finally:
                changes.abandon()

        self.both(lambda: self.plain.commit(branch, puts, gone), real)

    @rule(name=NAMES, kind=st.sampled_from(["branch", "branch", "branch", "tag"]), at=PICK)
    def create(self, name: str, kind: str, at: int) -> None:
        number, commit = self.pick(at)
        self.both(
            lambda: self.plain.create(name, kind, number),
            lambda: Refs(self.repo).create(self.asset, name, kind, commit, by="ann"),  # type: ignore[arg-type]
            makes=False,
        )

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if [*self.plain.names] == [name]:
            return  # after gc there would be nothing at all
        kind = self.plain.names.get(name, ("branch", 0))[0]
        self.both(
            lambda: self.plain.delete(name),
            lambda: Refs(self.repo).delete(self.asset, name, kind),  # type: ignore[arg-type]
            makes=False,
        )

    @rule(name=NAMES, kind=st.sampled_from(["branch", "branch", "tag"]))
    def undelete(self, name: str, kind: str) -> None:
        self.both(
            lambda: self.plain.undelete(name, kind),
            lambda: undelete(self.repo, self.asset, name, kind, by="ann"),  # type: ignore[arg-type]
            makes=False,
        )

    @rule(source=NAMES, into=NAMES, strategy=STRATEGIES)
    def merge(self, source: str, into: str, strategy: str) -> None:
        if source not in self.plain.names:
            return
        number = self.plain.head(source)
        self.both(
            lambda: self.plain.merge(number, into, strategy),
            lambda: merge(
                self.repo,
                self.asset,
                self.ids[number],
                into,
                committer="ann",
                message="m",
                strategy=strategy,  # type: ignore[arg-type]
                via=source,
            ),
        )

    @rule(at=PICK, into=NAMES, strategy=STRATEGIES)
    def merge_an_old_commit(self, at: int, into: str, strategy: str) -> None:
        number, commit = self.pick(at)
        self.both(
            lambda: self.plain.merge(number, into, strategy),
            lambda: merge(
                self.repo,
                self.asset,
                commit,
                into,
                committer="ann",
                message="m",
                strategy=strategy,  # type: ignore[arg-type]
            ),
        )

    @rule(branch=NAMES, at=PICK, strategy=SIDES, inverse=st.booleans())
    def revert_or_pick(self, branch: str, at: int, strategy: str, inverse: bool) -> None:
        number, commit = self.pick(at)
        mainline = 1 if len(self.plain.commits[number].parents) > 1 else None
        do = revert if inverse else cherry_pick
        self.both(
            lambda: self.plain.apply(branch, number, strategy, inverse=inverse),
            lambda: do(
                self.repo,
                self.asset,
                branch,
                Picked(commit, mainline),
                SIGNED,
                favour=None if strategy == "three-way" else strategy,  # type: ignore[arg-type]
            ),
        )

    @rule(branch=NAMES, at=PICK, path=PATHS)
    def restore(self, branch: str, at: int, path: str) -> None:
        number, commit = self.pick(at)
        self.both(
            lambda: self.plain.restore(branch, number, path),
            lambda: restore_objects(self.repo, self.asset, branch, commit, [path], SIGNED),
        )

    @rule(branch=NAMES, at=PICK)
    def reset(self, branch: str, at: int) -> None:
        number, commit = self.pick(at)

        def plain() -> None:
            self.plain.head(branch, "branch")
            self.plain.move(branch, number)

        self.both(
            plain,
            lambda: reset(self.repo, self.asset, branch, commit, committer="ann"),
            makes=False,
        )

    @rule(now=st.booleans())
    def collect(self, now: bool) -> None:
        """Within its retention gc takes nothing that can be asked for; else what no name needs."""
        self.repo.leases.rest()  # as if no one had written for some seconds
        collect(self.repo, Policy(now=now, min_age=0))
        if now:
            self.plain.forget()

    @rule()
    def reopen(self) -> None:
        self.repo.close()
        self.repo = self.open()

    @precondition(lambda self: self.plain.names)
    @rule(at=PICK, path=PATHS)
    def ask_where_it_comes_from(self, at: int, path: str) -> None:
        name = sorted(self.plain.names)[at % len(self.plain.names)]
        number = self.plain.head(name)
        head = self.ids[number]
        for below in ("", path):
            found = {o.row[PATH]: self.ids.index(o.commit) for o in blame(self.repo, head, below)}
            assert found == {
                each: self.plain.origin(number, each)
                for each in self.plain.files(name)
                if not below or each == below or each.startswith(below + "/")
            }
        only = LogFilter.of(paths=[path])
        touched = [self.ids.index(commit) for commit, _ in log(self.repo, head, only=only)]
        assert sorted(touched) == sorted(self.plain.touched(number, path))
        ordered = [s.id for s in in_order_of_parents(list(steps(self.repo, head, only)))]
        assert sorted(map(self.ids.index, ordered)) == sorted(touched)
        for one, two in itertools.combinations(map(self.ids.index, ordered), 2):
            assert one not in self.plain.ancestors(two)

    @invariant()
    def names_and_files_agree(self) -> None:
        refs = {
            r.name: (r.kind, self.ids.index(r.commit)) for r in Refs(self.repo).list(self.asset)
        }
        assert refs == self.plain.names
        for _, number in refs.values():
            rows = self.repo.files(self.ids[number]).scan()
            found = {row[PATH]: open_row(self.repo, row).read().decode() for row in rows}
            assert found == self.plain.commits[number].files

    @invariant()
    def heads_agree(self) -> None:
        for name, expected in self.plain.heads.items():
            found = [
                None if head.commit is None else self.ids.index(head.commit)
                for head in heads(self.repo, self.asset, name)
            ]
            assert found == expected[::-1], name
            if name in self.plain.names and self.plain.names[name][0] == "branch":
                was = [number for number in expected[::-1] if number is not None]
                for at, number in enumerate(was):
                    assert (
                        resolve(self.repo, self.asset, f"{name}@{{{at}}}").commit
                        == self.ids[number]
                    )

    @invariant()
    def logs_agree(self) -> None:
        for number in {number for _, number in self.plain.names.values()}:
            found = [self.ids.index(commit) for commit, _ in log(self.repo, self.ids[number])]
            assert sorted(found) == sorted(self.plain.ancestors(number))


class LocalHistory(History):
    """The store on a disk."""

    def new_url(self) -> str:
        return (self.folder / "store").as_uri()


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=CHECKS
)
TestLocalHistory = LocalHistory.TestCase
TestLocalHistory.settings = settings(
    max_examples=6, stateful_step_count=30, deadline=None, suppress_health_check=CHECKS
)


def in_bucket(server: S3Server) -> type[History]:
    """Return the machine whose stores are in a bucket; credentials are in the environment."""

    class BucketHistory(History):
        def new_url(self) -> str:
            return server.url(f"stores/{secrets.token_hex(8)}")

    return BucketHistory


def run(machine: type[History], *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=CHECKS,
        ),
    )


@pytest.mark.timeout(1200)
def test_in_a_bucket(s3_environment: S3Server) -> None:
    run(in_bucket(s3_environment), examples=2, steps=12)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [History, LocalHistory])
def test_for_long(machine: type[History]) -> None:
    run(machine, examples=400, steps=60)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_in_a_bucket_for_long(s3_environment: S3Server) -> None:
    run(in_bucket(s3_environment), examples=40, steps=40)
