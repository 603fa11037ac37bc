"""``store.json``: what is settled when a store is made (docs/format/storage.md)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from ahstore.chunks.cutter import CuttingParameters
from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, NotFoundError, UnsupportedError
from ahstore.ids import new_entity_id
from ahstore.storage.contract import AlreadyThereError, MissingError, Storage

STORE_KEY = "store.json"
SETTINGS = frozenset(("format", "id", "hash", "chunking"))
CHECK = "check"
FORMAT = 1


def read_settings(storage: Storage) -> dict[str, Any]:
    """Return the settings of the store that lies in ``storage``.

    Raises:
        NotFoundError: there is none.
        UnsupportedError: its format is newer than this version knows.
        CorruptError: they are damaged.
    """
    try:
        settings = json.loads(storage.read(STORE_KEY))
        found = settings["format"]
        if not isinstance(settings["id"], str) or not isinstance(found, int):
            raise TypeError
    except MissingError:
        raise NotFoundError(f"there is no store at {storage.url}", url=storage.url) from None
    except (ValueError, KeyError, TypeError):
        raise CorruptError(f"{STORE_KEY} of {storage.url} can't be read", url=storage.url) from None
    if found != FORMAT:
        raise UnsupportedError(
            f"the store {storage.url} has format {found}; this version of ahstore knows format {FORMAT}",
            url=storage.url,
        )
    check = settings.pop(CHECK, None)
    if set(settings) != SETTINGS or check not in (None, _checksum(settings)):
        raise CorruptError(f"{STORE_KEY} of {storage.url} is damaged", url=storage.url)
    return dict(settings)


def make_settings(storage: Storage, cutting: CuttingParameters | None) -> dict[str, Any]:
    """Return the settings of the store in ``storage``, made if there is none; raises likewise."""
    try:
        return read_settings(storage)
    except NotFoundError:
        pass
    settings = {
        "format": FORMAT,
        "id": str(new_entity_id()),
        "hash": "sha256",
        "chunking": (cutting or CuttingParameters()).to_value(),
    }
    with suppress(AlreadyThereError):
        checked = {**settings, CHECK: _checksum(settings)}
        storage.create(STORE_KEY, json.dumps(checked, indent=2).encode() + b"\n")
    return read_settings(storage)


def _checksum(settings: dict[str, Any]) -> str:
    """Return the SHA-256 of the settings, so that damage to them is noticed."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hex()
