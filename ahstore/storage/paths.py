"""The grammar of keys: how a part of a key is spelt, which keys exist, what may be done to them.

Implements docs/format/storage.md, "Keys". Keys hold lower-case letters, digits and ``~._-`` only,
so that a store means the same on file systems that fold case and in buckets; every other
character of a name is escaped.
"""

from __future__ import annotations

import base64
import binascii
import re

from ahstore.errors import CorruptError, InvalidInputError

MAX_PART_BYTES = 255
MAX_KEY_BYTES = 1024
VERSION_DIGITS = 12
MAX_VERSION = 2**48 - 1

FIRST_VERSION_NAME = "f" * VERSION_DIGITS
"""The file name of version 0 of a cell."""

LEASE_FOLDER = "cells/lease/"

_PLAIN_PART = re.compile(r"[a-z0-9_-][a-z0-9._-]*(?<!\.)\Z")
_PLAIN_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-.")
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ESCAPES = re.compile(r"~(?:([a-z])|0([0-9a-f]{2}))|([a-z0-9_.-])")

_PART = r"[a-z0-9~_-][a-z0-9~._-]{0,254}"
_FOLDER = re.compile(rf"(?:{_PART}/)*\Z")
_KEY = re.compile(
    r"(?:store\.json"
    r"|packs/(?:data|meta)/[0-9a-f]{2}/[0-9a-f]{32}"
    rf"|index/{_PART}"
    rf"|cells(?:/{_PART}){{2,}}/[0-9a-f]{{{VERSION_DIGITS}}}"
    rf"|hints(?:/{_PART})+"
    rf"|logs(?:/{_PART}){{2,}}"
    rf"|aside(?:/{_PART})+)\Z"
)
_DELETABLE = ("packs/", "index/", "hints/", "logs/", LEASE_FOLDER)


def escape(part: str) -> str:
    """Return ``part`` as a part of a key: at most 255 bytes, one spelling for one ``part``.

    ``A`` is ``~a``, any other odd byte of its UTF-8 is ``~0`` and two hex digits. What would be
    longer than 255 bytes is ``~9`` and base32 of the whole.

    Raises:
        InvalidInputError: it is empty, not UTF-8, or too long (158 bytes always fit).
    """
    if _PLAIN_PART.match(part) and len(part) <= MAX_PART_BYTES:
        return part
    if not part:
        raise InvalidInputError("a part of a key is empty")
    try:
        raw = part.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"not valid UTF-8: {ascii(part)[:80]}") from None
    last = len(part) - 1
    escaped = "".join(
        _escape_character(character, at_edge=at in (0, last)) for at, character in enumerate(part)
    )
    if len(escaped) > MAX_PART_BYTES:
        escaped = "~9" + base64.b32encode(raw).decode().rstrip("=").lower()
    if len(escaped) > MAX_PART_BYTES:
        raise InvalidInputError(f"too long for a part of a key: {part[:40]!r}…", value=part[:200])
    return escaped


def _escape_character(character: str, *, at_edge: bool) -> str:
    if character in _UPPER:
        return "~" + character.lower()
    if character in _PLAIN_CHARACTERS and not (at_edge and character == "."):
        return character
    return "".join(f"~0{byte:02x}" for byte in character.encode())


def unescape(escaped: str) -> str:
    """Return the part that ``escape`` spelt so.

    Raises:
        CorruptError: ``escape`` never spells anything so.
    """
    if _PLAIN_PART.match(escaped) and len(escaped) <= MAX_PART_BYTES:
        return escaped
    try:
        part = _decode_base32(escaped[2:]) if escaped.startswith("~9") else _decode(escaped)
        if escape(part) == escaped:
            return part
    except (ValueError, binascii.Error):
        pass
    raise CorruptError(f"not the name of a folder in a store: {escaped[:200]!r}", name=escaped)


def _decode(escaped: str) -> str:
    raw = bytearray()
    at = 0
    while at < len(escaped):
        found = _ESCAPES.match(escaped, at)
        if not found:
            raise ValueError(escaped)
        upper, odd, plain = found.groups()
        raw += bytes.fromhex(odd) if odd else (upper.upper() if upper else plain).encode()
        at = found.end()
    return raw.decode()


def _decode_base32(text: str) -> str:
    padded = text.upper() + "=" * (-len(text) % 8)
    return base64.b32decode(padded).decode()


def check_key(key: str) -> str:
    """Return ``key`` if it is the key of a file that a store may hold.

    Raises:
        InvalidInputError: it is not.
    """
    if not is_key(key):
        raise InvalidInputError(f"not a key of a store: {key[:200]!r}", key=key)
    return key


def is_key(name: str) -> bool:
    """Tell whether a file of this name is one that a store may hold."""
    return _KEY.match(name) is not None and len(name) <= MAX_KEY_BYTES


def check_folder(prefix: str) -> str:
    """Return ``prefix`` if it is empty or a folder of keys, written with a ``/`` at its end.

    Raises:
        InvalidInputError: it is neither.
    """
    if not _FOLDER.match(prefix):
        raise InvalidInputError(f"not a folder of a store: {prefix[:200]!r}", key=prefix)
    return prefix


def check_replaceable(key: str) -> str:
    """Return ``key`` if its file may be overwritten: it is a hint.

    Raises:
        InvalidInputError: it may not.
    """
    if not check_key(key).startswith("hints/"):
        raise InvalidInputError(f"only hints may be overwritten, not {key!r}", key=key)
    return key


def check_deletable(key: str) -> str:
    """Return ``key`` if its file may ever go away; who may do it is said by the design.

    Raises:
        InvalidInputError: it stays for ever (a version of a cell, ``store.json``).
    """
    if not check_key(key).startswith(_DELETABLE):
        raise InvalidInputError(f"this file is never deleted: {key!r}", key=key)
    return key


def check_hollowable(key: str) -> str:
    """Return ``key`` if it may be a version of a cell whose value is taken away.

    Raises:
        InvalidInputError: it is something else, or a lease's.
    """
    if not check_key(key).startswith("cells/") or key.startswith(LEASE_FOLDER):
        raise InvalidInputError(f"only versions of cells are emptied, not {key!r}", key=key)
    return key


def is_later_version(key: str) -> bool:
    """Tell whether ``key`` is a version of a cell that must find its folder there: not number 0."""
    return key.startswith("cells/") and not key.endswith("/" + FIRST_VERSION_NAME)


def version_name(number: int) -> str:
    """Return the file name of a cell's version; the newest sorts first."""
    if not 0 <= number <= MAX_VERSION:
        raise InvalidInputError(f"not the number of a version: {number}")
    return f"{MAX_VERSION - number:0{VERSION_DIGITS}x}"


def version_number(name: str) -> int:
    """Return the number of the version that has this file name."""
    return MAX_VERSION - int(name, 16)
