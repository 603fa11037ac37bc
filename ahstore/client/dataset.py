"""Datasets: assets whose versions are trained and measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ahstore.client.additions import Additions
from ahstore.client.asset import Asset
from ahstore.client.core import Core
from ahstore.client.ref import Commit
from ahstore.client.target import find_asset_record
from ahstore.client.version import Version
from ahstore.errors import InvalidInputError
from ahstore.hub.paths import DEFAULT_REF
from ahstore.hub.records import AssetRecord
from ahstore.ids import CommitId
from ahstore.versions.monitor import SILENT, Monitor


class Dataset(Asset):
    """A dataset: versions of its files."""

    def create_commit(
        self,
        msg: str,
        delete: Sequence[str] | None = None,
        add: Additions | None = None,
        *,
        expect: str | Commit | None = None,
        metadata: Mapping[str, Any] | None = None,
        rehash: bool = False,
        monitor: Monitor = SILENT,
    ) -> Commit | None:
        """Commit to ``main``; see `Branch.create_commit`."""
        return self._main().create_commit(
            msg, delete, add, expect=expect, metadata=metadata, rehash=rehash, monitor=monitor
        )


def find_dataset(core: Core, dataset: Dataset | Version | str) -> tuple[Dataset, str]:
    """Return a dataset and the reference of its version, however it was given.

    Raises:
        InvalidInputError: it is no dataset.
        NotFoundError: there is no dataset at this path.
    """
    if isinstance(dataset, str):
        record, ref = find_asset_record(core.hub, dataset, only_type="dataset")
        return Dataset(core, record), ref or DEFAULT_REF
    if isinstance(dataset, Dataset):
        return dataset, DEFAULT_REF
    if isinstance(dataset, Version) and isinstance(dataset.asset, Dataset):
        return dataset.asset, dataset.ref
    raise InvalidInputError(f"{dataset!r} is no dataset")


def find_dataset_commit(
    core: Core, dataset: Dataset | Version | str
) -> tuple[AssetRecord, CommitId | None]:
    """Return a dataset, and the commit if a version of it was given; raises as `find_dataset`."""
    if isinstance(dataset, str):
        record, ref = find_asset_record(core.hub, dataset, only_type="dataset")
        return record, None if ref is None else core.hub.resolve(record, ref).commit
    found, _ = find_dataset(core, dataset)
    return found.record, dataset.head if isinstance(dataset, Version) else None
