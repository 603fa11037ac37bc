"""zip, as it carries NumPy's npz, PyTorch's checkpoints and much else: cut at the members' data.

What stands between two members' data (descriptor, local header with padding and checksum, and the
small header of an ``.npy``) is kept apart from both, so the same array gives the same chunks under
another name, behind another neighbour and in a file of another format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ahstore.chunks.formats.reading import MAX_PARTS, Glance, NotThisFormatError

MAX_DIRECTORY_BYTES = 8 * 2**20
LEAST_MEMBER_BYTES = 16_384  # the local headers of smaller ones are not even read
_LOCAL = struct.Struct("<4s22xHH")
LOCAL_BYTES = _LOCAL.size
_CENTRAL = struct.Struct("<4s4xHH8xIIHHH8xI")
_END = struct.Struct("<4s6xHIIH")
_LOCATOR64 = struct.Struct("<4s4xQ4x")
_END64 = struct.Struct("<4s28xQQQ")
_MAX_COMMENT_BYTES = 65_535
_FULL = 0xFFFFFFFF
_LOCAL_BYTES = 512  # enough for the names, padding and .npy header of nearly all


class Member(NamedTuple):
    """What the directory says of a member, unchecked; sizes in bytes."""

    header: int  # offset of its local header
    stored: int  # its data as they lie in the file
    raw: int  # its data decompressed
    name: bytes
    method: int  # 0 stored, 8 deflate
    flags: int


def is_it(head: bytes) -> bool:
    """Tell whether a file that begins so may be one."""
    return head.startswith(b"PK\x03\x04")


def boundaries(file: Glance) -> list[int]:
    """Return where local headers, members' data and the central directory begin, in no order.

    Raises:
        NotThisFormatError: an end, a directory or a local header that is none.
    """
    start, members = directory(file)
    found = [start]
    for member in members:
        found.append(member.header)
        if member.stored >= LEAST_MEMBER_BYTES:
            begin, payload = data_of(file, member.header)
            if begin + member.stored > start:
                raise NotThisFormatError
            found += (begin, payload, begin + member.stored)
    return found


def directory(file: Glance) -> tuple[int, Iterator[Member]]:
    """Return where the central directory begins, and the members as it lists them.

    Raises:
        NotThisFormatError: there is none, or it is longer than is looked at; the iterator, too,
            raises it.
    """
    count, size, start = _end(file)
    if count > MAX_PARTS or size > MAX_DIRECTORY_BYTES:
        raise NotThisFormatError
    return start, _members(file.read(start, size), count)


def _end(file: Glance) -> tuple[int, int, int]:
    """Return the number of members and the directory's size and offset."""
    tail, at = _find_end(file)
    _, count, size, start, _ = _END.unpack_from(tail, at)
    if at >= _LOCATOR64.size:
        magic, end64 = _LOCATOR64.unpack_from(tail, at - _LOCATOR64.size)
        if magic == b"PK\x06\x07":
            magic, count, size, start = _END64.unpack(file.read(end64, _END64.size))
            if magic != b"PK\x06\x06":
                raise NotThisFormatError
    return count, size, start


def _find_end(file: Glance) -> tuple[bytes, int]:
    """Return the file's last bytes and where in them the end record is.

    It ends the file but for its comment: else those letters stand in some data. Mostly there is no
    comment, and what stands before the record is not read.
    """
    for more in (0, _MAX_COMMENT_BYTES):
        length = min(file.size, _END.size + _LOCATOR64.size + more)
        tail = file.read(file.size - length, length)
        at = tail.rfind(b"PK\x05\x06")
        if 0 <= at <= length - _END.size:
            (said,) = struct.unpack_from("<H", tail, at + _END.size - 2)
            if at + _END.size + said == length:
                return tail, at
    raise NotThisFormatError


def _members(directory: bytes, count: int) -> Iterator[Member]:
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(directory):
            raise NotThisFormatError
        magic, flags, method, stored, raw, name, extra, comment, header = _CENTRAL.unpack_from(
            directory, at
        )
        if magic != b"PK\x01\x02":
            raise NotThisFormatError
        extra_at = at + _CENTRAL.size + name
        at = extra_at + extra + comment
        if _FULL in (stored, raw, header):
            fields = directory[extra_at : extra_at + extra]
            stored, raw, header = _wide(fields, stored, raw, header)
        yield Member(header, stored, raw, directory[extra_at - name : extra_at], method, flags)
    if at != len(directory):
        raise NotThisFormatError


def _wide(extra: bytes, stored: int, raw: int, header: int) -> tuple[int, int, int]:
    """Return sizes and offset of a member whose numbers stand in a zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]  # less where it claims more than there is
            values = [v for (v,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
            if raw == _FULL and values:
                raw = values.pop(0)
            if stored == _FULL and values:
                stored = values.pop(0)
            if header == _FULL and values:
                header = values.pop(0)
            break
        at += 4 + length
    return stored, raw, header


def data_of(file: Glance, header: int) -> tuple[int, int]:
    """Return where a member's data begins, and where its array does if it is an ``.npy``.

    Raises:
        NotThisFormatError: there is no local header there.
    """
    local = file.read_upto(header, _LOCAL_BYTES)
    begin = begin_of_data(local)
    head = local[begin : begin + 12]
    if head.startswith(b"\x93NUMPY\x01") and len(head) == 12:
        return header + begin, header + begin + 10 + int.from_bytes(head[8:10], "little")
    if head.startswith((b"\x93NUMPY\x02", b"\x93NUMPY\x03")) and len(head) == 12:
        return header + begin, header + begin + 12 + int.from_bytes(head[8:12], "little")
    return header + begin, header + begin


def begin_of_data(local: bytes) -> int:
    """Return the length of a local header, of which ``local`` is the first 30 bytes or more.

    Raises:
        NotThisFormatError: it is none.
    """
    if len(local) < LOCAL_BYTES:
        raise NotThisFormatError
    magic, name, extra = _LOCAL.unpack_from(local)
    if magic != b"PK\x03\x04":
        raise NotThisFormatError
    return LOCAL_BYTES + int(name) + int(extra)
