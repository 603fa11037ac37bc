"""zip, as it carries NumPy's npz, PyTorch's checkpoints and much else.

The directory tells names and places. What a member's local header says (where its data begins,
what array it is) is asked for by :func:`detail`, only for members that may have changed.
A PyTorch checkpoint is shown by its storage records, which have no type: that stands in a pickle,
and no pickle is ever loaded.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from ahstore.chunks.formats.reading import Glance
from ahstore.chunks.formats.zip import LOCAL_BYTES, Member, begin_of_data, directory, is_it
from ahstore.objects.parts import npy
from ahstore.objects.parts.part import Contents, FormatName, Part, Range, add, count, refuse

__all__ = ["detail", "is_it", "read"]

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 1, 1 << 11
_HEAD_BYTES = npy.MAX_HEADER_BYTES
_NPY = ".npy"
_PICKLE = "/data.pkl"


def read(file: Glance) -> Contents:
    """Return the members, each with all bytes from its local header to the next one.

    Raises:
        NotThisFormatError: the directory is malformed, or is not one of these bytes.
    """
    start, found = directory(file)
    members = sorted(found, key=lambda member: member.header)
    names = [_name(member) for member in members]
    format_, root = _format(names)
    contents = Contents(format_)
    ends = chain((member.header for member in members[1:]), [start])
    for member, name, end in zip(members, names, ends, strict=False):
        if member.header + LOCAL_BYTES + member.stored > end:
            refuse("its members overlap")
        if format_ == "npz":
            name = name.removesuffix(_NPY)
        add(contents.parts, _part(member, name.removeprefix(root), end))
    return contents


def detail(file: Glance, part: Part) -> Part:
    """Return a member with the place, type and shape of its data.

    Raises:
        NotThisFormatError: its local header or that of its array is malformed.
    """
    member = part.pending
    if member is None:
        return part
    begin = member.header + begin_of_data(file.read(member.header, LOCAL_BYTES))
    if begin + member.stored > member.header + part.ranges[0].length:
        refuse("a member is longer than there is room")
    part = replace(part, ranges=(Range(begin, member.stored),), pending=None)
    is_array = member.name.endswith(_NPY.encode())
    if member.flags & _ENCRYPTED or member.method not in (_STORED, _DEFLATED):
        return replace(part, opaque="it is encrypted or compressed in another way")
    if member.method == _STORED:
        return npy.place(part, npy.header_at(file, begin)) if is_array else part
    part = replace(part, coding="deflate")
    return _array(part, file.read(begin, min(member.stored, _HEAD_BYTES))) if is_array else part


def _array(part: Part, stored: bytes) -> Part:
    """Return a deflated array, of which ``stored`` are the first bytes."""
    assert part.raw_bytes is not None
    try:
        head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, _HEAD_BYTES)
    except zlib.error:
        refuse("a member can't be decompressed")
    header = npy.read_header(head)
    raw = part.raw_bytes - header.length
    if header.item_bytes is not None and header.item_bytes * count(header.shape) != raw:
        refuse("an array is not as long as its shape says")
    return replace(npy.described(part, header), raw_bytes=raw, skip=header.length)


def _part(member: Member, name: str, end: int) -> Part:
    return Part(
        name,
        (Range(member.header, end - member.header),),
        raw_bytes=member.raw,
        opaque="its type is not known",
        pending=member,
    )


def _format(names: Sequence[str]) -> tuple[FormatName, str]:
    """Return what the archive is, and what all its names begin with."""
    for name in names:
        if name.endswith(_PICKLE) and name.count("/") == 1:
            root = name.removesuffix("data.pkl")
            if all(each.startswith(root) for each in names):
                return "pytorch", root
    if names and all(name.endswith(_NPY) for name in names):
        return "npz", ""
    return "zip", ""


def _name(member: Member) -> str:
    try:
        return member.name.decode("utf-8" if member.flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        refuse("a member's name is not text")
