"""M1: the real code of writers, readers and gc, in every order of few switches, and at random."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.upkeep.scenes import (
    Scene,
    busy,
    collector,
    commit,
    deleter,
    evaluator,
    forker,
    from_id,
    merger,
    reader,
    undeleter,
)
from tests.upkeep.schedules import Random, Schedule

A, B = commit("own0"), commit("own1")

SCENES: dict[str, tuple[Callable, ...]] = {
    "commit-gc": (A, collector),
    "commit-commit-gc": (A, B, collector),
    "commit-gc-gc": (A, collector, collector),
    "gc-gc": (collector, collector),
    "delete-gc": (deleter, collector),
    "delete-fork-gc": (deleter, forker, collector),
    "fork-from-id-gc": (from_id, collector),
    "fork-from-id-gc-gc": (from_id, collector, collector),
    "reader-delete-gc": (reader, deleter, collector),
    "undelete-gc": (undeleter, collector),
    "undelete-gc-gc": (undeleter, collector, collector),
    "merge-gc": (merger, collector),
    "commit-merge-gc": (A, merger, collector),
    "busy-gc": (busy, collector),
    "evaluate-gc": (evaluator, collector),
    "evaluate-delete-gc": (evaluator, deleter, collector),
}


def steps_of(*works: Callable) -> list[int]:
    """Return how many steps each actor takes when they run one after the other."""
    scene = Scene(*works)
    scene.play(Schedule(()))
    return [actor.steps for actor in scene.actors]


@pytest.mark.parametrize(
    "name",
    ["commit-gc", "fork-from-id-gc", "gc-gc", "delete-gc", "undelete-gc", "merge-gc", "busy-gc"],
)
def test_every_order_with_one_switch(name: str) -> None:
    works = SCENES[name]
    for first, steps in enumerate(steps_of(*works)):
        for at in range(1, steps + 1):
            other = 1 - first
            Scene(*works).play(Schedule([(first, at), (other, 1_000)]))


@pytest.mark.parametrize("name", SCENES)
def test_orders_at_random(name: str) -> None:
    for seed in range(12):
        Scene(*SCENES[name]).play(Random(seed, kill=0.3 if seed % 2 else 0.0))


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_many_orders_at_random(name: str) -> None:
    for seed in range(1000, 2000):
        Scene(*SCENES[name]).play(Random(seed, kill=0.3 if seed % 2 else 0.0))


@pytest.mark.long
@pytest.mark.parametrize("name", ["commit-gc", "fork-from-id-gc"])
def test_every_order_with_two_switches(name: str) -> None:
    works = SCENES[name]
    steps = steps_of(*works)
    for first in (0, 1):
        for at in range(1, steps[first] + 1):
            for then in range(1, steps[1 - first] + 1):
                Scene(*works).play(Schedule([(first, at), (1 - first, then), (first, 1_000)]))
