"""The table of places in LMDB, shared by the processes of a machine.

Implements docs/format/cache.md, "Places". Packs are numbered as they come; an entry is valid only
while its pack's number is known, so that a pack is forgotten by one deletion. Each entry carries a
check of its own: LMDB has none, and a damaged cache must not pass for a damaged store.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from ahstore.ids import PackId
from ahstore.index.lmdb_env import CacheUnusableError, Environment, Transaction
from ahstore.index.table import PackIndex, PlaceTable
from ahstore.packs.format import KEY_BYTES, RECORD_BYTES, record_place
from ahstore.packs.place import FAMILY_CODES, FAMILY_NAMES, Family, Place

PLACES, PACKS, IDS = b"p", b"k", b"i"
_LAST = b"m:last-pack"
_LIVE = b"m:live-entries"
_STALE = b"m:stale-entries"
_COMPLETE = b"m:complete"
_BUT_SEGMENTS = b"2"

_NUMBER = struct.Struct(">I")
_COUNT = struct.Struct(">Q")
_PACK = struct.Struct(">B16sI")
_TAIL_BYTES = RECORD_BYTES - KEY_BYTES
ENTRY_BYTES = 4 + _TAIL_BYTES + 4
"""Number of the pack, rest of its record, check. A key's value is one such entry or several."""

_MIN_STALE = 10_000

Packs = dict[bytes, tuple[PackId, Family] | None]


