"""Listing the branches and tags of an asset in a store far away, with few requests.

One listing tells the newest version of each; a snapshot, which is a hint, tells what most of them
say; the rest is read, several at once. Whoever had to read many writes the snapshot anew.
Implements docs/format/cells.md, "Snapshot of refs".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from ahstore.codec.canonical import Value, decode, encode
from ahstore.codec.envelope import seal, unseal
from ahstore.errors import CorruptError, StorageError
from ahstore.ids import AssetId
from ahstore.storage.cells import Cell, CellVersion
from ahstore.storage.contract import MissingError
from ahstore.storage.paths import escape
from ahstore.versions.repository import Repository

ENVELOPE_KIND = b"REFS"
WORTH_A_SNAPSHOT = 32
"""Who had to read more versions than this writes the snapshot."""
_AT_ONCE = 16
_SAID = ("kind", "commit", "by")

Said = tuple[int, dict[str, Value], float]
"""Number, value without locators (empty: not live), and time of a version."""


def read_newest(repo: Repository, asset: AssetId) -> Iterator[tuple[Cell, Said]]:
    """Yield each ref's cell with what its newest version says, dead ones too.

    Raises:
        CorruptError: a version is damaged.
        StorageError: the storage failed.
    """
    newest = dict(repo.cells.list_newest("ref", asset))
    snapshot = _read_snapshot(repo, asset) if len(newest) > WORTH_A_SNAPSHOT else {}
    known = {c: said for c, said in snapshot.items() if newest.get(c) == said[0]}
    missing = [(cell, number) for cell, number in newest.items() if cell not in known]
    for version, (cell, _) in zip(_read_versions(repo, missing), missing, strict=True):
        known[cell] = (
            version.number,
            {field: version.value[field] for field in _SAID if field in version.value},
            version.time,
        )
    if len(missing) > WORTH_A_SNAPSHOT:
        with suppress(StorageError):  # who may only read does without
            repo.storage.replace(_key(asset), _encode(known.items()))
    yield from known.items()


def _read_versions(repo: Repository, wanted: list[tuple[Cell, int]]) -> Iterator[CellVersion]:
    if len(wanted) < 2:
        yield from (repo.cells.read_version(cell, number) for cell, number in wanted)
        return
    from concurrent.futures import ThreadPoolExecutor  # start-up: for stores far away only

    with ThreadPoolExecutor(_AT_ONCE, "ahstore-refs") as threads:
        yield from threads.map(lambda item: repo.cells.read_version(*item), wanted)


def _key(asset: AssetId) -> str:
    return f"hints/refs/{escape(asset)}"


def _encode(refs: Iterable[tuple[Cell, Said]]) -> bytes:
    items: list[Value] = [
        [cell.key[1], number, value, time] for cell, (number, value, time) in refs
    ]
    return seal(ENVELOPE_KIND, encode(items))


def _read_snapshot(repo: Repository, asset: AssetId) -> dict[Cell, Said]:
    try:
        items = decode(unseal(ENVELOPE_KIND, repo.storage.read(_key(asset))))
    except (MissingError, CorruptError):
        return {}
    found: dict[Cell, Said] = {}
    for item in items if isinstance(items, list) else ():
        if isinstance(item, list) and [type(v) for v in item] == [str, int, dict, float]:
            name, number, value, time = item
            found[Cell("ref", (asset, name))] = number, value, time  # type: ignore[arg-type,assignment]
    return found
