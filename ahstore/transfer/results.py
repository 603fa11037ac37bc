"""What a transfer did: for each asset its refs and evaluations, and what went over the wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ahstore.errors import DivergedError
from ahstore.ids import AssetId
from ahstore.transfer.contents import Traffic
from ahstore.transfer.refs import RefResult

SHOWN_REFS = 10


@dataclass(frozen=True, slots=True)
class AssetResult:
    """What became of one asset.

    Attributes:
        id: the asset's, the same on both sides.
        path: at the destination.
        created: whether it was not there before.
        refs: its branches and tags.
        evaluations: how many were added.
        missing_datasets: datasets that are not here, so that evaluations on them were left out.
        traffic: what was sent.
    """

    id: AssetId
    path: str
    created: bool
    refs: tuple[RefResult, ...]
    evaluations: int
    missing_datasets: int
    traffic: Traffic

    @property
    def changed(self) -> bool:
        """Whether anything at the destination is other than before."""
        moved = any(ref.before != ref.after for ref in self.refs)
        return self.created or moved or bool(self.evaluations)

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``--json`` has it."""
        return {
            "id": str(self.id),
            "path": self.path,
            "created": self.created,
            "evaluations": self.evaluations,
            "missing_datasets": self.missing_datasets,
            "commits": self.traffic.commits,
            "sent": self.traffic.sent,
            "sent_bytes": self.traffic.sent_bytes,
            "refs": [
                {
                    "name": ref.name,
                    "kind": ref.kind,
                    "action": ref.action,
                    "before": ref.before.hex() if ref.before else None,
                    "after": ref.after.hex() if ref.after else None,
                }
                for ref in self.refs
            ],
        }


@dataclass(slots=True)
class TransferResult:
    """What became of all assets that were to move."""

    assets: list[AssetResult] = field(default_factory=list)

    @property
    def traffic(self) -> Traffic:
        """What was sent in all."""
        return sum((asset.traffic for asset in self.assets), Traffic())

    @property
    def refused(self) -> list[tuple[str, RefResult]]:
        """The refs that may not be moved, with the paths of their assets."""
        return [(each.path, ref) for each in self.assets for ref in each.refs if ref.refused]

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``--json`` has it."""
        traffic = self.traffic
        return {
            "assets": [asset.to_dict() for asset in self.assets],
            "commits": traffic.commits,
            "sent": traffic.sent,
            "sent_bytes": traffic.sent_bytes,
            "refused": [f"{path}:{ref.name}" for path, ref in self.refused],
        }

    def raise_refused(self) -> None:
        """Raise if any ref was refused.

        Raises:
            DivergedError: some were; everything else has moved.
        """
        if self.refused:
            raise DivergedError(
                f"not moved: {_listed(self.refused)}; the rest is done",
                refs=[f"{path}:{ref.name}" for path, ref in self.refused],
                result=self,
            )


def _listed(refused: Iterable[tuple[str, RefResult]]) -> str:
    all_refs = list(refused)
    shown = [f"{ref.kind} {path}:{ref.name} ({_WHY[ref.action]})" for path, ref in all_refs]
    more = len(shown) - SHOWN_REFS
    return ", ".join(shown[:SHOWN_REFS]) + (f" and {more} more" if more > 0 else "")


_WHY = {
    "diverged": "both sides have commits of their own",
    "tag differs": "tags do not move",
    "kind differs": "a branch on one side is a tag on the other",
}