class LmdbTable(PlaceTable):
    """The table in an environment; what reads raises CacheUnusableError when that fails."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def packs(self) -> dict[PackId, Family]:
        """See the contract."""
        with self._env.read() as txn:
            return dict(_decode_pack(value)[:2] for _, value in txn.scan(PACKS))

    def is_complete(self) -> bool:
        """Say whether the store's packs were listed into this table before."""
        with self._env.read() as txn:
            return txn.get(_COMPLETE) is not None

    def needs_segments(self) -> bool:
        """Say whether what segments cover was left out then."""
        with self._env.read() as txn:
            return txn.get(_COMPLETE) == _BUT_SEGMENTS

    def set_complete(self, *, needs_segments: bool) -> bool:
        """Remember that they were, with or without what segments cover."""
        value = _BUT_SEGMENTS if needs_segments else b"1"
        return self._env.write(lambda txn: txn.put(_COMPLETE, value))

    def add(self, packs: Sequence[PackIndex]) -> bool:
        """See the contract."""

        def work(txn: Transaction) -> None:
            for pack in packs:
                _add(txn, pack)

        return self._env.write(work)

    def drop(self, packs: Iterable[PackId]) -> bool:
        """See the contract."""
        names = list(packs)

        def work(txn: Transaction) -> None:
            for pack in names:
                _drop(txn, pack)
            if _count(txn, _STALE) > max(_MIN_STALE, _count(txn, _LIVE) // 4):
                _sweep(txn)

        return self._env.write(work)

    def find(self, key: bytes) -> Place | None:
        """See the contract."""
        with self._env.read() as txn:
            value = txn.get(PLACES + key)
            return _choose(txn, key, value, {}) if value is not None else None

    def find_many(self, keys: Iterable[bytes]) -> dict[bytes, Place]:
        """See the contract."""
        found: dict[bytes, Place] = {}
        packs: Packs = {}
        with self._env.read() as txn:
            for key, value in txn.get_many(sorted(PLACES + key for key in keys)):
                place = _choose(txn, key[1:], value, packs)
                if place is not None:
                    found[key[1:]] = place
        return found

    def keys_from(self, prefix: bytes) -> list[bytes]:
        """See the contract."""
        packs: Packs = {}
        with self._env.read() as txn:
            return [
                key[1:]
                for key, value in txn.scan(PLACES + prefix)
                if _choose(txn, key[1:], value, packs) is not None
            ]


def _add(txn: Transaction, pack: PackIndex) -> None:
    name = _name(pack.family, pack.id)
    if txn.get(name) is not None:
        return
    number = _next_number(txn)
    entries = list(_encode_entries(number, pack.index))
    if not txn.put_many(entries, overwrite=False):
        _merge(txn, entries)
    txn.put(
        PACKS + number, _PACK.pack(FAMILY_CODES[pack.family], bytes.fromhex(pack.id), len(entries))
    )
    txn.put(name, number)
    _set_count(txn, _LIVE, _count(txn, _LIVE) + len(entries))


def _encode_entries(number: bytes, index: bytes) -> Iterator[tuple[bytes, bytes]]:
    for at in range(0, len(index), RECORD_BYTES):
        middle = at + KEY_BYTES
        key = index[at:middle]
        value = number + index[middle : at + RECORD_BYTES]
        yield PLACES + key, value + crc32(value, crc32(key)).to_bytes(4, "big")


def _merge(txn: Transaction, entries: Sequence[tuple[bytes, bytes]]) -> None:
    """Append each entry to what its key has already, leaving out forgotten packs."""
    packs: Packs = {}
    known = dict(txn.get_many([key for key, _ in entries]))
    changed = []
    for key, entry in entries:
        value = known[key]
        if value != entry:
            changed.append((key, _living(txn, value, packs) + entry))
    txn.put_many(changed)


def _living(txn: Transaction, value: bytes, packs: Packs) -> bytes:
    return b"".join(entry for entry in _split(value) if _pack(txn, entry[:4], packs) is not None)


def _split(value: bytes) -> list[bytes]:
    return [value[at : at + ENTRY_BYTES] for at in range(0, len(value), ENTRY_BYTES)]


def _next_number(txn: Transaction) -> bytes:
    """Return a number that no pack has had: entries of forgotten packs may still be there."""
    last = txn.get(_LAST)
    number = _NUMBER.pack((_NUMBER.unpack(last)[0] if last is not None else 0) + 1)
    txn.put(_LAST, number)
    return number


def _drop(txn: Transaction, pack: PackId) -> None:
    for family in FAMILY_CODES:
        name = _name(family, pack)
        number = txn.get(name)
        if number is None:
            continue
        known = txn.get(PACKS + number)
        entries = _decode_pack(known)[2] if known is not None else 0
        txn.delete(PACKS + number)
        txn.delete(name)
        _set_count(txn, _LIVE, max(0, _count(txn, _LIVE) - entries))
        _set_count(txn, _STALE, _count(txn, _STALE) + entries)


def _sweep(txn: Transaction) -> None:
    """Remove the entries of forgotten packs."""
    packs: Packs = {}
    changed = []
    for key, value in txn.scan(PLACES):
        living = _living(txn, value, packs)
        if living != value:
            changed.append((key, living))
    for key, living in changed:
        if living:
            txn.put(key, living)
        else:
            txn.delete(key)
    _set_count(txn, _STALE, 0)


def _choose(txn: Transaction, key: bytes, value: bytes, packs: Packs) -> Place | None:
    """Return the place told by the last entry whose pack is known."""
    for entry in reversed(_split(value)) if len(value) > ENTRY_BYTES else (value,):
        if crc32(entry[:-4], crc32(key)).to_bytes(4, "big") != entry[-4:]:
            raise CacheUnusableError("an entry is damaged")
        pack = _pack(txn, entry[:4], packs)
        if pack is not None:
            return record_place(key + entry[4:-4], *pack)
    return None


def _pack(txn: Transaction, number: bytes, packs: Packs) -> tuple[PackId, Family] | None:
    if number not in packs:
        value = txn.get(PACKS + number)
        packs[number] = _decode_pack(value)[:2] if value is not None else None
    return packs[number]


def _decode_pack(value: bytes) -> tuple[PackId, Family, int]:
    if len(value) != _PACK.size or value[0] not in FAMILY_NAMES:
        raise CacheUnusableError("a pack's entry makes no sense")
    family, pack, count = _PACK.unpack(value)
    return PackId(pack.hex()), FAMILY_NAMES[family], count


def _name(family: Family, pack: PackId) -> bytes:
    return IDS + bytes([FAMILY_CODES[family]]) + bytes.fromhex(pack)


def _count(txn: Transaction, key: bytes) -> int:
    value = txn.get(key)
    return int(_COUNT.unpack(value)[0]) if value is not None and len(value) == 8 else 0


def _set_count(txn: Transaction, key: bytes, count: int) -> None:
    txn.put(key, _COUNT.pack(count))
