"""What gc did, or would do, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """A number of packs and their bytes."""

    packs: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count a pack of ``size`` bytes."""
        self.packs += 1
        self.bytes += size


@dataclass(slots=True)
class GcReport:
    """What was found and done; all sizes in bytes.

    Attributes:
        dry_run: nothing was changed.
        live: packs that stay as they are, and the bytes in them that are needed.
        unneeded: packs deleted because nothing in them is needed.
        duplicates: packs deleted because other packs hold all that is needed of them.
        rewritten: packs deleted after what is needed of them was written anew; bytes: gained.
        waste: what stays unused in packs that are kept.
        young: packs kept for their age alone, though nothing needs them.
        unreadable: packs kept because their index can't be read: see fsck.
        rescued: packs condemned and then kept, for a writer had begun to use them.
        missing: blobs that are needed and in no pack that can be read (at most 1,000 are counted).
        expired: former heads and deleted things that can't be brought back any more.
        orphans: what deletions and creations that were cut short had left behind.
        leases: records of ended and dead writers removed.
        leftovers: files removed that writers left, or that belonged to what is no more.
        rounds: plans carried out.
    """

    dry_run: bool = False
    live: Tally = field(default_factory=Tally)
    unneeded: Tally = field(default_factory=Tally)
    duplicates: Tally = field(default_factory=Tally)
    rewritten: Tally = field(default_factory=Tally)
    waste: Tally = field(default_factory=Tally)
    young: Tally = field(default_factory=Tally)
    unreadable: Tally = field(default_factory=Tally)
    rescued: Tally = field(default_factory=Tally)
    missing: int = 0
    expired: int = 0
    orphans: int = 0
    leases: int = 0
    leftovers: int = 0
    rounds: int = 0

    def take_kept(self, found: GcReport) -> None:
        """Take over what another report says of what stays: the latest look counts."""
        for name in ("live", "waste", "young", "unreadable", "missing"):
            setattr(self, name, getattr(found, name))

    def take_gone(self, found: GcReport) -> None:
        """Add what another report says of what goes."""
        for name in ("unneeded", "duplicates", "rewritten"):
            mine, other = getattr(self, name), getattr(found, name)
            mine.packs += other.packs
            mine.bytes += other.bytes
        self.expired += found.expired

    @property
    def reclaimed(self) -> int:
        """Bytes given back, or that would be."""
        return self.unneeded.bytes + self.duplicates.bytes + self.rewritten.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "reclaimed": self.reclaimed}
