"""One lease over several operations, checked by walking through every interleaving.

Extends ``gc_model``: a writer does not end his lease with an operation but keeps it for the next
one, which names its cell in it first (an extension) and begins by reading the gc cell again. Two
threads may share a lease. How ``ahstore/versions/lease_keeper.py`` does it, and what was learnt:
``docs/decisions/one-lease-for-a-busy-process.md``.

    python -m tests.models.kept_lease_model                  every scenario, no violation
    python -m tests.models.kept_lease_model --mutant NAME    with a planted bug, or without a courtesy
    python -m tests.models.kept_lease_model --all-mutants    each of them in turn
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tests.models.gc_model import (
    ABSENT,
    ACK,
    ACTIVE,
    CN,
    ENDED,
    FAILED,
    NONE,
    SCEN,
    TOMB,
    B,
    D,
    Model,
    N,
    P,
    explore,
    put,
)

State = tuple[Any, ...]
Step = tuple[str, State]

# What a planted bug does to the rules. Each must be caught by some scenario.
BUGS = {
    "no_extension": "an operation on a cell that the kept lease does not name takes no extension",
    "extension_wins": "an extension overwrites a revocation: it is no compare-and-swap",
    "check_once": "only the first operation checks the lease before its commit point",
    "trust_over_leases": "a new lease trusts what was confirmed under the one given up",
    "no_gc_under_new": "after giving up a lease the gc cell is not read under the new one",
    "end_in_use": "of two threads that share a lease the first one to finish ends it",
    "fence_one": "gc fences only one of the cells that a revoked lease names",
    "end_unresolved": "the lease is ended by the next operation though a create is unresolved",
}

# Rules that make gc wait less, or that cost nothing: safety does not rest on them.
COURTESIES = {
    "keep_open": "a lease is kept although a plan was opened since",
    "keep_confirmed": "what was confirmed stays so although the gc cell has changed",
    "read_once": "a later operation under the same lease does not read the gc cell at all",
    "extend_last": "the lease is extended after the gc cell was read, not before",
}

#            cells (B, N, D)               packs  writers' scripts, gc rounds, options
KEPT = {
    "two_branches": (
        (((1,), (), ()), P, [[("commit", B), ("commit", N)], [("delete", B)]], [2], {"keep": 1})
    ),
    "two_gcs": ((((1,), (), ()), P, [[("commit", B), ("commit", N)]], [1, 1], {"keep": 1})),
    "two_gcs_and_delete": (
        (((1,), (), ()), P, [[("commit", B), ("commit", N)], [("delete", B)]], [1, 1], {"keep": 1})
    ),
    "same_branch": (
        (
            ((1,), (), (2,)),
            P,
            [[("commit", B), ("delete", B), ("commit", B)], [("delete", D)]],
            [2],
            {"keep": 1},
        )
    ),
    "then_live": (
        (
            ((1,), (), (2,)),
            P,
            [[("commit", B), ("live", D, N)], [("delete", D)]],
            [2],
            {"keep": 1},
        )
    ),
    "live_then_commit": (
        (((1,), (), (2,)), P, [[("live", D, N), ("commit", B)], [("delete", D)]], [2], {"keep": 1})
    ),
    "then_undelete": (
        (((1,), (), (2, -1)), P, [[("commit", B), ("undelete", D)]], [2], {"keep": 1})
    ),
    "no_answer": (
        (
            ((1,), (), ()),
            P,
            [[("commit", B), ("commit", N)]],
            [2],
            {"keep": 1, "async": 1},
        )
    ),
    "repacked": (
        (
            ((1,), (), (2,)),
            P,
            [[("commit", B), ("commit", N)], [("delete", B)]],
            [1],
            {"keep": 1, "repack": 1, "dup": 1},
        )
    ),
    "threads": (
        (
            ((1,), (), (2,)),
            P,
            [[("commit", B)], [("live", D, N), ("delete", D)]],
            [1],
            {"keep": 1, "share": 1},
        )
    ),
    "two_threads_commit": (
        (((1,), (), ()), P, [[("commit", B)], [("commit", N)]], [1], {"keep": 1, "share": 1})
    ),
}
CUT_OFF = {"two_gcs_and_delete": 1_500_000}
"""Too large to be exhausted (more than six million states): how many states are looked at."""
SCEN.update(KEPT)

BEGIN, EXTEND, GIVE_UP, READ = 20, 21, 22, 23
UNRESOLVED = -1
NOTHING_HELD = (0, 0, 0)


class KeptLeaseModel(Model):
    """The model with kept leases. What a writer holds stands at the end of the actors:
    (number of his lease's record + 1, version of the gc cell he knows, whether he has confirmed
    his packs)."""

    def __init__(self, scenario: str, mutants: Sequence[str] = ()) -> None:
        super().__init__(scenario, mutants)
        self.slots = {}
        count = 0
        for w, script in enumerate(self.scripts):
            for o in range(len(script)):
                for again in (0, 1):
                    self.slots[w, o, again] = 0 if self.opt.get("share") else count
                    count += 1
        cells, packs, gc, _, pend, acts = self.init
        leases = ((NONE, 0),) * (1 if self.opt.get("share") else count)
        self.held_at = len(acts)
        self.init = (cells, packs, gc, leases, pend, acts + (NOTHING_HELD,) * self.nw)

    # What the base asks of an actor.

    def next_op(self, w: int, a: State, res: int) -> State:
        o = a[0] + 1
        result = res if self.scripts[w][a[0]][0] == "commit" else a[7]
        if o == len(self.scripts[w]):
            return (a[0], 99, 0, 0, 0, 0, 0, result, 0)
        first = 4 if self.scripts[w][o][0] == "delete" else BEGIN
        return (o, first, a[2], a[3], 0, 0, 0, result, 0)

    def fin(self, w: int, a: State, res: int, pend: bool = False) -> State:
        last = a[0] + 1 == len(self.scripts[w])
        if pend and "end_unresolved" not in self.mut:
            # A create may still land: this lease is never ended, nor used again.
            return put(self.next_op(w, a, res), 6, UNRESOLVED)
        if last and self.leased(w, a):
            return put(put(a, 7, res) if self.scripts[w][a[0]][0] == "commit" else a, 1, 8)
        return self.next_op(w, a, res)

    # What must hold.

    def bad(self, s: State) -> str | None:
        cells, _, _, _, _, acts = s
        told = [a[7] for a in acts[: self.nw]]
        silent = s
        for w in range(self.nw):
            silent = (*silent[:5], put(silent[5], w, put(silent[5][w], 7, 0)))
        wrong: str | None = super().bad(silent)
        for w, result in enumerate(told):
            if wrong or not result:
                continue
            wrong = self._told_wrong(cells, w, acts[w], result)
        return wrong

    def _told_wrong(self, cells: State, w: int, a: State, result: int) -> str | None:
        """Compare what the writer was told of his last finished commit with what is there."""
        done = a[0] + 1 if a[1] in (8, 99) else a[0]
        commits = [op[-1] for op in self.scripts[w][:done] if op[0] == "commit"]
        if not commits:
            return None
        cell, bit = commits[-1], 4 << w
        bodies = cells[cell]
        if result == ACK:
            last = [b for b in bodies if b not in (TOMB, ABSENT)][-1:]
            dropped = TOMB in bodies
            if (not last or (last[0] >= 0 and not last[0] & bit)) and not dropped:
                return f"LOST COMMIT: writer{w} was acknowledged"
        if (
            result == FAILED
            and commits.count(cell) == 1
            and any(b >= 0 and b & bit for b in bodies)
        ):
            return f"GHOST: writer{w} was told 'failed', its commit is there"
        return None

    # Steps.

    def writer(self, s: State, w: int) -> Iterator[Step]:
        pc = s[5][w][1]
        if pc == BEGIN:
            steps = self._begin(s, w)
        elif pc == EXTEND:
            steps = self._extend(s, w)
        elif pc == READ:
            steps = self._read(s, w)
        elif pc == GIVE_UP:
            steps = self._give_up_lease(s, w)
        elif pc == 0:
            steps = self._take(s, w)
        elif pc == 8:
            steps = self._end(s, w)
        else:
            steps = self._ordinary(s, w)
        yield from steps

    def _ordinary(self, s: State, w: int) -> Iterator[Step]:
        """A step of the base, under whatever lease is held; then what is held is brought on."""
        o, pc, *_, rst = s[5][w]
        lease, version, confirmed = s[5][self.held_at + w]
        self.slot[w, o, rst] = lease - 1 if lease else self.slots[w, o, rst]
        skip = pc == 5 and o > 0 and "check_once" in self.mut
        for label, t in list(super().writer(s, w)):
            a = t[5][w]
            if skip:
                a = put(s[5][w], 1, 6)
            held = (lease, version, confirmed)
            if a[6] == UNRESOLVED:
                held, a = NOTHING_HELD, put(a, 6, 0)
            elif pc == 1:
                held = (lease, s[2][0], confirmed)
            elif pc == 3 or (pc == 2 and rst and a[1] == 4):
                held = (lease, version, 1)
            yield label, self._with(t, w, a, held)

    def _with(self, s: State, w: int, a: State, held: State, leases: State | None = None) -> State:
        acts = put(put(s[5], w, a), self.held_at + w, held)
        return (*s[:3], s[3] if leases is None else leases, s[4], acts)

    def _take(self, s: State, w: int) -> Iterator[Step]:
        o, *_, rst = s[5][w]
        slot = self.slots[w, o, rst]
        cell = self.cells_of(w, o)
        a = s[5][w]
        status, named = s[3][slot]
        who = f"writer{w}"
        kept = s[5][self.held_at + w][2] if "trust_over_leases" in self.mut else 0
        held = (slot + 1, s[5][self.held_at + w][1], kept)
        first = 9 if self.scripts[w][o][0] == "live" else 1
        if kept:
            first = 4
        elif o and "no_gc_under_new" in self.mut and self.scripts[w][o][0] == "commit":
            first = 2
        if status == NONE:
            leases = put(s[3], slot, (ACTIVE, cell))
            yield f"{who} takes lease{slot}", self._with(s, w, put(a, 1, first), held, leases)
        elif status == ACTIVE:  # another thread's
            leases = put(s[3], slot, (ACTIVE, named | cell))
            yield f"{who} shares lease{slot}", self._with(s, w, put(a, 1, first), held, leases)
        else:
            yield (
                f"{who} finds lease{slot} lost; fails",
                self._with(s, w, (o, 99, 0, 0, 0, 0, 0, FAILED, 0), NOTHING_HELD),
            )

    def _end(self, s: State, w: int) -> Iterator[Step]:
        lease = s[5][self.held_at + w][0]
        a = self.next_op(w, s[5][w], s[5][w][7])
        status, _ = s[3][lease - 1]
        others = self.opt.get("share") and any(
            s[5][v][1] != 99 and s[5][self.held_at + v][0] == lease
            for v in range(self.nw)
            if v != w
        )
        if status != ACTIVE or (others and "end_in_use" not in self.mut):
            yield f"writer{w} leaves lease{lease - 1}", self._with(s, w, a, NOTHING_HELD)
        else:
            leases = put(s[3], lease - 1, (ENDED, 0))
            yield f"writer{w} ends lease{lease - 1}", self._with(s, w, a, NOTHING_HELD, leases)

    def _begin(self, s: State, w: int) -> Iterator[Step]:
        """A later operation: the lease was ended when idle, or is kept."""
        lease, version, _ = s[5][self.held_at + w]
        again = self._anew(w, s[5][w])
        if not lease:
            yield from self._take(self._with(s, w, put(again, 1, 0), NOTHING_HELD), w)
            return
        yield f"writer{w} was idle", self._with(s, w, put(again, 1, GIVE_UP), (lease, version, 0))
        if "extend_last" in self.mut or self._is_named(s, w):
            yield from self._read(s, w)
        else:
            yield from self._extend(s, w)

    def _is_named(self, s: State, w: int) -> bool:
        """Whether the kept lease names the cell of the operation that begins."""
        cell = self.scripts[w][s[5][w][0]][-1]
        lease = s[5][self.held_at + w][0]
        return bool(s[3][lease - 1][1] >> cell & 1) or "no_extension" in self.mut

    def _extend(self, s: State, w: int) -> Iterator[Step]:
        a = s[5][w]
        held = s[5][self.held_at + w]
        status, named = s[3][held[0] - 1]
        cell = self.scripts[w][a[0]][-1]
        if status == ACTIVE or "extension_wins" in self.mut:
            leases = put(s[3], held[0] - 1, (ACTIVE, named | 1 << cell))
            after = self._work(w, a, held) if "extend_last" in self.mut else put(a, 1, READ)
            yield f"writer{w} extends lease to {CN[cell]}", self._with(s, w, after, held, leases)
        else:
            again = put(self._anew(w, a), 1, 0)
            yield f"writer{w} cannot extend: lost", self._with(s, w, again, (0, *held[1:]))

    def _read(self, s: State, w: int) -> Iterator[Step]:
        """The gc cell is read under the kept lease."""
        a, gc = s[5][w], s[2]
        lease, version, confirmed = s[5][self.held_at + w]
        condemned = a[2]
        if "read_once" not in self.mut:
            changed = gc[0] != version
            if changed and gc[1] == 1 and "keep_open" not in self.mut:
                giving = put(self._anew(w, a), 1, GIVE_UP)
                held = (lease, version, confirmed)
                yield f"writer{w} sees an open plan", self._with(s, w, giving, held)
                return
            condemned = gc[2] if gc[1] == 1 else gc[4] if gc[1] == 2 else 0
            if changed and "keep_confirmed" not in self.mut:
                confirmed = 0
            version = gc[0]
        held = (lease, version, confirmed)
        a = put(a, 2, condemned)
        after = self._work(w, a, held) if self._is_named(s, w) else put(a, 1, EXTEND)
        yield f"writer{w} reads gc cell again", self._with(s, w, after, held)

    def _work(self, w: int, a: State, held: State) -> State:
        kind = self.scripts[w][a[0]][0]
        if kind == "commit":
            return put(a, 1, 4) if held[2] else put(put(a, 8, 1), 1, 2)
        return put(a, 1, 9 if kind == "live" else 1)

    def _anew(self, w: int, a: State) -> State:
        """Under a new lease packs already written are confirmed, and never written again."""
        return put(a, 8, int(any(op[0] == "commit" for op in self.scripts[w][: a[0]])))

    def _give_up_lease(self, s: State, w: int) -> Iterator[Step]:
        a = s[5][w]
        lease, version, confirmed = s[5][self.held_at + w]
        status, _ = s[3][lease - 1]
        leases = put(s[3], lease - 1, (ENDED, 0)) if status == ACTIVE else s[3]
        kept = (0, version, confirmed)
        yield f"writer{w} ends lease{lease - 1}", self._with(s, w, put(a, 1, 0), kept, leases)


def find_violation(
    scenario: str, mutants: Sequence[str] = (), *, limit: int = 6_000_000
) -> tuple[str | None, int, list[str]]:
    """Walk through all interleavings of a scenario.

    Returns:
        What is violated (``"LIMIT"``: not all were looked at), how many states were seen, and the
        steps that lead there.
    """
    model = KeptLeaseModel(scenario, mutants)
    wrong, states, _, steps, _ = explore(model, limit, live=not mutants)
    return wrong, states, steps


def find_broken(mutants: Sequence[str], scenarios: Sequence[str], limit: int) -> bool:
    """Print what each scenario gives, until one is broken."""
    for scenario in scenarios:
        wrong, states, steps = find_violation(scenario, mutants, limit=limit)
        print(f"{scenario:20} {states:9} states  {wrong or 'holds'}", flush=True)
        if wrong and wrong != "LIMIT":
            print(*(f"    {step}" for step in steps), sep="\n")
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutant")
    parser.add_argument("--scenario")
    parser.add_argument("--all-mutants", action="store_true")
    parser.add_argument("--limit", type=int, default=6_000_000)
    given = parser.parse_args()
    scenarios = [given.scenario] if given.scenario else list(KEPT)
    if not given.all_mutants:
        sys.exit(find_broken([given.mutant] if given.mutant else [], scenarios, given.limit))
    for mutant in (*BUGS, *COURTESIES):
        print("==", mutant)
        find_broken([mutant], scenarios, given.limit)


if __name__ == "__main__":
    main()
