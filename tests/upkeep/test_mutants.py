"""The holes of the protocol, each planted, and a script of turns by which it loses data.

Every script is played twice: with the code as it is nothing may be lost, with the hole it must be.
What can't be planted here: a heartbeat that overwrites a revocation (only hints can be replaced,
see the storage suite), and the outcomes of a lost reply (tests/storage/test_cells.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest import mock

import pytest

from ahstore.errors import StorageError
from ahstore.ids import Address
from ahstore.packs.place import pack_key
from ahstore.storage.cells import NEVER_MADE, Cell, Cells
from ahstore.storage.contract import UnsettledError
from ahstore.storage.lease_record import LeaseStatus
from ahstore.storage.leases import Lease, list_leases, remove_record, revoke
from ahstore.upkeep.cell_walk import list_cells
from ahstore.upkeep.gc import Collector
from ahstore.upkeep.holders import Holders
from ahstore.upkeep.new_packs import NewPacks
from ahstore.upkeep.roots import needs_of
from ahstore.versions.gc_plan import Mark, Plan, expired_below
from ahstore.versions.history import undelete as undelete_module
from ahstore.versions.lease_keeper import Held, LeaseKeeper
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.session import WriteSession
from tests.upkeep.scenes import (
    LostError,
    Scene,
    collector,
    commit,
    consolidator,
    copier,
    deleter,
    evaluator,
    forker,
    from_id,
    merger,
    picker,
    reader,
    recreator,
    restorer,
    undeleter,
)
from tests.upkeep.schedules import KilledError, Script, Turn, current

WRITER = commit("own0")
TO_KEEP = commit("own0", "keep")

HEAD = "create cells/ref"
PLAN = "create cells/gc"


WHILE_A_PLAN_IS_OPEN = (
    Turn(1, PLAN),
    Turn(1, "list cells/"),
    Turn(0, HEAD, maybe=True),
    Turn(1),
    Turn(0),
)


@dataclass(frozen=True)
class Hole:
    """A planted hole, the actors, and their turns."""

    plant: Callable[[], object]
    actors: tuple[Callable, ...]
    turns: tuple[Turn, ...]
    mixed: bool = False

    def plant_and_play(self) -> str:
        """Return what was lost, empty: nothing."""
        scene = Scene(*self.actors, mixed=self.mixed)
        with self.plant():  # type: ignore[attr-defined]
            try:
                scene.play(Script(self.turns))
            except LostError as error:
                return str(error)
        return ""


HOLES: dict[str, Hole] = {}


def hole(
    *actors: Callable,
    turns: tuple[Turn, ...],
    mixed: bool = False,
) -> Callable:
    """Name a hole by the function that plants it."""

    def add(plant: Callable[[], object]) -> Callable:
        HOLES[plant.__name__] = Hole(plant, actors, turns, mixed)
        return plant

    return add


# The writer's part.


@hole(WRITER, collector, turns=(Turn(0, HEAD), Turn(1), Turn(0)))
def writers_take_no_lease() -> object:
    def take(cls, cells, names, **_):  # type: ignore[no-untyped-def]
        lease = mock.MagicMock()
        lease.record.cells = tuple(names)
        return lease

    return mock.patch.object(Lease, "take", classmethod(take))


@hole(
    WRITER,
    collector,
    turns=(Turn(0, "commit packs/meta", slandered=True), Turn(1), Turn(0)),
)
def the_lease_is_not_checked() -> object:
    return mock.patch.object(Lease, "check")


@hole(
    WRITER,
    collector,
    turns=(Turn(1, PLAN), Turn(1, "list cells/"), Turn(0, HEAD), Turn(1), Turn(0)),
)
def writers_ignore_the_plan() -> object:
    return _patched_session("condemned", frozenset())


def _patched_session(what: str, value: object) -> object:
    original = WriteSession._confirm

    def confirm(self: WriteSession, place):  # type: ignore[no-untyped-def]
        self._condemned = value  # type: ignore[assignment]
        return original(self, place)

    return mock.patch.object(WriteSession, "_confirm", confirm)


def knowing(scene: Scene) -> Callable[[], object]:
    """A writer whose index knew the packs before gc came."""
    repo = scene.repo()
    repo.index.refresh()
    work = WRITER(scene)

    def run() -> None:
        scene.repos[current()] = repo
        work()

    return run


@hole(knowing, collector, turns=(Turn(1), Turn(0)))
def packs_are_not_confirmed() -> object:
    return mock.patch.object(WriteSession, "_confirm", return_value=True)


@hole(
    from_id,
    collector,
    turns=(Turn(1, PLAN), Turn(1, "list cells/"), Turn(0, HEAD, maybe=True), Turn(1), Turn(0)),
)
def a_bare_id_is_not_checked() -> object:
    return mock.patch("ahstore.versions.refs.check_complete")


def unanswered(scene: Scene) -> Callable[[], object]:
    """A writer who gets no answer to his create, nor to any question after it."""
    work = WRITER(scene)
    storage = scene.storage
    real_create, real_read = storage.create, storage.read

    def create(key: str, data: bytes, *, durable: bool = True) -> None:
        if key.startswith("cells/ref/"):
            if scene.late is None:
                scene.late = lambda: scene.memory.create(key, data)
            raise UnsettledError("no answer", key=key)
        real_create(key, data, durable=durable)

    def read(key: str) -> bytes:
        if scene.late is not None and key.startswith("cells/ref/"):
            raise StorageError("no answer", key=key)
        return real_read(key)

    def run() -> None:
        with mock.patch.object(storage, "create", create), mock.patch.object(storage, "read", read):
            work()

    return run


def network(scene: Scene) -> Callable[[], object]:
    """The network, which delivers late."""

    def work() -> None:
        scene.storage.exists("store.json")
        assert scene.late is not None
        try:
            scene.late()
        except Exception:
            return

    return work


@hole(
    unanswered,
    network,
    collector,
    turns=(Turn(0, patient=True, slandered=True), Turn(1, "store.json"), Turn(2), Turn(1)),
)
def a_lease_is_ended_though_a_create_is_unresolved() -> object:
    return mock.patch.object(Held, "leave_unresolved")


@hole(
    collector,
    commit("own0", other="new"),
    commit("own1", other="new"),
    turns=(
        Turn(0, PLAN),
        Turn(0, "list cells/"),
        Turn(1, "newest_version cells/lease", slandered=True),
        Turn(2, HEAD),
        Turn(0),
        Turn(1),
        Turn(2),
    ),
)
def a_loser_removes_his_packs() -> object:
    original = WriteSession.close

    def close(self: WriteSession) -> None:
        packs = [pack_key(pack.family, pack.id) for pack in self._finished]
        lease = self._held._get().lease.id
        original(self)
        newest = self._repo.cells.read(Cell("lease", (lease,)))
        for pack in packs:
            if newest.value.get("status") != "active":
                self._repo.storage.delete(pack)

    return mock.patch.object(WriteSession, "close", close)


@hole(
    undeleter,
    collector,
    turns=(Turn(1, PLAN), Turn(1, "list cells/"), Turn(0, HEAD, maybe=True), Turn(1), Turn(0)),
)
def undelete_does_not_ask_the_plan() -> object:
    return mock.patch("ahstore.versions.history.undelete.expired_below", return_value=0)


@hole(
    undeleter,
    collector,
    turns=(
        Turn(1, PLAN),
        Turn(1, "hollow"),
        Turn(0, "newest_version cells/gc", maybe=True),
        Turn(0, "newest_version cells/ref", maybe=True),
        Turn(0, "newest_version cells/gc", maybe=True),
        Turn(1),
        Turn(0),
    ),
)
def undelete_asks_the_plan_too_late() -> object:
    def late(repo, asset, name):  # type: ignore[no-untyped-def]
        last = undelete_module._last_before(repo, asset, name)
        below = expired_below(repo.cells, repo.packs, ref_cell(asset, name))
        return last if last is None or last.number >= below else None

    return mock.patch.multiple(
        undelete_module,
        create=True,
        expired_below=lambda *_: 0,
        _last=late,
        _last_before=undelete_module._last,
    )


@hole(
    merger,
    collector,
    turns=WHILE_A_PLAN_IS_OPEN,
)
def a_merged_commit_is_not_checked() -> object:
    return mock.patch.object(Refs, "check_kept")


@hole(picker, collector, turns=WHILE_A_PLAN_IS_OPEN)
def picked_rows_are_not_checked() -> object:
    return mock.patch("ahstore.versions.history.picking.check_rows_kept")


@hole(restorer, collector, turns=WHILE_A_PLAN_IS_OPEN)
def restored_rows_are_not_checked() -> object:
    return mock.patch("ahstore.versions.history.recover.check_rows_kept")


@hole(copier, collector, turns=WHILE_A_PLAN_IS_OPEN)
def copied_rows_are_not_checked() -> object:
    return mock.patch("ahstore.versions.transactions.transaction.check_rows_kept")


@hole(
    evaluator,
    collector,
    turns=(
        Turn(1, PLAN),
        Turn(1, "list cells/"),
        Turn(0, "create cells/evaluations", maybe=True),
        Turn(1),
        Turn(0),
    ),
)
def evaluated_commits_are_not_checked() -> object:
    return mock.patch("ahstore.hub.evaluations.check_kept")


# gc's part.


@hole(
    WRITER,
    collector,
    turns=(Turn(0, HEAD), Turn(1), Turn(0)),
)
def gc_looks_before_it_waits() -> object:
    original = Collector._go_on

    def go_on(self: Collector, plan, marked):  # type: ignore[no-untyped-def]
        staying = self._look_again(plan, plan.all_marks(self._repo.packs), [], marked)
        with mock.patch.object(self, "_look_again", return_value=staying):
            original(self, plan, marked)

    return mock.patch.object(Collector, "_go_on", go_on)


@hole(WRITER, collector, turns=(Turn(0, HEAD, slandered=True), Turn(1), Turn(0)))
def a_revoked_lease_is_not_fenced() -> object:
    return mock.patch.object(Holders, "_fence", lambda self, record: self._fenced.append(record))


@hole(
    WRITER,
    collector,
    collector,
    turns=(Turn(0, HEAD, slandered=True), Turn(1, HEAD, killed=True), Turn(2), Turn(0)),
)
def a_lease_that_another_revoked_is_not_fenced() -> object:
    original = Holders._is_settled

    def is_settled(self: Holders, record):  # type: ignore[no-untyped-def]
        return record.status is LeaseStatus.REVOKED or original(self, record)

    def put_an_end_to(self: Holders, record) -> None:  # type: ignore[no-untyped-def]
        revoked = revoke(self._cells, record.id)
        assert revoked is not None
        self._fence(revoked)

    return mock.patch.multiple(Holders, _is_settled=is_settled, _put_an_end_to=put_an_end_to)


@hole(
    WRITER,
    collector,
    collector,
    turns=(Turn(0, HEAD, slandered=True), Turn(1, HEAD, killed=True), Turn(2), Turn(0)),
)
def a_record_is_removed_before_its_fence() -> object:
    original = Holders._fence

    def fence(self: Holders, record) -> None:  # type: ignore[no-untyped-def]
        remove_record(self._cells, record.id, record.number)
        original(self, record)

    return mock.patch.object(Holders, "_fence", fence)


@hole(from_id, collector, turns=(Turn(0, HEAD, slandered=True), Turn(1), Turn(0)))
def a_cell_never_made_is_not_fenced() -> object:
    original = Cells.fence

    def fence(self: Cells, cell: Cell) -> object:
        return NEVER_MADE if self.read(cell).number < 0 else original(self, cell)

    return mock.patch.object(Cells, "fence", fence)


def extending(scene: Scene) -> Callable[[], object]:
    """A writer whose lease names his cell only when his packs are written."""
    asset = scene.start.asset
    hold, swap = LeaseKeeper.hold, WriteSession.swap

    def hold_another(self: LeaseKeeper, names) -> object:  # type: ignore[no-untyped-def]
        return hold(self, [Cell("ref", (asset, "another"))])

    def extended(self: WriteSession, cell, expected, value):  # type: ignore[no-untyped-def]
        self.flush()
        self._held._get().lease.extend([cell])
        return swap(self, cell, expected, value)

    work = WRITER(scene)

    def run() -> None:
        with (
            mock.patch.object(LeaseKeeper, "hold", hold_another),
            mock.patch.object(WriteSession, "swap", extended),
        ):
            work()

    return run


@hole(
    extending,
    collector,
    turns=(
        Turn(0, "commit packs/meta", slandered=True),
        Turn(1, PLAN),
        Turn(1, "list cells/lease"),
        Turn(1, "newest_version cells/lease"),
        Turn(1, "create cells/lease"),
        Turn(0, HEAD),
        Turn(1),
        Turn(0),
    ),
)
def a_lease_is_fenced_as_it_was_listed() -> object:
    original = Holders._put_an_end_to

    def put_an_end_to(self: Holders, record) -> None:  # type: ignore[no-untyped-def]
        fence = self._fence
        with mock.patch.object(
            self, "_fence", lambda newer: fence(replace(newer, cells=record.cells))
        ):
            original(self, record)

    return mock.patch.object(Holders, "_put_an_end_to", put_an_end_to)


@hole(WRITER, collector, turns=(Turn(1, PLAN), Turn(0, HEAD), Turn(1), Turn(0)))
def leases_are_listed_before_the_plan() -> object:
    return _Settled()


class _Settled:
    """Settles leases before the plan is published, and not after."""

    def __enter__(self) -> None:
        publish, settle = Collector._publish, Holders.settle

        def publish_late(self: Collector, *args: object) -> object:
            self.listed = settle(self._holders)  # type: ignore[attr-defined]
            self._repo.storage.exists("store.json")
            return publish(self, *args)  # type: ignore[arg-type]

        self._patches = [
            mock.patch.object(Collector, "_publish", publish_late),
            mock.patch.object(Holders, "settle", return_value=[]),
        ]
        for patch in self._patches:
            patch.start()

    def __exit__(self, *_: object) -> None:
        for patch in self._patches:
            patch.stop()


@hole(
    TO_KEEP,
    collector,
    forker,
    deleter,
    turns=(
        Turn(0, HEAD),
        Turn(1, PLAN),
        Turn(1),
        Turn(0),
        Turn(1, "list cells/"),
        Turn(2, HEAD),
        Turn(3),
        Turn(1),
        Turn(2),
    ),
)
def only_heads_are_looked_at() -> object:
    def add_since(self: Collector, marker, marks, *, everything: bool) -> None:  # type: ignore[no-untyped-def]
        for found in list_cells(self._cells):
            mark = marks.get(found.cell.folder, Mark(-1, 0))
            if everything or found.number != mark.number:
                version = self._cells.read_version(found.cell, found.number)
                marker.add(needs_of(found.cell, version), str(found.cell))

    return mock.patch.object(Collector, "_add_since", add_since)


@hole(
    WRITER,
    collector,
    collector,
    commit("own1", "keep"),
    collector,
    turns=(
        Turn(0, HEAD),
        Turn(1, PLAN),
        Turn(0),
        Turn(1, "list index/"),
        Turn(2, "list index/"),
        Turn(1, PLAN),  # it has looked, and rescues the old pack, in which x is needed again
        Turn(3),  # writes x anew
        Turn(2, "delete packs"),  # it has looked, too: of all in the old pack there are copies
        Turn(1),
        Turn(4),  # to the next gc these are copies too many
        Turn(2),
    ),
    mixed=True,
)
def each_gc_deletes_by_its_own_look() -> object:
    original = Collector._swap

    def swap(self: Collector, plan: Plan) -> Plan:
        return plan if plan.phase == "final" else original(self, plan)

    return mock.patch.object(Collector, "_swap", swap)


@hole(
    WRITER,
    collector,
    collector,
    collector,
    turns=(
        Turn(1, "delete packs"),
        Turn(0, HEAD),
        Turn(1, PLAN),
        Turn(1, "list cells/lease"),
        Turn(0, HEAD, slandered=True),
        Turn(2, HEAD),  # it has revoked the lease, and is about to fence
        Turn(1),  # it tidies
        Turn(3, PLAN),  # it has looked at the heads for the other's plan, and found no lease
        Turn(0),
        Turn(3),
        Turn(2),
    ),
)
def a_gc_tidies_all_that_is_revoked() -> object:
    original = Holders.remove_records

    def remove_records(self: Holders) -> int:
        for record in list_leases(self._cells):
            if record.status is LeaseStatus.REVOKED:
                remove_record(self._cells, record.id, record.number)
        return original(self)

    return mock.patch.object(Holders, "remove_records", remove_records)


@hole(
    TO_KEEP,
    deleter,
    collector,
    recreator,
    turns=(Turn(0, HEAD, slandered=True), Turn(1), Turn(2), Turn(3), Turn(0)),
)
def a_deleted_cell_is_forgotten() -> object:
    """Its versions go, and its numbers start again."""

    def expire(self: Collector, folder: str, below: int) -> None:
        files = self._repo.storage.inner._files  # type: ignore[attr-defined]
        for key in [key for key in files if key.startswith(folder)]:
            del files[key]

    return mock.patch.object(Collector, "_expire", expire)


@hole(
    collector,
    consolidator,
    collector,
    turns=(
        Turn(0),
        Turn(1, "create cells/index"),
        Turn(2, PLAN),
        Turn(2, "list cells/lease"),
        Turn(1),
        Turn(2),
    ),
)
def segments_are_looked_at_once() -> object:
    original = Collector._spare_segments

    def spare(self: Collector) -> set[str]:
        if not hasattr(self, "_first_look"):
            self._first_look = original(self)  # type: ignore[attr-defined]
        return self._first_look  # type: ignore[attr-defined, no-any-return]

    return mock.patch.object(Collector, "_spare_segments", spare)


@hole(collector, turns=(Turn(0),), mixed=True)
def old_packs_are_condemned_before_the_new_are_there() -> object:
    def finish(self: NewPacks) -> None:
        for writer in self._writers.values():
            writer.abort()

    return mock.patch.object(NewPacks, "finish", finish)


@hole(reader, deleter, collector, turns=(Turn(0, "create cells/lease"), Turn(1), Turn(2), Turn(0)))
def a_reader_does_not_look_again() -> object:
    @contextmanager
    def blind(repo, asset, name) -> Iterator[Address]:  # type: ignore[no-untyped-def]
        head = Refs(repo).get(asset, name).commit
        with Lease.take(repo.cells, [], pins=[head]):
            yield head

    return mock.patch("tests.upkeep.scenes.pinned_head", blind)


@pytest.mark.parametrize("name", HOLES)
def test_the_script_loses_nothing(name: str) -> None:
    what = HOLES[name]
    Scene(*what.actors, mixed=what.mixed).play(Script(what.turns))


@pytest.mark.parametrize("name", HOLES)
def test_the_hole_is_caught(name: str) -> None:
    what = HOLES[name]
    for _ in range(12):  # some depend on which of two packs comes first by its random id
        if what.plant_and_play():
            return
    raise AssertionError(f"{name}: nothing was lost")


def test_killed_actors_do_nothing_more() -> None:
    """A kill that kills nothing would let every other test here pass."""
    scene = Scene(WRITER, collector)
    before = dict(scene.memory._files)
    scene.play(Script((Turn(0, HEAD, killed=True),)))
    assert isinstance(scene.actors[0].error, KilledError)
    assert ref_cell(scene.start.asset, "main").folder
    assert {k for k in before if k.startswith("cells/ref")} <= set(scene.memory._files)
    assert not scene.acknowledged
