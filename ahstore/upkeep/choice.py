"""Which packs go, and which are worth writing anew: judged by a census and a policy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ahstore.packs.place import FAMILIES, pack_key
from ahstore.storage.at_once import each
from ahstore.storage.contract import MissingError
from ahstore.upkeep.census import Census
from ahstore.upkeep.policy import Policy
from ahstore.upkeep.report import GcReport
from ahstore.versions.repository import Repository

WASTE_SHARE = 0.02
"""Packs are rewritten until at most so much of what is kept is unused."""

SMALL_BYTES = 8 * 2**20
MERGE_FROM = 16
"""So many small packs of a family are worth one that holds them all."""

MAX_CONDEMNED = 10_000
"""Packs in one plan, which every writer has to read."""


@dataclass(slots=True)
class Choice:
    """What one plan is to do.

    Attributes:
        condemned: numbers (in the census) of packs of which nothing is needed.
        rewrite: numbers of packs to be written anew and then condemned.
        more: whether the plan could not take all that is to be done.
    """

    condemned: list[int] = field(default_factory=list)
    rewrite: list[int] = field(default_factory=list)
    more: bool = False


def choose(
    repo: Repository, census: Census, policy: Policy, report: GcReport, *, min_age: float
) -> Choice:
    """Return what to do, and tell the report why each pack stays or goes."""
    choice = Choice()
    kept: list[int] = []
    youngest = repo.storage.now() - min_age
    spare = [n for n, pack in enumerate(census.packs) if pack.readable and not pack.owned]
    young = _young(repo, census, spare, youngest)
    for number, pack in enumerate(census.packs):
        if not pack.readable:
            report.unreadable.add(pack.size)
        elif pack.owned:
            kept.append(number)
        elif number in young:
            report.young.add(pack.size)
        else:
            (report.duplicates if pack.held else report.unneeded).add(pack.size)
            choice.condemned.append(number)
    if policy.repack:
        wanted = _wasteful(census, kept) | _small(census, kept)
        choice.rewrite = sorted(wanted - _young(repo, census, wanted, youngest))
    _limit(choice)
    _tell_rest(census, set(kept).difference(choice.rewrite), choice, report)
    return choice


def _wasteful(census: Census, kept: list[int]) -> set[int]:
    """Return the packs with most waste, so that the rest wastes little."""
    packs = census.packs
    waste = sum(packs[number].dead for number in kept)
    allowed = WASTE_SHARE * sum(packs[number].owned for number in kept)
    chosen = set()
    for number in sorted(kept, key=lambda n: packs[n].dead / packs[n].size, reverse=True):
        if waste <= allowed:
            break
        chosen.add(number)
        waste -= packs[number].dead
    return chosen


def _small(census: Census, kept: list[int]) -> set[int]:
    chosen: set[int] = set()
    for family in FAMILIES:
        small = [
            n
            for n in kept
            if census.packs[n].family == family and census.packs[n].size < SMALL_BYTES
        ]
        if len(small) >= MERGE_FROM:
            chosen.update(small)
    return chosen


def _limit(choice: Choice) -> None:
    room = MAX_CONDEMNED - len(choice.condemned)
    choice.more = room < len(choice.rewrite)
    choice.rewrite = choice.rewrite[: max(0, room)]
    choice.condemned = choice.condemned[:MAX_CONDEMNED]


def _tell_rest(census: Census, rest: set[int], choice: Choice, report: GcReport) -> None:
    for number in choice.rewrite:
        report.rewritten.add(census.packs[number].dead)
    for number in rest:
        pack = census.packs[number]
        report.live.add(pack.owned)
        if pack.dead:
            report.waste.add(pack.dead)


def _young(repo: Repository, census: Census, numbers: Collection[int], youngest: float) -> set[int]:
    """Return which of these packs are too young, or gone since: nothing is to be done about them."""

    def is_young(number: int) -> bool:
        pack = census.packs[number]
        try:
            return repo.storage.stat(pack_key(pack.family, pack.id)).mtime > youngest
        except MissingError:
            return True

    return {number for number, young in each(repo.storage, is_young, numbers) if young}
