"""npy: a short header that is a Python literal, then one array. The literal is matched, not evaluated.

The header is also that of each member of an ``.npz``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ahstore.chunks.formats.reading import Glance
from ahstore.objects.parts.part import Contents, Part, Range, check_shape, count, refuse

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 65_536
ARRAY = "array"
"""The name of the one part of an ``.npy``."""
PICKLED = "pickled objects, which are never read"

_TOKEN = re.compile(r"\s*('[^'\\\n]*'|[0-9]{1,19}|True|False|[\[\](){},:])L?")
_SIMPLE = re.compile(r"([<>=|]?)([biufcmMSUVO])([0-9]{0,9})(\[[0-9A-Za-z/]{1,16}\])?")
_OBJECTS = re.compile(r"'[<>=|]?O[0-9]*'")
_MAX_DEPTH = 32
_FIXED_BYTES = 12  # those that say how long the header is


class Header(NamedTuple):
    """What an array's header says; ``length`` is its own, in bytes."""

    length: int
    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    item_bytes: int | None  # None: records of fields, or pickled objects
    opaque: str


def is_it(head: bytes) -> bool:
    """Tell whether a file that begins so may be one."""
    return head.startswith(MAGIC)


def read(file: Glance) -> Contents:
    """Return the array.

    Raises:
        NotThisFormatError: the header is malformed, or is not one of these bytes.
    """
    header = header_at(file, 0)
    part = place(Part(ARRAY, (Range(0, file.size),)), header)
    return Contents("npy", {ARRAY: part})


def place(part: Part, header: Header) -> Part:
    """Return an array of which ``part`` says where its header begins and its data ends.

    Raises:
        NotThisFormatError: it is not as long as its shape says.
    """
    ((offset, length),) = part.ranges
    raw = length - header.length
    if header.item_bytes is not None and header.item_bytes * count(header.shape) != raw:
        refuse("an array is not as long as its shape says")
    return replace(
        described(part, header), ranges=(Range(offset + header.length, raw),), raw_bytes=raw
    )


def described(part: Part, header: Header) -> Part:
    """Return the part with the type and shape of its array."""
    return replace(
        part,
        dtype=header.dtype,
        shape=header.shape,
        fortran=header.fortran and len(header.shape) > 1,
        opaque=header.opaque,
    )


def header_at(file: Glance, offset: int) -> Header:
    """Return the header that stands there; no byte behind it is read.

    Raises:
        NotThisFormatError: it is malformed, or longer than is looked at.
    """
    return read_header(file.read(offset, _length(file.read_upto(offset, _FIXED_BYTES))))


def _length(head: bytes) -> int:
    version = head[6:7]
    if version == b"\x01":
        length = 10 + int.from_bytes(head[8:10], "little")
    elif version in (b"\x02", b"\x03"):
        length = 12 + int.from_bytes(head[8:12], "little")
    else:
        refuse("a version of npy that is not known")
    if not head.startswith(MAGIC) or length > MAX_HEADER_BYTES:
        refuse("an array's header is malformed or too long")
    return length


def read_header(head: bytes) -> Header:
    """Return what the header says with which ``head`` begins.

    Raises:
        NotThisFormatError: it is malformed, cut short, or longer than is looked at.
    """
    length = _length(head)
    if len(head) < length:
        refuse("an array's header is cut short")
    at, encoding = (
        (10 if head[6:7] == b"\x01" else 12),
        "utf-8" if head[6:7] == b"\x03" else "latin-1",
    )
    try:
        text = head[at:length].decode(encoding)
    except UnicodeDecodeError:
        refuse("an array's header is not text")
    fields = _fields(text)
    dtype, item_bytes, opaque = _dtype(fields["descr"])
    fortran = fields["fortran_order"] == ["True"]
    return Header(length, dtype, _shape(fields["shape"]), fortran, item_bytes, opaque)


def _fields(text: str) -> dict[str, list[str]]:
    """Return the tokens of each of the dictionary's values."""
    tokens = _tokens(text)
    if next(tokens, None) != "{":
        refuse("an array's header is malformed")
    found: dict[str, list[str]] = {}
    for key in tokens:
        if key == "}":
            break
        if next(tokens, None) != ":" or key in found:
            refuse("an array's header is malformed")
        value, end = _value(tokens)
        found[key] = value
        if end == "}":
            break
    if set(found) != {"'descr'", "'fortran_order'", "'shape'"}:
        refuse("an array's header is malformed")
    return {key.strip("'"): value for key, value in found.items()}


def _tokens(text: str) -> Iterator[str]:
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None:
            refuse("an array's header is malformed")
        yield token[1]
        at = token.end()


def _value(tokens: Iterator[str]) -> tuple[list[str], str]:
    """Return a value's tokens, and the one that ends it."""
    value: list[str] = []
    depth = 0
    for each in tokens:
        if not depth and each in ",}":
            return value, each
        depth += (each in "[(") - (each in "])")
        if not 0 <= depth <= _MAX_DEPTH:
            break
        value.append(each)
    return refuse("an array's header is malformed")


def _shape(value: list[str]) -> tuple[int, ...]:
    if value[:1] != ["("] or value[-1:] != [")"]:
        refuse("a shape that is none")
    sizes, commas = value[1:-1:2], value[2:-1:2]
    if {*commas} - {","} or not all(size.isdecimal() for size in sizes):
        refuse("a shape that is none")
    return check_shape([int(size) for size in sizes])


def _dtype(value: list[str]) -> tuple[str, int | None, str]:
    """Return a type's spelling, the bytes of an element, and why values can't be compared."""
    descr = "".join(value)
    if descr.startswith("["):
        return descr, None, PICKLED if _OBJECTS.search(descr) else "records of several fields"
    match = _SIMPLE.fullmatch(descr.strip("'"))
    if match is None:
        refuse("an array of a type that is not known")
    shown, kind = match[0].lstrip("|="), match[2]
    if kind == "O":
        return shown, None, PICKLED
    item_bytes = int(match[3] or 0) * (4 if kind == "U" else 1)
    return shown, item_bytes, "" if item_bytes else "elements of no bytes"
