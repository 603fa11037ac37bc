"""The protocol between those who publish and gc, as a model: no interleaving loses anything.

Whoever changes the protocol changes the model first. The long form exhausts every scenario.
"""

from __future__ import annotations

import pytest

from tests.models.gc_model import MUTANTS, SCEN, Model, explore
from tests.models.kept_lease_model import BUGS, COURTESIES, CUT_OFF, KEPT, find_violation

BASE = [name for name in SCEN if name not in KEPT]

# Small enough to exhaust in a second or two.
SMALL_BASE = ["undel_live", "commit_async", "commit2_async"]
SMALL_KEPT = ["threads", "then_undelete", "live_then_commit", "no_answer"]

# Where each planted bug shows soonest. An extension that wins over a revocation does no harm while
# the gc cell is read after it, which finds the plan: that is a second line of defence, left out.
CAUGHT_IN = {
    "no_extension": ("two_branches",),
    "extension_wins": ("two_branches", "extend_last"),
    "check_once": ("two_branches",),
    "trust_over_leases": ("two_branches",),
    "no_gc_under_new": ("two_branches",),
    "end_in_use": ("two_threads_commit",),
    "end_unresolved": ("no_answer",),
    "fence_one": ("threads",),
}


@pytest.mark.parametrize("scenario", SMALL_BASE)
def test_one_lease_an_operation_is_safe(scenario: str) -> None:
    wrong, states, *_ = explore(Model(scenario))
    assert (wrong, states > 1000) == (None, True)


@pytest.mark.parametrize("scenario", SMALL_KEPT)
def test_a_kept_lease_is_safe(scenario: str) -> None:
    wrong, states, _ = find_violation(scenario)
    assert (wrong, states > 5000) == (None, True)


@pytest.mark.parametrize("bug", BUGS)
def test_the_model_finds_planted_bugs(bug: str) -> None:
    """A model that can't fail would prove nothing."""
    scenario, *without = CAUGHT_IN[bug]
    wrong, _, steps = find_violation(scenario, [bug, *without])
    assert wrong is not None
    assert wrong.startswith("LOSS")
    assert len(steps) > 10


@pytest.mark.parametrize("courtesy", COURTESIES)
def test_what_only_keeps_gc_from_waiting_is_not_needed_for_safety(courtesy: str) -> None:
    assert find_violation("then_live", [courtesy])[0] is None


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", BASE)
def test_one_lease_an_operation_in_every_scenario(scenario: str) -> None:
    assert explore(Model(scenario))[0] is None


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bugs_in_every_scenario(mutant: str) -> None:
    found = (explore(Model(name, [mutant]), 1_500_000, live=False)[0] for name in BASE)
    assert any(wrong not in (None, "LIMIT") for wrong in found)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("courtesy", [None, *COURTESIES])
@pytest.mark.parametrize("scenario", KEPT)
def test_a_kept_lease_in_every_scenario(scenario: str, courtesy: str | None) -> None:
    limit = CUT_OFF.get(scenario)
    found = find_violation(scenario, [courtesy] if courtesy else [], limit=limit or 6_000_000)
    assert found[0] is None or (limit and found[0] == "LIMIT")
