"""Every interleaving of writers, readers, repack and gc: does anything live get lost?

    python -m tests.models.gc_model                    the protocol, every scenario
    python -m tests.models.gc_model --scenario NAME    one of them
    python -m tests.models.gc_model --mutant M[,M..]   with planted bugs (MUTANTS), until one breaks
    python -m tests.models.gc_model --all-mutants      every planted bug, one line each

It is the protocol of docs/format/gc.md as a transition system. One transition is one linearizable
storage request, or one request that arrives late. A crash is an actor that is never scheduled
again, a pause one that is scheduled late: the breadth-first search over all interleavings holds
them all. gc may declare any unfinished lease dead at any moment, rightly or wrongly. States are
exact: no lossy hash.

Chunks   x (shared), m0, m1 (the commit object of writer 0, 1)
Packs    P{x}  M0{m0}  M1{m1}  X0{x}  X1{x} (fresh copies)  R{x} (repack)
Heads    as bits: 1 = base (needs nothing), 2 = X (needs x), 4 = c0 (m0, x), 8 = c1 (m1, x); the set
         of commits in its ancestry. Other bodies: -1 tombstone, -2 fence of a new cell, -3 emptied.
State    (cells, packs, gc cell, leases, puts in flight, actors)
"""
# Names are as short as in the formulas they stand for, and a step lists its cases in one place.
# ruff: noqa: C901, E741, N803, N806, UP031, RUF059

from __future__ import annotations

import argparse
import marshal
import sys
import time
from collections import deque

B, N, D = 0, 1, 2
CN = "BND"
P, M0, M1, X0, X1, R = 1, 2, 4, 8, 16, 32
PN = {P: "P", M0: "M0", M1: "M1", X0: "X0", X1: "X1", R: "R"}
HOLDS = {P: 1, M0: 2, M1: 4, X0: 1, X1: 1, R: 1}  # pack -> chunks
TOMB, ABSENT, EMPTY = -1, -2, -3
# A lease record; GONE = removed after its fences.
NONE, ACTIVE, REVOKED, ENDED, GONE, PIN = range(6)
ACK, FAILED, UNKNOWN = 1, 2, 3

NEEDS = [((1 if v & 14 else 0) | (2 if v & 4 else 0) | (4 if v & 8 else 0)) for v in range(16)]
CHUNKS = [0] * 64
for _m in range(64):
    for _p, _c in HOLDS.items():
        if _m & _p:
            CHUNKS[_m] |= _c


def bits(m):
    return [1 << i for i in range(m.bit_length()) if m >> i & 1]


def names(m):
    return "{" + ",".join(PN[p] for p in bits(m)) + "}"


def put(t, i, v):
    return (*t[:i], v, *t[i + 1 :])


MUTANTS = {
    # rules the design leaves open or states otherwise ("as written", at its worst)
    "no_final": "each gc deletes by its own fresh look; the rescue is not agreed in the gc cell",
    "heads_only": "fresh look reads one head per cell, not every version since the mark",
    "skip_revoked": "a gc that finds a lease already revoked takes it as dealt with",
    "revoke_deletes": "revoking = deleting the lease record, before the fence",
    "end_pending": "a writer whose create has no definite answer ends his lease",
    "fail_pending": "a writer whose create has no definite answer reports failure",
    "undelete_blind": "undelete reuses the old head without looking at the plan",
    "fromid_blind": "branch from a bare id does not check the closure",
    "loser_removes": "a loser removes his own packs",
    "heartbeat": "the heartbeat overwrites the lease record itself",
    "fence_existing": "fence only cells that exist already",
    "extend_stale": "revoke is not a CAS on the lease: fences the cells listed earlier, writer may have extended",
    "pin_blind": "a reader pins and does not look at the ref again",
    "restart_trust": "a revoked writer takes a new lease and trusts what he had confirmed and written under the old one",
    # plain planted bugs
    "no_fence": "revoke without fence",
    "no_lease_check": "writer does not check his lease before create",
    "check_early": "writer checks his lease before reading the head",
    "roots_first": "gc reads the roots before it waits for leases",
    "ignore_cond": "writers ignore the condemned list",
    "no_confirm": "writer trusts a cached place without looking whether the pack is there",
    "gc_before_lease": "writer reads the gc cell before he creates the lease",
    "lease_list_first": "gc lists leases before it publishes the plan",
    "no_lease": "writers take no lease",
    "live_no_lease": "branch from a live ref takes no lease",
    "reuse_numbers": "compaction unlinks a deleted cell; numbers start again",
    "removed_is_ok": "gc removes revoked records and the writer only looks for a 'revoked' mark",
    "tidy_all": "gc removes every revoked record it sees when its plan is done, not only those it fenced itself",
    "remove_early": "a revoked record is removed before its cells are fenced",
    "fail_on_412": "a lost create is not read back by nonce (lost reply)",
}
# settings that are not bugs: ways to save requests that must stay safe
RELAX = {
    "live_gcread": "branch from a live ref reads the gc cell all the same (default: skips it)",
    "repack_blind": "fresh look trusts the packs seen at the mark: safe, the plan's CAS is on the version read before the mark",
}

