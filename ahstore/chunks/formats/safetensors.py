"""safetensors: the length of a JSON header (u64, little-endian), the header, the tensors' bytes.

The header is searched for the tensors' offsets rather than parsed: in JSON ``"data_offsets"`` with
both quotes can't stand inside of a string, and a search has no nesting and no numbers to explode.
"""

from __future__ import annotations

import re

from ahstore.chunks.formats.reading import MAX_PARTS, Glance, NotThisFormatError

MAX_HEADER_BYTES = 16 * 2**20
_OFFSETS = re.compile(rb'"data_offsets"[ \t\r\n]*:[ \t\r\n]*\[([0-9, \t\r\n]{3,64})\]')
_PAIR = re.compile(rb"\s*([0-9]{1,19})\s*,\s*([0-9]{1,19})\s*")


def is_it(head: bytes) -> bool:
    """Tell whether a file that begins so may be one."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES


def boundaries(file: Glance) -> list[int]:
    """Return where tensors begin and end, in no order.

    Raises:
        NotThisFormatError: a header that does not describe the whole rest of the file, without
            overlaps, as the format demands.
    """
    start = 8 + int.from_bytes(file.read(0, 8), "little")
    found = []
    for match in _OFFSETS.finditer(file.read(8, start - 8)):
        pair = _PAIR.fullmatch(match[1])
        if pair is None:
            raise NotThisFormatError
        found.append((int(pair[1]), int(pair[2])))
        if len(found) > MAX_PARTS:
            raise NotThisFormatError
    found.sort()
    at = 0
    for begin, end in found:
        if begin != at or end < begin:
            raise NotThisFormatError
        at = end
    if start + at != file.size:
        raise NotThisFormatError
    return [start, *(start + end for _, end in found)]
