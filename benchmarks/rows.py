"""The rows of the table: what each one is, what it needs before it, and where it is to be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MD5SUM = "÷ md5sum"
COPY = "÷ cp+sync"


@dataclass(frozen=True, slots=True)
class Goal:
    """At most ``limit`` of a measure, such as ``seconds``, ``ms``, ``adds MiB`` or ``÷ md5sum``."""

    measure: str
    limit: float

    def __str__(self) -> str:
        name = {"seconds": "s", "ms": "ms"}.get(self.measure, self.measure)
        return f"≤ {self.limit:g} {name}"


@dataclass(frozen=True, slots=True)
class Row:
    """A workload.

    Attributes:
        key: as in the goals.
        what: for the table.
        inputs: the folder of the data that it reads, or is to bring back.
        goals: what ours is to reach.
        needs: rows that must run before.
        reads: it only reads, so nothing is left to sync.
        cold: the page cache is dropped right before.
        restores: what it leaves is compared with its inputs.
    """

    key: str
    what: str
    inputs: str | None = None
    goals: tuple[Goal, ...] = ()
    needs: tuple[str, ...] = ()
    reads: bool = False
    cold: bool = False
    restores: bool = False


def _s(limit: float) -> Goal:
    return Goal("seconds", limit)


def _ms(limit: float) -> Goal:
    return Goal("ms", limit)


PEAK = Goal("peak MiB", 250)

# In the order in which a round runs them.
WHOLE = (
    Row("help", "`--help`", goals=(_s(0.1),), reads=True),
    Row("W1", "commit 20,000 files of 4 KiB", "many", (_s(0.75), PEAK)),
    Row("W5", "status, nothing changed", "many", (_s(0.2),), ("W1",), reads=True),
    Row("W5c", "W5, page cache dropped", "many", (), ("W1",), reads=True, cold=True),
    Row("W4", "10 of the 20,000 changed, commit", "many", (_s(0.3),), ("W1",)),
    Row("W6", "restore the 20,000", "many", (Goal(COPY, 1.0),), ("W4",), restores=True),
    Row("W7", "list the 20,000", None, (_s(0.2),), ("W4",), reads=True),
    Row("W8", "make a branch", None, (), ("W1",)),
    Row("W1c", "W1, page cache dropped", "many", cold=True),
    Row("W2", "commit one file of 1 GiB", "before", (Goal(MD5SUM, 1.4), PEAK)),
    Row("W3", "commit it edited", "after", (Goal(MD5SUM, 1.1), Goal("adds MiB", 12)), ("W2",)),
    Row("W6b", "restore the 1 GiB", "after", (Goal(COPY, 2.0),), ("W3",), restores=True),
    Row("W9", "commit 100,000 files of 200 B", "tiny", (_s(2.5),)),
    Row("W9b", "one of them changed, commit", "tiny", (_s(0.4),), ("W9",)),
)

IN_PROCESS = (
    Row("P4", "W4, the ten files named", "many", (_ms(5),), ("W1",)),
    Row("P5", "W5", "many", (_ms(100),), ("W1",)),
    Row("P7", "W7, size and checksum", None, (_ms(20),), ("W1",)),
    Row("P7l", "W7, places too (`list_object`)", None, (), ("W1",)),
    Row("P8", "W8, 1 object", goals=(_ms(1),)),
    Row("P8m", "W8, 1,000,000 objects", goals=(_ms(1),)),
    Row("M1", "first commit of 1,000,000 objects", goals=(Goal("peak MiB", 400),)),
    Row("M2", "one file into the 1,000,000", goals=(_ms(20), Goal("pages", 10), Goal("KiB", 64))),
    Row("M3", "diff of two such commits", goals=(_ms(20), Goal("pages", 20))),
    Row("C1", "16 processes × 200 commits, one branch", goals=(_s(10), Goal("unused %", 5))),
)

ROWS = {row.key: row for row in (*WHOLE, *IN_PROCESS)}


def with_needs(keys: Iterable[str]) -> set[str]:
    """Return these rows and all that must run before them.

    Raises:
        ValueError: there is no such row.
    """
    found: set[str] = set()
    for key in keys:
        if key not in ROWS:
            raise ValueError(f"there is no row {key!r}; rows: {', '.join(ROWS)}")
        found |= {key} | with_needs(ROWS[key].needs)
    return found