#            cells (B, N, D)              packs   writers' scripts, gc rounds, options
SCEN = {
    "commit2_gc": (((1,), (), ()), P, [[("commit", B)], [("commit", B)]], [1], {}),
    "commit_async": (((1,), (), ()), P, [[("commit", B)]], [2], {"async": 1}),
    "commit2_async": (((1,), (), ()), 0, [[("commit", B)], [("commit", B)]], [], {"async": 1}),
    "commit_gc_gc": (((1,), (), ()), P, [[("commit", B)]], [1, 1], {}),
    "commit_fork": (((1,), (), ()), P, [[("commit", B)], [("fromid", N)]], [1], {}),
    "fork_gc_gc": (((1,), (), ()), P, [[("fromid", N)]], [2, 1], {}),
    "undel_gc_gc": (((1,), (), (2, -1)), P, [[("undelete", D)]], [2, 1], {}),
    "undel_live": (
        ((1,), (), (2, -1)),
        P,
        [[("undelete", D), ("delete", D)], [("live", D, N)]],
        [1],
        {},
    ),
    "undel_twice": (
        ((1,), (), (2, -1)),
        P,
        [[("undelete", D), ("delete", D), ("undelete", D)]],
        [2],
        {},
    ),
    "rename3": (
        ((1,), (), (2,)),
        P,
        [
            [
                ("live", D, N),
                ("delete", D),
                ("live", N, D),
                ("delete", N),
                ("live", D, N),
                ("delete", D),
            ]
        ],
        [1, 1],
        {},
    ),
    "live_delete": (((1,), (), (2,)), P, [[("live", D, N)], [("delete", D)]], [1, 1], {}),
    "commit_delete": (
        ((3,), (), ()),
        P,
        [[("commit", B)], [("delete", B), ("commit", B)]],
        [1],
        {},
    ),
    "repack_commit": (((1,), (), (2,)), P, [[("commit", B)]], [1, 1], {"repack": 1, "dup": 1}),
    "repack_delete": (
        ((1,), (), (2,)),
        P,
        [[("delete", D)], [("commit", B)]],
        [1],
        {"repack": 1, "dup": 1},
    ),
    "dup_gc_gc": (((1,), (), ()), P, [[("commit", B)]], [2, 1], {"dup": 1}),
    "dup_2w_gc": (((1,), (), ()), P, [[("commit", B)], [("commit", N)]], [2], {"dup": 1}),
    "undel_orphan": (((1,), (), (2, -1)), P, [[("undelete", D)]], [2, 1], {"repack": 1, "dup": 1}),
    "extend": (((1,), (), ()), P, [[("commit", B)]], [1, 1], {"extend": 1}),
    "restart": (((1,), (), ()), P, [[("commit", B)]], [2, 1], {"restart": 1}),
    "reader": (
        ((1,), (), (2,)),
        P,
        [[("delete", D), ("undelete", D), ("delete", D)]],
        [2],
        {"reader": D},
    ),
}


