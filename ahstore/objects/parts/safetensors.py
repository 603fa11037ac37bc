"""safetensors: a JSON header that names tensors, then their bytes, without gaps.

The header is read tensor by tensor rather than as one JSON value, so that no header, whatever
stands in it, takes more memory than its tensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from ahstore.chunks.formats.reading import MAX_PARTS, Glance
from ahstore.chunks.formats.safetensors import MAX_HEADER_BYTES, is_it
from ahstore.objects.parts.part import Contents, Part, Range, add, check_shape, count, refuse

__all__ = ["BITS", "is_it", "read"]

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""How many bits an element takes. Types that come later are shown, and compared as bytes."""

_METADATA = "__metadata__"
_MAX_ENTRY = 8192  # characters of one tensor's entry
_SPACE = re.compile(r"[ \t\r\n]*")


def read(file: Glance) -> Contents:
    """Return the tensors.

    Raises:
        NotThisFormatError: the header is malformed, or is not one of these bytes.
    """
    length = int.from_bytes(file.read(0, 8), "little")
    if length > MAX_HEADER_BYTES:
        refuse("its header is too long")
    start = 8 + length
    contents = Contents("safetensors")
    spans = []
    for name, entry in _entries(file.read(8, length)):
        part = _part(name, entry, start)
        add(contents.parts, part)
        spans.append(part.ranges[0])
    at = start
    for offset, size in sorted(spans):
        if offset != at:
            refuse("its tensors overlap or leave gaps")
        at = offset + size
    if at != file.size:
        refuse("its tensors are not as long as the file")
    return contents


def _part(name: str, entry: dict[str, Any], start: int) -> Part:
    dtype, offsets = entry.get("dtype"), entry.get("data_offsets")
    if not isinstance(dtype, str) or not isinstance(offsets, list) or len(offsets) != 2:
        refuse(f"tensor {name[:80]!r} has no type or no place")
    begin, end = offsets
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end < 1 << 63:
        refuse(f"tensor {name[:80]!r} has no place")
    shape = check_shape(entry.get("shape"))
    bits = BITS.get(dtype)
    if bits is not None and count(shape) * bits != (end - begin) * 8:
        refuse(f"tensor {name[:80]!r} is not as long as its shape says")
    return Part(
        name,
        (Range(start + begin, end - begin),),
        dtype=dtype,
        shape=shape,
        raw_bytes=end - begin,
        opaque="" if bits is not None and bits >= 8 else f"{dtype[:80]} is not known",
    )


def _entries(header: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and description of each tensor."""
    try:
        text = header.decode()
    except UnicodeDecodeError:
        refuse("its header is not UTF-8")
    try:
        yield from _members(text)
    except (ValueError, RecursionError):
        refuse("its header is malformed")


def _members(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    at = _expect(text, _blank(text, 0), "{")
    seen = 0
    while not text.startswith("}", at):
        if seen:
            at = _blank(text, _expect(text, at, ","))
        seen += 1
        if seen > MAX_PARTS:
            refuse("it has too many tensors")
        name, at = scanstring(text, _expect(text, at, '"'))
        at = _blank(text, _expect(text, _blank(text, at), ":"))
        if name == _METADATA:
            at = _pass_strings(text, at)
        else:
            end = text.find("}", at, at + _MAX_ENTRY) + 1
            entry = json.loads(text[at:end])
            if not isinstance(entry, dict):
                refuse(f"tensor {name[:80]!r} is not described")
            yield name, entry
            at = end
        at = _blank(text, at)
    if _blank(text, at + 1) != len(text):
        refuse("its header goes on behind its end")


def _pass_strings(text: str, at: int) -> int:
    """Return where an object of strings ends."""
    at = _blank(text, _expect(text, at, "{"))
    first = True
    while not text.startswith("}", at):
        if not first:
            at = _blank(text, _expect(text, at, ","))
        first = False
        _, at = scanstring(text, _expect(text, at, '"'))
        at = _blank(text, _expect(text, _blank(text, at), ":"))
        _, at = scanstring(text, _expect(text, at, '"'))
        at = _blank(text, at)
    return at + 1


def _blank(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _expect(text: str, at: int, char: str) -> int:
    if not text.startswith(char, at):
        refuse("its header is malformed")
    return at + 1
