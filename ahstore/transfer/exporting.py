"""Assets into a bundle: what they need, without what the history of given commits has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from ahstore.errors import InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.ids import CommitId
from ahstore.transfer.bundle_format import Manifest
from ahstore.transfer.bundle_writer import BundleWriter
from ahstore.transfer.contents import Traffic, move
from ahstore.transfer.exported_evaluations import ExportedEvaluations
from ahstore.transfer.history import complete_at, finder
from ahstore.transfer.offers import AssetOffer
from ahstore.transfer.sinks import BundleSink
from ahstore.transfer.source import offered, select
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.resolve import resolve


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What a bundle holds; ``size`` in bytes."""

    assets: tuple[AssetOffer, ...]
    required: tuple[CommitId, ...]
    traffic: Traffic
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``--json`` has it."""
        return {
            "assets": [
                {
                    "id": str(offer.record.id),
                    "path": offer.record.path,
                    "refs": [
                        {"name": ref.name, "kind": ref.kind, "commit": ref.commit.hex()}
                        for ref in offer.refs
                    ],
                }
                for offer in self.assets
            ],
            "required": [commit.hex() for commit in self.required],
            "commits": self.traffic.commits,
            "size_bytes": self.size,
        }


def export(
    hub: Hub,
    paths: Sequence[str],
    file: IO[bytes],
    name: str,
    *,
    since: Sequence[str] = (),
    branch: str | None = None,
    monitor: Monitor = SILENT,
) -> ExportResult:
    """Write a bundle of what ``paths`` name to a stream; it is whole if this returns.

    Args:
        hub: has it.
        paths: assets or versions of them, folders, ``model`` or ``dataset``.
        file: the stream.
        name: of the stream, for messages.
        since: references of a single asset; what their history has is left out, and needed by
            who imports.
        branch: what a single commit is to be called.
        monitor: told of bytes.

    Raises:
        NotFoundError: there is no such thing.
        InvalidInputError: ``since`` for several assets.
        StorageError: the stream can't be written.
    """
    _, selections = select(hub, paths, branch=branch)
    if not selections:
        raise InvalidInputError("there is no asset to export")
    if since and len(selections) != 1:
        raise InvalidInputError("since goes with a single asset")
    repo = hub.repo
    required = [resolve(repo, selections[0].asset.id, ref).commit for ref in since]
    with ExitStack() as stack:
        pinned = [stack.enter_context(offered(hub, selection)) for selection in selections]
        measured = [ExportedEvaluations(repo, offer) for offer, _ in pinned]
        offers = tuple(each.offer for each in measured)
        tips = {ref.commit for offer in offers for ref in offer.refs}
        tips.update(_measured_tips(repo, measured))
        manifest = Manifest(offers, tuple(dict.fromkeys(required)), time.time(), repo.creation_id)
        writer = BundleWriter(file, name, manifest)
        sink = BundleSink(writer.storage)
        sink.beats.extend(lease.beat for _, lease in pinned if lease is not None)
        monitor.start(f"Exporting {paths[0]}" if len(paths) == 1 else "Exporting")
        try:
            moved = move(
                repo,
                sink,
                sorted(tips),
                complete_at(repo, manifest.required),
                monitor=monitor,
            )
            for each in measured:
                each.put(sink)
            sink.packer.flush()
        finally:
            sink.packer.close()
            monitor.finish()
        size = writer.finish()
    return ExportResult(offers, manifest.required, moved.traffic, size)


def _measured_tips(repo: Repository, exported: Sequence[ExportedEvaluations]) -> Iterator[CommitId]:
    """Yield the commits that evaluations bring with them, of assets in the bundle, if still there."""
    find = finder(repo)
    inside = {each.offer.record.id for each in exported}
    for each in exported:
        for measured in each.measured:
            if find(measured.model) is not None:
                yield measured.model
            if measured.dataset in inside and find(measured.dataset_commit) is not None:
                yield measured.dataset_commit