class Model:
    def __init__(self, scen, mutants=()):
        self.name = scen
        cells, packs, self.scripts, rounds, self.opt = SCEN[scen]
        self.mut = set(mutants)
        self.slot, nslots = {}, 0  # (writer, op, restarted) -> number of its lease record
        for w, script in enumerate(self.scripts):
            for o in range(len(script)):
                for r in range(2 if self.opt.get("restart") else 1):
                    self.slot[w, o, r] = nslots
                    nslots += 1
        self.reader_slot = nslots
        if "reader" in self.opt:
            nslots += 1
        self.nw, self.ng = len(self.scripts), len(rounds)
        # writer: (op, pc, cond, K, n, base, attempts, result, restarted)
        acts = [(0, self.first_pc(w, 0), 0, 0, 0, 0, 0, 0, 0) for w in range(self.nw)]
        # gc: (pc, i, ver, cond, vec, expired, need, leases, fin, n, val, rounds, leases it fenced itself)
        acts += [(0, 0, 0, 0, (), 0, 0, (), 0, 0, 0, r, 0) for r in rounds]
        if "reader" in self.opt:
            acts.append((0, 0, 0))
        if self.opt.get("repack"):
            acts.append((0,))
        self.init = (
            cells,
            packs,
            (0, 0, 0, (), 0, 0),
            ((NONE, 0),) * nslots,
            ((),) * self.nw,
            tuple(acts),
        )

    # ---------------------------------------------------------------- writers
    # pc 0 create lease  1 read gc cell  2 confirm reused pack  3 write packs  9 read source ref  10 extend lease
    #    4 read head     5 check lease   6 create next version  7 read back   8 end lease         99 finished
    def first_pc(self, w, o):
        op = self.scripts[w][o][0]
        if op == "delete":
            return 4  # publishes no reference: needs no lease
        if "no_lease" in self.mut or (op == "live" and "live_no_lease" in self.mut):
            return 9 if op == "live" else 1
        return 1 if "gc_before_lease" in self.mut else 0

    def cells_of(self, w, o):
        if self.opt.get("extend"):
            return 0
        op = self.scripts[w][o]
        return 1 << op[-1]

    def next_op(self, w, a, res):
        o = a[0] + 1
        if self.scripts[w][a[0]][0] == "commit":
            a = put(a, 7, res)
        if o == len(self.scripts[w]):
            return (a[0], 99, 0, 0, 0, 0, 0, a[7], 0)
        return (o, self.first_pc(w, o), 0, 0, 0, 0, 0, a[7], 0)

    def leased(self, w, a):
        return (
            self.first_pc(w, a[0]) in (0, 1)
            and "no_lease" not in self.mut
            and self.scripts[w][a[0]][0] != "delete"
        )

    def fin(self, w, a, res, pend=False):
        """Result known: on to 'end lease', or leave the lease to gc."""
        if self.scripts[w][a[0]][0] == "commit":
            a = put(a, 7, res)
        if not self.leased(w, a) or pend:
            return self.next_op(w, a, res)
        return put(a, 1, 8)

    def writer(self, s, w):
        cells, packs, gc, leases, pend, acts = s
        a = acts[w]
        o, pc, cond, K, n, base, att, res, rst = a
        if pc == 99:
            return
        op = self.scripts[w][o]
        kind = op[0]
        dst = op[-1]
        c = CN[dst]
        mut, who = self.mut, "writer%d" % w
        sl = self.slot.get((w, o, rst), None)
        Mi, Xi, bit = M0 << w, X0 << w, 4 << w

        def go(na, **k):
            return (
                k.get("cells", cells),
                k.get("packs", packs),
                k.get("gc", gc),
                k.get("leases", leases),
                k.get("pend", pend),
                put(acts, w, na),
            )

        def at(p, **k):
            return (
                o,
                p,
                k.get("cond", cond),
                k.get("K", K),
                k.get("n", n),
                k.get("base", base),
                k.get("att", att),
                res,
                rst,
            )

        if pc == 0:
            L = put(leases, sl, (ACTIVE, self.cells_of(w, o)))
            if "gc_before_lease" in mut and kind != "live":
                nxt = 2 if K else (4 if kind == "undelete" else 3)
            else:
                nxt = 9 if kind == "live" and "live_gcread" not in mut else 1
            yield who + " creates lease naming " + c, go(at(nxt), leases=L)
        elif pc == 1:
            cd = (
                0 if "ignore_cond" in mut else (gc[2] if gc[1] == 1 else gc[4] if gc[1] == 2 else 0)
            )

            def after(p, K=0):
                return at(0, cond=cd, K=K) if "gc_before_lease" in mut else at(p, cond=cd, K=K)

            lab = who + f" reads gc cell (condemned {names(cd)})"
            if kind == "undelete":
                if gc[1] and gc[5] >> dst & 1 and "undelete_blind" not in mut:
                    yield lab + f", {c} expired: gives up", go(self.fin(w, a, FAILED))
                else:
                    yield lab, go(after(4))
            elif kind == "live":
                yield lab, go(at(9, cond=cd))
            elif rst:  # second lease: all is confirmed anew, own packs too
                yield lab, go(at(2, cond=cd))
            else:
                cand = (
                    [P]
                    if "no_confirm" in mut
                    else [P]
                    + (
                        [X0 << (1 - w)]
                        if self.nw > 1 and self.scripts[1 - w][0][0] == "commit"
                        else []
                    )
                    + ([R] if self.opt.get("repack") else [])
                )
                for k in cand:
                    if not k & cd:
                        yield lab + ", will reuse " + PN[k], go(after(2, k))
                if kind == "commit":
                    yield lab + ", will write x itself", go(after(3))
        elif pc == 2:
            want = (K or Xi) | (Mi if rst else 0)
            ok = ("no_confirm" in mut or packs & want == want) and not want & cond
            if kind == "fromid" and "fromid_blind" in mut:
                ok = True
            lab = "{} confirms {}: {}".format(
                who, names(want), "present" if ok else "absent or condemned"
            )
            if kind == "fromid":
                yield lab, go(at(4, base=2) if ok else self.fin(w, a, FAILED))
            elif rst:
                yield lab, go(at(4) if ok else self.fin(w, a, FAILED))
            else:
                yield lab, go(at(3) if ok else at(3, K=0))
        elif pc == 3:
            new = Mi | (0 if K else Xi)
            yield (
                who + " writes " + names(new),
                go(at(10 if self.opt.get("extend") else 4), packs=packs | new),
            )
        elif pc == 10:
            if leases[sl][0] == ACTIVE:
                yield (
                    who + " extends lease to name " + c,
                    go(at(4), leases=put(leases, sl, (ACTIVE, 1 << dst))),
                )
            else:
                yield who + " cannot extend: revoked; fails", go(self.fin(w, a, FAILED))
        elif pc == 9:
            v = cells[op[1]]
            if v and v[-1] >= 0:
                yield f"{who} reads source {CN[op[1]]} (live)", go(at(4, base=v[-1]))
            else:
                yield who + " reads source: not there; gives up", go(self.fin(w, a, FAILED))
        elif pc == 4:
            v = cells[dst]
            head = v[-1] if v else ABSENT
            nb = base
            nxt = 6 if "no_lease_check" in mut or not self.leased(w, a) else 5
            if "check_early" in mut and nxt == 5:
                if leases[sl][0] != ACTIVE:
                    yield who + " lease revoked; fails", go(self.fin(w, a, FAILED))
                    return
                nxt = 11
            if kind == "commit":
                nb = head if head >= 0 else 1
            elif kind == "undelete":
                old = [b for b in v if b not in (TOMB, ABSENT)]
                nb = old[-1] if head == TOMB and old else EMPTY
            elif kind == "delete":
                nb = TOMB if head >= 0 else EMPTY
            elif head >= 0:
                nb = EMPTY  # name taken
            if nb == EMPTY:
                yield f"{who} reads {c}: nothing to do", go(self.fin(w, a, FAILED))
            elif nxt == 11:
                yield who + " checks lease: fine", go(at(11))
            else:
                yield (
                    "%s reads head of %s (version %d)" % (who, c, len(v) - 1),
                    go(at(nxt, n=len(v), base=nb)),
                )
        elif pc == 11:  # mutant check_early: head read after the check
            v = cells[dst]
            head = v[-1] if v else ABSENT
            nb = (head if head >= 0 else 1) if kind == "commit" else base
            yield f"{who} reads head of {c}", go(at(6, n=len(v), base=nb))
        elif pc == 5:
            st = leases[sl][0]
            ok = st == ACTIVE or ("removed_is_ok" in mut and st == GONE)
            if ok:
                yield who + " checks lease: active", go(at(6))
            elif self.opt.get("restart") and not rst and kind == "commit":
                na = (o, 0, cond, K, 0, 0, 0, res, 1)
                if "restart_trust" in mut:  # new lease, then straight back to the head
                    L = put(leases, self.slot[w, o, 1], (ACTIVE, 1 << dst))
                    yield (
                        who + " revoked; takes a new lease, trusts what it has",
                        go(put(na, 1, 4), leases=L),
                    )
                else:
                    yield who + " checks lease: revoked; starts over", go(na)
            else:
                yield who + " checks lease: revoked; fails", self.give_up(s, w, a)
        elif pc == 6:
            val = base | bit if kind == "commit" else base
            if len(cells[dst]) == n:
                yield (
                    "%s creates %s/%d" % (who, c, n),
                    go(
                        self.fin(w, a, ACK),
                        cells=put(cells, dst, cells[dst] + (val,)),
                        pend=put(pend, w, ()),
                    ),
                )
            elif self.opt.get("async") and kind == "commit" and "fail_on_412" not in mut:
                yield "%s loses %s/%d" % (who, c, n), go(at(7))
            else:
                yield from self.lost(s, w, a, who, c)
            if self.opt.get("async") and kind == "commit" and not pend[w] and att < 2:
                yield (
                    "%s sends create %s/%d, no answer" % (who, c, n),
                    go(
                        at(6 if "fail_on_412" in mut else 7, att=att + 1),
                        pend=put(pend, w, (dst, n, val)),
                    ),
                )
        elif pc == 7:
            v = cells[dst]
            if len(v) > n:
                if v[n] >= 0 and v[n] & bit and not (n and v[n - 1] >= 0 and v[n - 1] & bit):
                    yield "%s reads back %s/%d: its own" % (who, c, n), go(self.fin(w, a, ACK))
                else:
                    yield from self.lost(s, w, a, who, c)
            else:
                lab = "%s reads back %s/%d: not there yet; " % (who, c, n)
                if att < 2:
                    yield lab + "sends again", go(at(6, att=att + 1))
                if "fail_pending" in mut:
                    yield (
                        lab + "reports failure",
                        go(self.fin(w, a, FAILED, "end_pending" not in mut)),
                    )
                else:
                    yield (
                        lab + "reports 'outcome unknown'",
                        go(self.fin(w, a, UNKNOWN, "end_pending" not in mut)),
                    )
        elif pc == 8:
            st, m = leases[sl]
            yield (
                who + " ends lease",
                go(
                    self.next_op(w, a, res),
                    leases=put(leases, sl, (ENDED, 0)) if st == ACTIVE else leases,
                ),
            )

    def give_up(self, s, w, a):
        cells, packs, gc, leases, pend, acts = s
        if "loser_removes" in self.mut:
            packs &= ~((M0 | X0) << w)
        return (cells, packs, gc, leases, pend, put(acts, w, self.fin(w, a, FAILED)))

    def lost(self, s, w, a, who, c):
        if a[6] < 2 and not (self.nw > 1 and a[6] >= 1 and not self.opt.get("async")):
            yield (
                who + " lost the race; tries again",
                (
                    *s[:5],
                    put(
                        s[5],
                        w,
                        (
                            *a[:1],
                            9 if self.scripts[w][a[0]][0] == "live" else 4,
                            *a[2:6],
                            a[6] + 1,
                            *a[7:],
                        ),
                    ),
                ),
            )
        else:
            yield who + " lost the race; reports failure", self.give_up(s, w, a)

    # ---------------------------------------------------------------- gc
    # pc 0 read gc cell  1 mark, cell by cell  2 list packs  3 publish plan  4 list leases  5 wait/revoke each
    #    6,7 fence each cell named  8 fresh look, cell by cell  9 list packs  10 publish final list  11 empty expired bodies
    #    12 delete packs  13 publish done  14 remove records of revoked leases   99 finished
    def droppable(self, present, need, cond):
        """The part of cond that may go: every needed chunk keeps a copy in a pack that is present and stays."""
        keep = present & ~cond
        for ch in bits(need & ~CHUNKS[keep]):
            for p in bits(present & cond):
                if HOLDS[p] & ch and not CHUNKS[keep] & ch:
                    keep |= p
        return cond & ~keep

    def gcstep(self, s, i):
        cells, packs, gc, leases, pend, acts = s
        a = acts[i]
        pc, k, ver, cond, vec, exp, need, lst, fin, n, val, rounds, mine = a
        if pc == 99:
            return
        mut, who, nc = self.mut, "gc%d" % (i - self.nw), len(cells)

        def go(na, **kw):
            return (
                kw.get("cells", cells),
                kw.get("packs", packs),
                kw.get("gc", gc),
                kw.get("leases", leases),
                pend,
                put(acts, i, na),
            )

        def at(p, k=0, **kw):
            return (
                p,
                k,
                kw.get("ver", ver),
                kw.get("cond", cond),
                kw.get("vec", vec),
                kw.get("exp", exp),
                kw.get("need", need),
                kw.get("lst", lst),
                kw.get("fin", fin),
                kw.get("n", 0),
                kw.get("val", 0),
                rounds,
                kw.get("mine", mine),
            )

        fresh, end = (
            (0, 0, 0, 0, (), 0, 0, (), 0, 0, 0, rounds - 1, 0),
            (99, 0, 0, 0, (), 0, 0, (), 0, 0, 0, 0, 0),
        )
        again = fresh if rounds > 1 else end

        def live_leases():
            return tuple(
                (j, m)
                for j, (st, m) in enumerate(leases)
                if st == ACTIVE or (st == REVOKED and "skip_revoked" not in mut)
            )

        def pins():
            return [m for st, m in leases if st == PIN]

        def rest(c):
            """Return what is still to be fenced of a lease once cell ``c`` is."""
            left = lst[0][1] & ~(1 << c)
            return ((lst[0][0], left),) if left and "fence_one" not in mut else ()

        if pc == 0:
            v, ph, cd, ve, fi, ex = gc
            if ph == 0:
                yield who + " reads gc cell: no open plan", go(at(1, ver=v))
            elif ph == 1:
                yield (
                    who + " reads gc cell: takes over open plan " + names(cd),
                    go(at(8 if "roots_first" in mut else 4, ver=v, cond=cd, vec=ve, exp=ex)),
                )
            else:
                yield (
                    who + " reads gc cell: takes over final list " + names(fi),
                    go(at(11, ver=v, fin=fi, vec=ve, exp=ex)),
                )
        elif pc == 1:
            v = cells[k]
            h = v[-1] if v else ABSENT
            na = {
                "need": need | (max(h, 0)),
                "vec": (*vec, len(v)),
                "exp": exp | ((1 << k) if h == TOMB else 0),
            }
            yield f"{who} marks from {CN[k]}", go(at(1, k + 1, **na) if k + 1 < nc else at(2, **na))
        elif pc == 2:
            for m in pins():
                need |= m
            nd = NEEDS[need]
            cd = sum(p for p in bits(packs) if not HOLDS[p] & nd)
            if self.opt.get("dup"):
                cd |= self.droppable(packs, nd, packs)
            lab = f"{who} lists packs, would condemn {names(cd)}"
            # 'packs seen' is kept in fin for the mutant that trusts it
            if not cd and not exp:
                yield lab, go(again)
            elif "lease_list_first" in mut:
                yield (
                    lab,
                    go(
                        at(
                            3,
                            cond=cd,
                            lst=live_leases(),
                            need=0,
                            fin=packs if "repack_blind" in mut else 0,
                        )
                    ),
                )
            else:
                yield lab, go(at(3, cond=cd, need=0, fin=packs if "repack_blind" in mut else 0))
        elif pc == 3:
            if gc[0] == ver:
                g = (ver + 1, 1, cond, vec, 0, exp)
                nxt = 8 if "roots_first" in mut else 5 if "lease_list_first" in mut else 4
                yield (
                    who + " publishes plan: condemned " + names(cond),
                    go(at(nxt, ver=ver + 1, need=need if nxt != 8 else 0), gc=g),
                )
            else:
                yield who + " lost the gc cell", go((0, *end[1:11], rounds, mine))
        elif pc == 4:
            nd = need
            for m in pins():
                nd |= m
            yield who + " lists leases", go(at(5, lst=live_leases(), need=nd))
        elif pc == 5:
            if not lst:
                yield from self.gcstep(
                    (
                        cells,
                        packs,
                        gc,
                        leases,
                        pend,
                        put(acts, i, at(9 if "roots_first" in mut else 8)),
                    ),
                    i,
                )
                return
            j, listed = lst[0]
            st, m = leases[j]
            if st in (ENDED, GONE):
                yield "%s sees lease%d ended" % (who, j), go(at(5, lst=lst[1:]))
            elif st == REVOKED:
                yield (
                    "%s sees lease%d revoked" % (who, j),
                    go(at(6, lst=((j, m), *lst[1:])) if m else at(5, lst=lst[1:])),
                )
            else:
                if "extend_stale" in mut:
                    m = listed
                to = GONE if "revoke_deletes" in mut or "remove_early" in mut else REVOKED
                skip = "no_fence" in mut or not m
                yield (
                    "%s revokes lease%d" % (who, j),
                    go(
                        at(5, lst=lst[1:]) if skip else at(6, lst=((j, m), *lst[1:])),
                        leases=put(leases, j, (to, leases[j][1])),
                    ),
                )
        elif pc == 6:
            c = lst[0][1].bit_length() - 1
            v = cells[c]
            if not v and "fence_existing" in mut:
                yield (
                    f"{who}: {CN[c]} does not exist, no fence",
                    go(at(6 if rest(c) else 5, lst=rest(c) + lst[1:])),
                )
            else:
                yield (
                    f"{who} reads {CN[c]} to fence it",
                    go(at(7, lst=lst, n=len(v), val=v[-1] if v else ABSENT)),
                )
        elif pc == 7:
            c = lst[0][1].bit_length() - 1
            more = rest(c)
            na = (
                at(6, lst=more + lst[1:])
                if more
                else at(5, lst=lst[1:], mine=mine | 1 << lst[0][0])
            )
            if len(cells[c]) == n:
                yield (
                    "%s fences %s/%d" % (who, CN[c], n),
                    go(na, cells=put(cells, c, cells[c] + (val,))),
                )
            else:
                yield "%s: %s/%d is taken, fence enough" % (who, CN[c], n), go(na)
        elif pc == 8:
            v = cells[k]
            seen = v[-1:] if "heads_only" in mut else v[max(vec[k] - 1, 0) :]
            for b in seen:
                if b >= 0:
                    need |= b
            nxt = (
                at(8, k + 1, need=need)
                if k + 1 < nc
                else at(4 if "roots_first" in mut else 9, need=need)
            )
            yield f"{who} looks afresh at {CN[k]}", go(nxt)
        elif pc == 9:
            present = fin if "repack_blind" in mut and fin else packs
            fi = self.droppable(present, NEEDS[need], cond & packs)
            yield (
                who + " lists packs, would delete " + names(fi),
                go(at(11 if "no_final" in mut else 10, fin=fi)),
            )
        elif pc == 10:
            if gc[0] == ver:
                yield (
                    who + " publishes final list " + names(fin),
                    go(at(11, ver=ver + 1), gc=(ver + 1, 2, 0, vec, fin, exp)),
                )
            else:
                yield who + " lost the gc cell", go((0, *end[1:11], rounds, mine))
        elif pc == 11:
            if not exp or "undelete_blind" in mut:
                yield from self.gcstep((cells, packs, gc, leases, pend, put(acts, i, at(12))), i)
                return
            c = bits(exp)[0].bit_length() - 1
            v = cells[c]
            nv = tuple(EMPTY if q < vec[c] and b >= 0 else b for q, b in enumerate(v))
            yield (
                f"{who} empties expired bodies of {CN[c]}",
                go(at(11, exp=exp & ~(1 << c)), cells=put(cells, c, nv)),
            )
        elif pc == 12:
            d = fin
            if not d:
                yield from self.gcstep((cells, packs, gc, leases, pend, put(acts, i, at(13))), i)
                return
            p = bits(d)[0]
            yield f"{who} deletes {PN[p]}", go(at(12, fin=fin & ~p), packs=packs & ~p)
        elif pc == 13:
            if gc[0] == ver:
                yield who + " publishes 'done'", go(at(14), gc=(ver + 1, 0, 0, (), 0, 0))
            else:
                yield who + " finds it done", go(again)
        elif pc == 14:
            # only what it fenced itself: a slower gc may have revoked another one a moment ago and not fenced it yet
            L = tuple(
                (GONE, 0) if st == REVOKED and (mine >> j & 1 or "tidy_all" in mut) else (st, m)
                for j, (st, m) in enumerate(leases)
            )
            yield who + " removes records of revoked leases", go(again, leases=L)

    # ---------------------------------------------------------------- reader, repack, network
    def others(self, s):
        cells, packs, gc, leases, pend, acts = s
        for w in range(self.nw):
            if pend[w]:
                c, n, v = pend[w]
                if len(cells[c]) == n:
                    yield (
                        "late create of writer%d arrives: %s/%d" % (w, CN[c], n),
                        (put(cells, c, cells[c] + (v,)), packs, gc, leases, put(pend, w, ()), acts),
                    )
            if "heartbeat" in self.mut and acts[w][1] in range(1, 9):
                a = acts[w]
                sl = self.slot.get((w, a[0], a[8]))
                if sl is not None and leases[sl][0] == REVOKED:
                    yield (
                        "writer%d's heartbeat overwrites its lease" % w,
                        (cells, packs, gc, put(leases, sl, (ACTIVE, leases[sl][1])), pend, acts),
                    )
        if "reuse_numbers" in self.mut:
            for c, v in enumerate(cells):
                if v and v[-1] == TOMB:
                    yield (
                        f"compaction unlinks {CN[c]}",
                        (put(cells, c, ()), packs, gc, leases, pend, acts),
                    )
        x = self.nw + self.ng
        if "reader" in self.opt:
            pc, n, v = acts[x]
            c = self.opt["reader"]
            cv = cells[c]
            sl = self.reader_slot
            x += 1
            if pc == 0 and cv and cv[-1] >= 0:
                yield (
                    "reader reads " + CN[c],
                    (cells, packs, gc, leases, pend, put(acts, x - 1, (1, len(cv), cv[-1]))),
                )
            elif pc == 1:
                yield (
                    "reader pins",
                    (
                        cells,
                        packs,
                        gc,
                        put(leases, sl, (PIN, v)),
                        pend,
                        put(acts, x - 1, (3 if "pin_blind" in self.mut else 2, n, v)),
                    ),
                )
            elif pc == 2:
                ok = cv[-1] == v
                yield (
                    "reader looks again: " + ("live, pinned" if ok else "gone, typed error"),
                    (
                        cells,
                        packs,
                        gc,
                        leases if ok else put(leases, sl, (ENDED, 0)),
                        pend,
                        put(acts, x - 1, (3 if ok else 4, n, v)),
                    ),
                )
            elif pc == 3:
                yield (
                    "reader ends",
                    (
                        cells,
                        packs,
                        gc,
                        put(leases, sl, (ENDED, 0)),
                        pend,
                        put(acts, x - 1, (4, 0, 0)),
                    ),
                )
        if self.opt.get("repack") and acts[x] == (0,) and packs & P:
            yield (
                "repack writes R with P's live chunks",
                (cells, packs | R, gc, leases, pend, put(acts, x, (1,))),
            )

    def steps(self, s):
        for w in range(self.nw):
            yield from self.writer(s, w)
        for i in range(self.nw, self.nw + self.ng):
            yield from self.gcstep(s, i)
        yield from self.others(s)

    def norm(self, s):
        """Forget what can matter no more: a late create whose number is taken."""
        cells, packs, gc, leases, pend, acts = s
        for w, q in enumerate(pend):
            if q and len(cells[q[0]]) > q[1]:
                pend = put(pend, w, ())
        return (cells, packs, gc, leases, pend, acts)

    # ---------------------------------------------------------------- what must hold
    def bad(self, s):
        cells, packs, gc, _leases, _pend, acts = s
        have = CHUNKS[packs]
        for c, v in enumerate(cells):
            if not v:
                continue
            if v[-1] >= 0 and NEEDS[v[-1]] & ~have:
                return f"LOSS: live head of {CN[c]} needs a chunk that is gone"
            if (
                v[-1] == TOMB and not gc[1] and not self.mut & {"undelete_blind", "heads_only"}
            ):  # deleted, not expired: still owed
                old = [b for b in v if b not in (TOMB, ABSENT)]
                if old and old[-1] >= 0 and NEEDS[old[-1]] & ~have:
                    return f"LOSS: retained history of {CN[c]} is broken"
        for w in range(self.nw):
            res, bit = acts[w][7], 4 << w
            if not res:
                continue
            for _o, op in enumerate(self.scripts[w]):
                if op[0] != "commit":
                    continue
                v = cells[op[-1]]
                if res == ACK:
                    last = [b for b in v if b not in (TOMB, ABSENT)][-1:]
                    dropped = any(x == TOMB for x in v)
                    if (not last or (last[0] >= 0 and not last[0] & bit)) and not dropped:
                        return "LOST COMMIT: writer%d was acknowledged" % w
                if res == FAILED and any(b >= 0 and b & bit for b in v):
                    return "GHOST: writer%d was told 'failed', its commit is there" % w
        if "reader" in self.opt:
            r = acts[self.nw + self.ng]
            if r[0] == 3 and NEEDS[r[2]] & ~have:
                return "LOSS: pinned reader lost a chunk"
        return None

    def reclaims(self, s):
        """From here one gc alone, everyone else dead: does all rubbish go?"""
        cells, packs, gc, leases, _pend, _acts = s
        leases = tuple((GONE, 0) if st == PIN else (st, m) for st, m in leases)
        solo = Model.__new__(Model)
        solo.__dict__.update(self.__dict__)
        solo.nw, solo.ng = 0, 1
        s = (cells, packs, gc, leases, (), ((0, 0, 0, 0, (), 0, 0, (), 0, 0, 0, 3, 0),))
        for _ in range(400):
            nxt = next(solo.gcstep(s, 0), None)
            if nxt is None:
                break
            s = nxt[1]
        need = 0
        for v in s[0]:
            if v and v[-1] >= 0:
                need |= NEEDS[v[-1]]
        return (
            s[5][0][0] == 99
            and all(HOLDS[p] & need for p in bits(s[1]))
            and not need & ~CHUNKS[s[1]]
        )


