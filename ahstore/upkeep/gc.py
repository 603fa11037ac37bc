"""gc: deletes what nothing needs, beside writers, readers and other gcs.

Implements docs/format/gc.md, the protocol of eight steps; the numbers in the code are its. What a
cell needs is said by ``roots``, what is marked by ``marking``, which packs go by ``choice``. Whoever
finds another's plan finishes it, so a gc may be killed anywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ahstore.codec import canonical
from ahstore.codec.digests import sha256
from ahstore.errors import ConflictError, CorruptError
from ahstore.ids import Address, CommitId, PackId
from ahstore.index.consolidation import Consolidation
from ahstore.index.segment_list import live_segments
from ahstore.packs.place import Family, Kind, Place, pack_key
from ahstore.packs.reader import list_packs
from ahstore.packs.writer import PackWriter
from ahstore.storage.cells import CellConflictError, CellState
from ahstore.storage.contract import MissingError
from ahstore.upkeep.cell_walk import cell_of, list_cells, read_kept
from ahstore.upkeep.census import Census, count_needed, extend_census, take_census, to_rescue
from ahstore.upkeep.choice import Choice, choose
from ahstore.upkeep.holders import Holders, all_are_here
from ahstore.upkeep.marking import Marker
from ahstore.upkeep.policy import Policy
from ahstore.upkeep.repack import repack
from ahstore.upkeep.report import GcReport
from ahstore.upkeep.roots import Needs, needs_of
from ahstore.upkeep.sorted_keys import SortedKeys
from ahstore.upkeep.sweep import clean, finish_deletions
from ahstore.versions.gc_plan import GC_CELL, Mark, Plan, encode_marks, read_plan
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

SEGMENTS = "index/"
MAX_ROUNDS = 1000
MAX_LOST = 20
INLINE_MARKS = 1000
MARKS_IN_TABLE = 10_000


@dataclass(slots=True)
class Marked:
    """What a gc knows after marking. ``needed`` and ``census`` may lie on disk."""

    marks: dict[str, Mark]
    needed: SortedKeys
    census: Census

    def close(self) -> None:
        """Release what lies on disk."""
        self.needed.close()
        self.census.close()


class _PlanLostError(Exception):
    """Another gc was faster: look again what there is to do."""


def collect(
    repo: Repository,
    policy: Policy | None = None,
    *,
    dry_run: bool = False,
    monitor: Monitor = SILENT,
    pause: Callable[[float], None] = time.sleep,
) -> GcReport:
    """Delete what nothing needs.

    Args:
        repo: the store.
        policy: what is kept beside what is in use.
        dry_run: change nothing, only tell what would be done.
        monitor: is told how far things are.
        pause: sleeps; for tests.

    Raises:
        CorruptError, NotFoundError: something that leads to others can't be read, so nobody can
            say what is needed; nothing was deleted. ``fsck`` tells more.
        WriterBusyError: a living writer goes on for longer than the policy waits.
        UnsupportedError: the store holds something of a later version of ahstore.
    """
    repo.leases.rest()  # else it would wait for itself
    collector = Collector(repo, policy or Policy(), monitor=monitor, pause=pause)
    if dry_run:
        return collector.look()
    return collector.run()


def withdraw(repo: Repository, packs: tuple[PackId, ...], *, monitor: Monitor = SILENT) -> None:
    """Take damaged packs out of use by a plan of their own, once all that is whole is elsewhere.

    Nothing has to be marked: whoever uses a whole blob of such a pack has it in another one too.

    Raises:
        WriterBusyError, ConflictError: as ``collect``.
    """
    repo.leases.rest()
    Collector(repo, Policy(), monitor=monitor).withdraw(packs)


class Collector:
    """One gc."""

    def __init__(
        self,
        repo: Repository,
        policy: Policy,
        *,
        monitor: Monitor = SILENT,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._repo = repo
        self._cells = repo.cells
        self._policy = policy
        self._monitor = monitor
        self._scratch = _scratch(repo)
        self._holders = Holders(repo, wait=policy.wait, monitor=monitor, pause=pause)
        self._segments: set[str] = set()
        self.report = GcReport()

    def look(self) -> GcReport:
        """Tell what a gc would do."""
        self.report.dry_run = True
        marked = self._mark()
        try:
            _, found = self._choose(marked)
        finally:
            marked.close()
        self.report.take_kept(found)
        self.report.take_gone(found)
        return self.report

    def run(self) -> GcReport:
        """Do all there is to do."""
        self.report.orphans = finish_deletions(self._repo, self._policy)
        lost = 0
        for _ in range(MAX_ROUNDS):
            try:
                if not self._round():
                    break
            except _PlanLostError:
                lost += 1
                if lost >= MAX_LOST:
                    raise ConflictError("other gcs are at work on this store; try again") from None
        self._monitor.start("Cleaning up")
        self._holders.settle_dead()
        self.report.leases += self._holders.remove_records()
        self.report.leftovers += clean(self._repo)
        self._monitor.finish()
        return self.report

    def withdraw(self, packs: tuple[PackId, ...]) -> None:
        """Delete just these packs, of which all that is whole lies elsewhere by now."""
        for _ in range(MAX_LOST):
            try:
                plan = read_plan(self._cells)
                if plan is not None and plan.is_pending:
                    self._go_on(plan, None)
                    continue
                opened = self._publish(plan.number if plan else -1, packs, {})
                self._holders.settle()
                final = self._swap(replace(opened, phase="final"))
                self._delete(final, {})
                self._close(final)
            except _PlanLostError:
                continue
            return
        raise ConflictError("other gcs are at work on this store; try again")

    def _round(self) -> bool:
        """Make and carry out a plan, or finish another's; False: there is nothing more to do."""
        plan = read_plan(self._cells)  # step 1
        if plan is not None and plan.is_pending:
            self._go_on(plan, None)
            return True
        marked = self._mark()  # step 2
        try:
            choice, found = self._choose(marked)
            self.report.take_kept(found)
            self._rewrite(marked, choice)
            if not (choice.condemned or found.expired or self._spare_segments()):
                return False
            packs = tuple(marked.census.packs[number].id for number in choice.condemned)
            opened = self._publish(plan.number if plan else -1, packs, marked.marks)  # step 3
            self._go_on(opened, marked)
            self.report.take_gone(found)
            return choice.more
        finally:
            marked.close()

    # Step 2: mark.

    def _mark(self) -> Marked:
        marker = self._marker(None)
        marks: dict[str, Mark] = {}
        cutoff = self._policy.cutoff(self._repo.storage.now())
        self._monitor.start("Marking what is needed")
        for found in list_cells(self._cells):
            kept = read_kept(self._cells, found, self._policy, cutoff)
            for version in (kept.newest, *kept.former):
                marker.add(needs_of(found.cell, version), str(found.cell))
            marks[found.cell.folder] = Mark(found.number, kept.below)
        marker.add(Needs(commits=tuple(self._holders.pins())), "a reader")
        needed = marker.finish()
        self._monitor.start("Counting packs")
        census = take_census(self._repo, scratch=self._scratch, monitor=self._monitor)
        count_needed(census, needed)
        self._monitor.finish()
        return Marked(marks, needed, census)

    def _marker(self, known: SortedKeys | None) -> Marker:
        return Marker(self._repo, scratch=self._scratch, known=known, monitor=self._monitor)

    def _choose(self, marked: Marked) -> tuple[Choice, GcReport]:
        found = GcReport(missing=len(marked.census.missing))
        min_age = self._policy.min_age
        if self._policy.now and all_are_here(self._repo):
            min_age = 0.0
        found.expired = sum(1 for mark in marked.marks.values() if mark.below)
        return choose(self._repo, marked.census, self._policy, found, min_age=min_age), found

    def _rewrite(self, marked: Marked, choice: Choice) -> None:
        """Write packs anew and condemn the old ones."""
        if not choice.rewrite:
            return
        self._monitor.start("Rewriting packs")
        choice.condemned += repack(
            self._repo,
            marked.census,
            marked.needed,
            choice.rewrite,
            scratch=self._scratch,
            monitor=self._monitor,
        )
        self._monitor.finish()

    # Step 3: publish the plan.

    def _publish(self, before: int, packs: tuple[PackId, ...], marks: dict[str, Mark]) -> Plan:
        if len(marks) > INLINE_MARKS:
            plan = Plan(before, "open", packs, {}, self._write_tables(marks))
        else:
            plan = Plan(before, "open", packs, marks)
        self.report.rounds += 1
        return self._swap(plan)

    def _write_tables(self, marks: dict[str, Mark]) -> tuple[tuple[Address, Place], ...]:
        """Put marks that are too many for a cell into a pack of records; the next gc deletes it."""
        items = list(marks.items())
        with PackWriter(self._repo.storage, "meta") as writer:
            for at in range(0, len(items), MARKS_IN_TABLE):
                data = canonical.encode(encode_marks(dict(items[at : at + MARKS_IN_TABLE])))
                writer.add(Kind.RECORD, sha256(data), data)
            finished = writer.finish()
        assert finished is not None
        return tuple(finished.entries)

    def _swap(self, plan: Plan) -> Plan:
        """Create the gc cell's next version, after the one that ``plan`` was made from."""
        try:
            version = self._cells.swap(GC_CELL, plan.number, plan.to_value())
        except CellConflictError:
            raise _PlanLostError from None
        return replace(plan, number=version.number)

    # Steps 4 to 8: carry the plan out.

    def _go_on(self, plan: Plan, marked: Marked | None) -> None:
        try:
            marks = plan.all_marks(self._repo.packs)
        except MissingError:
            raise _PlanLostError from None
        if plan.phase == "open":
            # Of what is there now is rubbish what nobody names when all who might name it are done.
            self._segments = set(self._repo.storage.list(SEGMENTS))
            pins = self._holders.settle()  # step 4
            staying = self._look_again(plan, marks, pins, marked)  # step 5
            final = tuple(pack for pack in plan.packs if pack not in staying)
            plan = self._swap(replace(plan, phase="final", packs=final))  # step 6
        self._delete(plan, marks)  # step 7
        self._close(plan)  # step 8

    def _look_again(
        self, plan: Plan, marks: dict[str, Mark], pins: Iterable[CommitId], marked: Marked | None
    ) -> set[PackId]:
        """Return the condemned packs that have come to be needed, or are gone."""
        marker = self._marker(marked.needed if marked else None)
        self._monitor.start("Looking again")
        self._add_since(marker, marks, everything=marked is None)
        marker.add(Needs(commits=tuple(pins)), "a reader")
        census = marked.census if marked else take_census(self._repo, scratch=self._scratch)
        with marker.finish() as needed:
            present = extend_census(self._repo, census, scratch=self._scratch)
            rescued = to_rescue(census, needed, frozenset(plan.packs), present)
        if marked is None:
            census.close()
        for pack in rescued:
            size = next(count.size for count in census.packs if count.id == pack)
            self.report.rescued.add(size)
        self._monitor.finish()
        return rescued.union(pack for pack in plan.packs if pack not in present)

    def _add_since(self, marker: Marker, marks: dict[str, Mark], *, everything: bool) -> None:
        """Add what every version since the marks needs, tombstoned by now or not.

        A gc that finishes another's plan has marked nothing itself: it adds what the policy keeps
        too, but for what the plan lets expire.
        """
        cutoff = self._policy.cutoff(self._repo.storage.now())
        for found in list_cells(self._cells):
            mark = marks.get(found.cell.folder, Mark(-1, 0))
            owner = str(found.cell)
            if everything:
                kept = read_kept(self._cells, found, self._policy, cutoff)
                for version in kept.former:
                    if version.number >= mark.below:
                        marker.add(needs_of(found.cell, version), owner)
            elif found.number == mark.number:
                continue
            for number in range(max(mark.number, 0), found.number + 1):
                version = self._cells.read_version(found.cell, number)
                marker.add(needs_of(found.cell, version), owner)

    def _delete(self, plan: Plan, marks: dict[str, Mark]) -> None:
        self._monitor.start("Deleting", files=len(plan.packs))
        for pack in plan.packs:
            self._repo.index.forget(pack)
        self._repo.recent_blobs.clear()
        if plan.packs:
            Consolidation(self._repo.storage, self._cells, self._repo.packs).without(plan.packs)
        for folder, mark in marks.items():
            if mark.below:
                self._expire(folder, mark.below)
        families = {pack: family for family, pack in list_packs(self._repo.storage)}
        for pack in plan.packs:
            family: Family | None = families.get(pack)
            if family is not None:
                self._repo.storage.delete(pack_key(family, pack))
            self._monitor.advance(files=1)
        spare = self._segments & self._spare_segments() if self._segments else set()
        for key in spare:
            self._repo.storage.delete(key)
        self.report.leftovers += len(spare)
        self._segments = set()
        self._monitor.finish()

    def _spare_segments(self) -> set[str]:
        """Return the keys of the index segments that the index cell does not name."""
        there = set(self._repo.storage.list(SEGMENTS))
        try:
            named = {f"{SEGMENTS}{segment}" for segment in live_segments(self._cells)}
        except CorruptError:
            return set()  # fsck tells; the segments can wait
        return there - named

    def _expire(self, folder: str, below: int) -> None:
        """Empty the newest expired version: those below it count as expired with it."""
        cell = cell_of(folder)
        version = self._cells.read_version(cell, below - 1)
        if version.state is CellState.LIVE:
            self._cells.hollow(cell, version)

    def _close(self, plan: Plan) -> None:
        done = Plan(plan.number, "done", (), {})
        try:
            done = self._swap(done)
        except _PlanLostError:
            return  # another has finished it
        self.report.leases += self._holders.remove_records()
        for number in range(max(0, done.number - 2), done.number):
            version = self._cells.read_version(GC_CELL, number)
            if version.state is CellState.LIVE:
                self._cells.hollow(GC_CELL, version)


def _scratch(repo: Repository) -> str | None:
    """Return the folder for sets that outgrow memory: that of the caches, None: the system's."""
    return repo.cache_root if repo.cache_root and os.path.isdir(repo.cache_root) else None
