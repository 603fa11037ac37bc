"""From paths to a comparison of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ahstore.client.dataset import find_dataset_commit
from ahstore.client.folder import Folder
from ahstore.client.version import Version
from ahstore.errors import InvalidInputError
from ahstore.jobs.provenance.comparison import Comparison, Subject, along, compare

if TYPE_CHECKING:
    from ahstore.client.store import Store


def compare_paths(
    store: Store,
    paths: Sequence[str],
    *,
    dataset: str | None,
    metrics: Sequence[str],
    sort: str | None,
    along: bool,
) -> Comparison:
    """Return what `Store.compare` does."""
    options: dict[str, Any] = {"metrics": metrics, "sort": sort}
    if dataset is not None:
        on, options["dataset_commit"] = find_dataset_commit(store.core, dataset)
        options["dataset"] = on.id
    if along:
        return _along(store, paths, options)
    subjects = [subject for path in paths for subject in _subjects(store, path)]
    return compare(store.core.hub, subjects, **options)


def _along(store: Store, paths: Sequence[str], options: dict[str, Any]) -> Comparison:
    if len(paths) != 1:
        raise InvalidInputError("a history is that of one version: give one path")
    version = store.version(paths[0], type_="model")
    return along(store.core.hub, version.asset.record, version.head, **options)


def _subjects(store: Store, path: str) -> Iterator[Subject]:
    found = store.get(path) if _is_folder(store, path) else None
    if isinstance(found, Folder):
        if found.kind != "model":
            raise InvalidInputError(f"{path!r} is no folder of models", value=path)
        yield from map(Subject, store.core.hub.list_assets(found.record))
        return
    if store.path(path, type_="model").ref is None:
        yield Subject(store.model(path).record)
        return
    version: Version = store.version(path, type_="model")
    yield Subject(version.asset.record, version.head)


def _is_folder(store: Store, path: str) -> bool:
    return store.path(path).asset is None
