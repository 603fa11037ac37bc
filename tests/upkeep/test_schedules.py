"""M1: the real code of writers, readers and gc, in every order of few switches, and at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from tests.upkeep.scenes import (
    Scene,
    busy,
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
from tests.upkeep.schedules import Actor, KilledError, Random, Schedule

A, B = commit("own0"), commit("own1")
TO_KEEP = commit("own0", "keep")

SCENES: dict[str, tuple[Callable, ...]] = {
    "commit-commit": (A, B),
    "commit-gc": (A, collector),
    "commit-commit-gc": (A, B, collector),
    "commit-gc-gc": (A, collector, collector),
    "commit-merge": (A, merger),
    "commit-repack": (A, collector),
    "commit-repack-delete": (A, collector, deleter),
    "gc-gc": (collector, collector),
    "consolidation-gc": (consolidator, collector),
    "consolidation-consolidation-gc": (consolidator, consolidator, collector),
    "consolidation-commit-gc": (consolidator, A, collector),
    "delete-gc": (deleter, collector),
    "delete-commit-gc": (TO_KEEP, deleter, collector),
    "delete-commit-gc-recreation": (TO_KEEP, deleter, collector, recreator),
    "delete-fork-gc": (deleter, forker, collector),
    "fork-from-id-gc": (from_id, collector),
    "fork-from-id-gc-gc": (from_id, collector, collector),
    "reader-delete-gc": (reader, deleter, collector),
    "undelete-gc": (undeleter, collector),
    "undelete-gc-gc": (undeleter, collector, collector),
    "merge-gc": (merger, collector),
    "cherry-pick-gc": (picker, collector),
    "restore-gc": (restorer, collector),
    "copy-gc": (copier, collector),
    "commit-merge-gc": (A, merger, collector),
    "busy-gc": (busy, collector),
    "evaluate-gc": (evaluator, collector),
    "evaluate-delete-gc": (evaluator, deleter, collector),
}
LONG = {name for name, works in SCENES.items() if len(works) > 2} - {"reader-delete-gc"}
"""Of these only some of the orders with one switch are played in the short form."""


def scene(name: str) -> Scene:
    return Scene(*SCENES[name], mixed="repack" in name)


def steps_of(name: str) -> list[int]:
    """Return how many steps each actor takes when they run one after the other."""
    played = scene(name)
    played.play(Schedule(()))
    return [actor.steps for actor in played.actors]


def every_order_with_one_switch(name: str, *, step: int = 1) -> int:
    """Stop each actor before each of its steps while the others run whole; return how many."""
    played = 0
    for first, steps in enumerate(steps_of(name)):
        others = [(n, 1_000) for n in range(len(SCENES[name])) if n != first]
        for at in range(1, steps + 1, step):
            scene(name).play(Schedule([(first, at), *others]))
            played += 1
    return played


@pytest.mark.parametrize("name", SCENES)
def test_every_order_with_one_switch(name: str) -> None:
    assert every_order_with_one_switch(name, step=6 if name in LONG else 1) > 5


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(LONG))
def test_every_order_with_one_switch_of_three(name: str) -> None:
    assert every_order_with_one_switch(name) > 50


def killed_at_every_step(name: str, *, step: int = 1) -> int:
    """Kill each actor at each of its steps; the others then run whole; return how many died."""
    died = 0
    for victim, steps in enumerate(steps_of(name)):
        others = [(n, 1_000) for n in range(len(SCENES[name])) if n != victim]
        for at in range(0, steps, step):
            played = scene(name)
            played.play(Schedule([(victim, 1_000), *others], kills=[(victim, at)]))
            died += isinstance(played.actors[victim].error, KilledError)
    return died


WITH_GC = [name for name in SCENES if "gc" in name or "repack" in name]


@pytest.mark.parametrize("name", WITH_GC)
def test_killed_anywhere(name: str) -> None:
    """Whoever dies, at a delete too, loses nobody's data, and the next gc takes what he left."""
    assert killed_at_every_step(name, step=8) > 3


@pytest.mark.long
@pytest.mark.parametrize("name", WITH_GC)
def test_killed_at_every_step(name: str) -> None:
    assert killed_at_every_step(name) > 20


@dataclass
class Slandered(Schedule):
    """The first who moves is held for dead when he has made his steps."""

    def run(self, actors: Sequence[Actor]) -> None:
        """Run all actors to their ends."""
        (number, steps), *rest = self.turns
        self._move(actors, number, steps)
        storage = actors[number].storage
        assert storage is not None
        storage.slandered.add(actors[number])
        Schedule(rest).run(actors)


def test_a_slow_writer_against_compaction_and_recreation() -> None:
    """He must not win a number that was taken before: what others committed since would be lost.

    He is stopped before each of his steps; the branch is deleted, gc empties its versions and
    fences the writer's cell, the branch is made anew and committed to; then he goes on.
    """
    name = "delete-commit-gc-recreation"
    ends = set()
    for at in range(1, steps_of(name)[0] + 1):
        played = scene(name)
        played.play(Slandered([(0, at), (1, 1_000), (2, 1_000), (3, 1_000)]))
        assert played.actors[3].error is None
        ends.add(type(played.actors[0].error).__name__)
    assert ends == {"NoneType", "LeaseLostError"}


@pytest.mark.parametrize("name", SCENES)
def test_orders_at_random(name: str) -> None:
    for seed in range(12):
        scene(name).play(Random(seed, kill=0.3 if seed % 2 else 0.0))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SCENES)
def test_many_orders_at_random(name: str) -> None:
    for seed in range(1000, 2000):
        scene(name).play(Random(seed, kill=0.3 if seed % 2 else 0.0))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["commit-gc", "fork-from-id-gc", "consolidation-gc"])
def test_every_order_with_two_switches(name: str) -> None:
    steps = steps_of(name)
    for first in (0, 1):
        for at in range(1, steps[first] + 1):
            for then in range(1, steps[1 - first] + 1):
                scene(name).play(Schedule([(first, at), (1 - first, then), (first, 1_000)]))
