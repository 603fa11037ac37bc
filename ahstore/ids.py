"""Identifiers, each a type of its own: what names an object, an entity or a pack.

Addresses are the 32 raw bytes of a SHA-256; people see them as 64 hex digits. Entities (folders,
assets, runs, evaluations, leases) carry random UUIDs, packs 128 random bits. An id that comes from
stored data or from a user goes through a ``parse_`` function before it becomes part of a path.
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import NewType

from ahstore.errors import InvalidInputError

Address = NewType("Address", bytes)
ChunkId = NewType("ChunkId", Address)
PageId = NewType("PageId", Address)
CommitId = NewType("CommitId", Address)
RecordId = NewType("RecordId", Address)

PackId = NewType("PackId", str)

EntityId = NewType("EntityId", str)
FolderId = NewType("FolderId", EntityId)
AssetId = NewType("AssetId", EntityId)
RunId = NewType("RunId", EntityId)
EvaluationId = NewType("EvaluationId", EntityId)
LeaseId = NewType("LeaseId", EntityId)

ADDRESS_BYTES = 32
MIN_PREFIX_DIGITS = 4

_HEX_ADDRESS = re.compile(r"[0-9a-f]{64}\Z")
_HEX_PACK = re.compile(r"[0-9a-f]{32}\Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def new_entity_id() -> EntityId:
    """Return a fresh random UUID."""
    return EntityId(str(uuid.uuid4()))


def new_pack_id(folder: str = "") -> PackId:
    """Return 128 random bits as 32 hex digits, of which the first are ``folder`` if it is given."""
    return PackId(folder + secrets.token_hex(16)[len(folder) :])


def parse_address(text: str) -> Address:
    """Return the address written as 64 lower-case hex digits.

    Raises:
        InvalidInputError: it is written otherwise.
    """
    if not _HEX_ADDRESS.match(text):
        raise InvalidInputError(f"not a SHA-256 id: {text!r}", value=text)
    return Address(bytes.fromhex(text))


def check_address(raw: object) -> Address:
    """Return ``raw`` if it is 32 bytes, as decoders need it.

    Raises:
        InvalidInputError: it is something else.
    """
    if not isinstance(raw, bytes) or len(raw) != ADDRESS_BYTES:
        raise InvalidInputError("not a 32-byte address", value=repr(raw)[:80])
    return Address(raw)


def parse_pack_id(text: object) -> PackId:
    """Return ``text`` if it is a pack's id.

    Raises:
        InvalidInputError: it is something else.
    """
    if not isinstance(text, str) or not _HEX_PACK.match(text):
        raise InvalidInputError(f"not a pack id: {text!r}", value=repr(text)[:80])
    return PackId(text)


def parse_entity_id(text: object) -> EntityId:
    """Return ``text`` if it is a UUID in its usual lower-case form.

    Raises:
        InvalidInputError: it is something else.
    """
    if not isinstance(text, str) or not _UUID.match(text):
        raise InvalidInputError(f"not an id: {text!r}", value=repr(text)[:80])
    return EntityId(text)
