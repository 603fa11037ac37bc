"""What gc keeps beside what is in use, and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass

from ahstore.errors import InvalidInputError

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The keep rules of one gc.

    Attributes:
        retention: seconds for which the former heads of branches, and what was deleted, are kept,
            by the storage's clock.
        keep_last: so many former heads of each live branch are kept whatever their age.
        min_age: seconds a pack has to be old to be deleted or rewritten; for those who copy files
            into a store with other tools. The protocol needs none.
        now: no retention; and no minimum age where nobody on another machine holds a lease.
        repack: rewrite packs of which much is dead, and merge small ones.
        wait: seconds to wait for living writers.
    """

    retention: float = 30 * DAY_SECONDS
    keep_last: int = 0
    min_age: float = 3600.0
    now: bool = False
    repack: bool = True
    wait: float = 600.0

    def __post_init__(self) -> None:
        for name in ("retention", "keep_last", "min_age", "wait"):
            if getattr(self, name) < 0:
                raise InvalidInputError(f"{name} can't be less than 0", name=name)

    def cutoff(self, now: float) -> float:
        """Return the time before which what was replaced or deleted expires."""
        return float("inf") if self.now else now - self.retention


DEFAULT = Policy()
