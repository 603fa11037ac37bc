"""The bytes of a bundle around its packs: manifest, table of packs, end. No I/O.

Implements docs/format/bundle.md. The packs between are those of docs/format/packs.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ahstore.codec import canonical
from ahstore.codec.canonical import Value
from ahstore.codec.digests import checksum64
from ahstore.codec.envelope import HEADER_BYTES, seal, unseal
from ahstore.errors import CorruptError, InvalidInputError, UnsupportedError
from ahstore.ids import CommitId, PackId, check_address
from ahstore.packs.place import FAMILY_CODES, FAMILY_NAMES, Family
from ahstore.transfer.offers import AssetOffer

VERSION = 1
MANIFEST_KIND = b"BNDL"
TABLE_KIND = b"BNDT"
END_MAGIC = b"AHBUNDLE"
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_PACKS = 2**20
MANIFEST_FIELDS = 5

_LIMITS = canonical.Limits(bytes=MAX_MANIFEST_BYTES, items=2**18)
_PACK = struct.Struct(">B16sQ")
_END = struct.Struct(">Q32s8s8s")
_LENGTH = struct.Struct(">I")
_LENGTH_AT = 8

END_BYTES = _END.size
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        assets: what is in it.
        required: commits it builds on without holding them.
        created: seconds since 1970 (UTC).
        store: creation id of the store it comes from; for people.
    """

    assets: tuple[AssetOffer, ...]
    required: tuple[CommitId, ...]
    created: float
    store: str


class PackEntry(NamedTuple):
    """A pack of a bundle: its ``length`` in bytes. Packs follow each other without a gap."""

    family: Family
    id: PackId
    length: int


class End(NamedTuple):
    """The last bytes: where the table of packs is, and the SHA-256 of all that is before."""

    table_offset: int
    digest: bytes


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the first bytes of a bundle.

    Raises:
        InvalidInputError: it is too large; move fewer assets at a time.
    """
    value: Value = {
        "v": VERSION,
        "assets": [asset.to_value() for asset in manifest.assets],
        "required": [bytes(commit) for commit in manifest.required],
        "created": manifest.created,
        "store": manifest.store,
    }
    data = canonical.encode(value)
    try:
        decode_manifest(data)
    except CorruptError as error:
        raise InvalidInputError(f"too much for one bundle: {error}") from error
    return seal(MANIFEST_KIND, data)


def decode_manifest(data: bytes) -> Manifest:
    """Return what the payload of a bundle's first envelope says.

    Raises:
        CorruptError: it is malformed.
        UnsupportedError: a later version wrote it.
    """
    value = canonical.decode(data, limits=_LIMITS)
    if not isinstance(value, dict):
        raise CorruptError("not the manifest of a bundle")
    version = value.get("v")
    if type(version) is int and version != VERSION:
        raise UnsupportedError(
            f"a bundle of version {version}: this version of ahstore knows version {VERSION}"
        )
    match value:
        case {
            "v": 1,
            "assets": list(assets),
            "required": list(required),
            "created": float(created),
            "store": str(store),
        } if len(value) == MANIFEST_FIELDS:
            pass
        case _:
            raise CorruptError("not the manifest of a bundle")
    try:
        return Manifest(
            assets=tuple(map(AssetOffer.from_value, assets)),
            required=tuple(CommitId(check_address(commit)) for commit in required),
            created=created,
            store=store,
        )
    except InvalidInputError as error:
        raise CorruptError(f"not the manifest of a bundle: {error}") from error


def envelope_length(head: bytes) -> int:
    """Return how long the envelope is that begins with these ``HEADER_BYTES``."""
    return int(HEADER_BYTES + _LENGTH.unpack_from(head, _LENGTH_AT)[0])


def unseal_manifest(data: bytes) -> Manifest:
    """Return what the first bytes of a bundle say; raises as ``decode_manifest``."""
    return decode_manifest(unseal(MANIFEST_KIND, data))


def encode_table(packs: Sequence[PackEntry]) -> bytes:
    """Return the table of packs."""
    rows = [_PACK.pack(FAMILY_CODES[p.family], bytes.fromhex(p.id), p.length) for p in packs]
    return seal(TABLE_KIND, b"".join(rows))


def decode_table(data: bytes) -> list[PackEntry]:
    """Return the packs that a table names.

    Raises:
        CorruptError: it is malformed.
    """
    payload = unseal(TABLE_KIND, data)
    if len(payload) % _PACK.size or len(payload) > MAX_PACKS * _PACK.size:
        raise CorruptError("not a table of packs")
    found: dict[PackId, PackEntry] = {}
    for family, pack, length in _PACK.iter_unpack(payload):
        entry = PackId(pack.hex())
        if family not in FAMILY_NAMES or entry in found:
            raise CorruptError("a table of packs with one of an unknown family, or one twice")
        found[entry] = PackEntry(FAMILY_NAMES[family], entry, length)
    return list(found.values())


def encode_end(end: End) -> bytes:
    """Return the last ``END_BYTES`` of a bundle."""
    head = struct.pack(">Q32s", end.table_offset, end.digest)
    return head + checksum64(head) + END_MAGIC


def decode_end(data: bytes) -> End:
    """Return what the last ``END_BYTES`` of a bundle say.

    Raises:
        CorruptError: they are something else: no bundle, or one that was cut off.
    """
    if len(data) != END_BYTES or data[-len(END_MAGIC) :] != END_MAGIC:
        raise CorruptError("not a bundle, or cut off: it does not end as bundles do")
    offset, digest, checksum, _ = _END.unpack(data)
    if checksum64(data[: END_BYTES - 16]) != checksum:
        raise CorruptError("the end of the bundle is damaged")
    return End(offset, digest)
