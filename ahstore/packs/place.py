"""Where a blob lies: a pack, a range in it, and what its bytes must be.

A place is a hint: packs are rewritten, and then the blob lies elsewhere. Its list form stands in
branch cells as a locator (docs/format/packs.md, "Places").
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple, TypeAlias

from ahstore.codec.canonical import Value
from ahstore.codec.compression import RAW, is_possible
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import PackId, parse_pack_id

Family: TypeAlias = Literal["data", "meta"]

FAMILIES: tuple[Family, ...] = ("data", "meta")
FAMILY_CODES: dict[Family, int] = {"data": 1, "meta": 2}
FAMILY_NAMES: dict[int, Family] = {1: "data", 2: "meta"}

MAX_BLOB_BYTES = 2**30
MAX_OFFSET = 2**48


class Kind(IntEnum):
    """What a blob is: chunks, pages, commits and records share one space of addresses."""

    CHUNK = 1
    PAGE = 2
    COMMIT = 3
    RECORD = 4


KINDS: dict[int, Kind] = {int(kind): kind for kind in Kind}


def is_possible_blob(kind: int, codec: int, stored: int, raw: int) -> bool:
    """Tell whether such a blob can be: only chunks are compressed, the rest is for parsing."""
    if codec == RAW:
        return kind in KINDS and stored == raw <= MAX_BLOB_BYTES
    return kind == Kind.CHUNK and is_possible(codec, stored, raw)


class Place(NamedTuple):
    """Where a blob lies. A tuple, since twenty thousand are made for a commit.

    Attributes:
        pack: the pack, in ``family``.
        kind: what the blob is.
        offset: first byte in the pack's file.
        stored: length there; ``raw`` is the length as the blob is handed out.
        codec: how one becomes the other.
        checksum: XXH3-64 of the stored bytes.
    """

    pack: PackId
    family: Family
    kind: Kind
    offset: int
    stored: int
    raw: int
    codec: int
    checksum: bytes

    def to_value(self) -> list[Value]:
        """Return the form that is written into cells."""
        return [
            FAMILY_CODES[self.family],
            bytes.fromhex(self.pack),
            int(self.kind),
            self.offset,
            self.stored,
            self.raw,
            self.codec,
            self.checksum,
        ]

    @staticmethod
    def from_value(value: Value) -> Place:
        """Return the place that ``to_value`` wrote.

        Raises:
            CorruptError: it is not such a list, or its numbers make no sense.
        """
        if not isinstance(value, list) or [type(v) for v in value] != _VALUE_TYPES:
            raise CorruptError("a place is a list of family, pack, kind, four numbers, checksum")
        family, pack, kind, offset, stored, raw, codec, checksum = value
        return checked_place(family, pack, kind, offset, stored, raw, codec, checksum)  # type: ignore[arg-type]


_VALUE_TYPES: list[type] = [int, bytes, int, int, int, int, int, bytes]


def checked_place(
    family: int,
    pack: bytes,
    kind: int,
    offset: int,
    stored: int,
    raw: int,
    codec: int,
    checksum: bytes,
) -> Place:
    """Return a place made of decoded fields.

    Raises:
        CorruptError: one of them is out of range.
    """
    name = FAMILY_NAMES.get(family)
    known = KINDS.get(kind)
    if name is None or known is None or len(pack) != 16 or len(checksum) != 8:
        raise CorruptError("a place in an unknown family or of an unknown kind, or misshapen")
    if not (
        0 <= offset <= MAX_OFFSET and 0 <= stored <= MAX_BLOB_BYTES and 0 <= raw <= MAX_BLOB_BYTES
    ):
        raise CorruptError(f"a place out of range: {stored} bytes at {offset}, {raw} unpacked")
    if not is_possible_blob(kind, codec, stored, raw):
        raise CorruptError(f"a {known.name.lower()} can't be stored so by codec {codec}")
    return Place(PackId(pack.hex()), name, known, offset, stored, raw, codec, checksum)


def pack_key(family: Family, pack: PackId) -> str:
    """Return the storage key of a pack.

    Raises:
        InvalidInputError: it is no family or no pack id.
    """
    if family not in FAMILY_CODES:
        raise InvalidInputError(f"not a family of packs: {family!r}")
    parse_pack_id(pack)
    return f"packs/{family}/{pack[:2]}/{pack}"


def parse_pack_key(key: str) -> tuple[Family, PackId]:
    """Return family and id of the pack whose storage key this is.

    Raises:
        InvalidInputError: it is not a pack's key.
    """
    parts = key.split("/")
    if len(parts) == 4 and parts[1] in FAMILY_CODES:
        family: Family = "data" if parts[1] == "data" else "meta"
        pack = parse_pack_id(parts[3])
        if pack_key(family, pack) == key:
            return family, pack
    raise InvalidInputError(f"not the key of a pack: {key!r}", key=key)