def explore(m, limit=6_000_000, live=True, quiet=False):
    t0, s0 = time.time(), m.init

    def key(s):
        return marshal.dumps(s, 2)

    k0 = key(s0)
    seen = {k0: None}
    todo = deque([s0])
    trans = 0
    while todo:
        s = todo.popleft()
        ks = key(s)
        if live and not (m.mut) and len(seen) % 7 == 0 and not m.reclaims(s):
            return (
                "STUCK: rubbish stays",
                len(seen),
                trans,
                trace(m, seen, ks, key),
                time.time() - t0,
            )
        for _lab, t in m.steps(s):
            trans += 1
            t = m.norm(t)
            kt = key(t)
            if kt in seen:
                continue
            seen[kt] = ks
            why = m.bad(t)
            if why:
                return why, len(seen), trans, trace(m, seen, kt, key), time.time() - t0
            todo.append(t)
        if len(seen) > limit:
            return "LIMIT", len(seen), trans, [], time.time() - t0
    return None, len(seen), trans, [], time.time() - t0


def trace(m, seen, k, key):
    path = [k]
    while seen[path[-1]] is not None:
        path.append(seen[path[-1]])
    out = []
    for a, b in zip(path[::-1], path[::-1][1:], strict=False):
        out.append(next(l for l, t in m.steps(marshal.loads(a)) if key(m.norm(t)) == b))
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mutant", default="")
    ap.add_argument("--scenario")
    ap.add_argument("--all-mutants", action="store_true")
    ap.add_argument("--limit", type=int, default=6_000_000)
    ap.add_argument("--trace", action="store_true")
    ap.add_argument("--part", default="0/1")
    ap.add_argument("--first", action="store_true")
    o = ap.parse_args()
    part, parts = map(int, o.part.split("/"))
    scens = [o.scenario] if o.scenario else list(SCEN)
    muts = [x for x in o.mutant.split(",") if x]
    for x in muts:
        assert x in MUTANTS or x in RELAX, "mutants: " + " ".join(MUTANTS)
    if o.all_mutants:
        for x in list(MUTANTS)[part::parts]:
            hit, n = None, 0
            for sc in scens:
                r = explore(Model(sc, [x]), min(o.limit, 1_500_000), live=False)
                n += r[1]
                if r[0] and r[0] != "LIMIT" and (hit is None or len(r[3]) < len(hit[1][3])):
                    hit = (sc, r)
                if hit and o.first:
                    break
            print(
                "%-17s %s  [%d states]"
                % (
                    x,
                    "caught in %s, %d steps: %s" % (hit[0], len(hit[1][3]), hit[1][0])
                    if hit
                    else "NOT CAUGHT",
                    n,
                ),
                flush=True,
            )
            if hit and o.trace:
                print("    " + "; ".join(hit[1][3]), flush=True)
        return
    total, bad = 0, 0
    for sc in scens[part::parts]:
        why, n, tr, path, dt = explore(Model(sc, muts), o.limit)
        total += n
        bad += bool(why)
        print(
            "%-14s %9d states %10d transitions %6.1f s  %s" % (sc, n, tr, dt, why or "holds"),
            flush=True,
        )
        for l in path:
            print("      " + l)
        if why and muts and not o.scenario:
            break
    print("total %d states: %s" % (total, "BROKEN" if bad else "all hold"))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
