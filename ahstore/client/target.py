"""From a path as a user wrote it to the record it means, the kind left out where that is plain."""

from __future__ import annotations

from collections.abc import Iterable

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.paths import ASSET_TYPES, AssetType, HubPath, Need, parse
from ahstore.hub.records import AssetRecord, FolderRecord


def find_path(
    hub: Hub, text: str, *, only_type: AssetType | None = None, need: Need | None = None
) -> HubPath:
    """Return the parts of a path. Without a kind it is that of the one asset or folder so called.

    Raises:
        InvalidInputError: it is malformed, or both a model and a dataset are so called.
    """
    if only_type is not None:
        return parse(text, only_type=only_type, need=need)
    try:
        return parse(text, need=need)
    except InvalidInputError:
        # Its kind may be missing. What is malformed otherwise is so with a kind, too.
        candidates = [parse(text, default_type=type_, need=need) for type_ in ASSET_TYPES]
    there = [path for path in candidates if _exists(hub, path)]
    if len(there) == 1:
        return there[0]
    if there:
        raise InvalidInputError(
            f"{text!r} is both a model and a dataset: write model/{text} or dataset/{text}",
            value=text,
        )
    raise NotFoundError(f"there is neither a model nor a dataset {text!r}", path=text)


def full_paths(hub: Hub, texts: Iterable[str]) -> list[str]:
    """Return paths with their kinds; ``model`` and ``dataset`` stand for all there are.

    Raises as `find_path`.
    """
    return [text if text in ASSET_TYPES else find_path(hub, text).format() for text in texts]


def _exists(hub: Hub, path: HubPath) -> bool:
    try:
        hub.resolve_path(path)
    except NotFoundError:
        return False
    return True


def find_asset_record(
    hub: Hub, text: str, *, only_type: AssetType | None = None
) -> tuple[AssetRecord, str | None]:
    """Return the asset that a path names, and the reference behind it, None without one.

    Raises:
        InvalidInputError: the path is malformed or names a folder.
        NotFoundError: there is no such asset.
    """
    path = find_path(hub, text, only_type=only_type, need="asset")
    record = hub.resolve_path(path)
    if not isinstance(record, AssetRecord):
        raise InvalidInputError(f"{text!r} names a folder, an asset is needed", value=text)
    return record, path.ref


def find_folder_record(hub: Hub, text: str, *, only_type: AssetType | None = None) -> FolderRecord:
    """Return the folder that a path names.

    Raises:
        InvalidInputError: the path is malformed or names an asset.
        NotFoundError: there is no such folder.
    """
    record = hub.resolve_path(find_path(hub, text, only_type=only_type, need="folder"))
    if not isinstance(record, FolderRecord):
        raise InvalidInputError(f"{text!r} names an asset, a folder is needed", value=text)
    return record
