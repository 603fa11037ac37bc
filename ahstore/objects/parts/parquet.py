"""Parquet: the schema's leaves are the columns; the footer tells where their chunks lie."""

from __future__ import annotations

from typing import Any

from ahstore.chunks.formats.parquet import MAGIC, MAX_FOOTER_BYTES, is_it
from ahstore.chunks.formats.reading import MAX_PARTS, Glance
from ahstore.chunks.formats.thrift import Compact, binary, integer, seen, struct, structs
from ahstore.objects.parts.part import Contents, Part, Range, add, refuse

__all__ = ["is_it", "read"]

_TYPE, _TYPE_LENGTH, _REPETITION, _NAME, _CHILDREN, _CONVERTED, _SCALE, _PRECISION, _LOGICAL = (
    1, 2, 3, 4, 5, 6, 7, 8, 10,
)  # fmt: skip
_TIMESTAMP, _FLOAT16, _UUID = 8, 15, 14
_UNITS = {1: "ms", 2: "us", 3: "ns"}
_ELEMENT = {
    **dict.fromkeys((_TYPE, _TYPE_LENGTH, _REPETITION, _CHILDREN), integer()),
    **dict.fromkeys((_CONVERTED, _SCALE, _PRECISION), integer()),
    _NAME: binary(),
    _LOGICAL: struct(
        {_TIMESTAMP: struct({2: struct(dict.fromkeys(_UNITS, seen()))}), _FLOAT16: seen(), _UUID: seen()}
    ),
}  # fmt: skip
_BYTES, _DATA_PAGE, _DICTIONARY_PAGE = 7, 9, 11
_COLUMN = {3: struct(dict.fromkeys((_TYPE, _BYTES, _DATA_PAGE, _DICTIONARY_PAGE), integer()))}
_FILE = {
    2: structs(_ELEMENT),
    3: integer(),
    4: structs({1: structs(_COLUMN), 3: integer()}),
}

_PHYSICAL = (
    "boolean", "int32", "int64", "int96", "float", "double", "byte_array", "fixed_byte_array",
)  # fmt: skip
_CONVERTED_NAMES = (
    "string", "map", "map", "list", "enum", "decimal", "date", "time[ms]", "time[us]",
    "timestamp[ms]", "timestamp[us]", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
    "int32", "int64", "json", "bson", "interval",
)  # fmt: skip
_REPEATED = 2
_MAX_DEPTH = 32
_MAX_NAME = 1024
NESTED = "a nested column"


def read(file: Glance) -> Contents:
    """Return the columns.

    Raises:
        NotThisFormatError: the footer is malformed, or is not one of these bytes.
    """
    tail = file.read(file.size - 8, 8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length > MAX_FOOTER_BYTES:
        refuse("it has no footer, or a long one")
    footer = file.size - 8 - length
    found = Compact(file.read(footer, length)).struct(_FILE)
    leaves = _leaves(found.get(2, []))
    groups = found.get(4, [])
    rows = tuple(group.get(3, -1) for group in groups)
    if any(not 0 <= count < 1 << 63 for count in rows) or sum(rows) != found.get(3):
        refuse("its row groups don't add up")
    ranges: list[list[Range]] = [[] for _ in leaves]
    for group in groups:
        columns = group.get(1, [])
        if len(columns) != len(leaves):
            refuse("a row group has not the schema's columns")
        for column, leaf, places in zip(columns, leaves, ranges, strict=True):
            where = column.get(3, {})
            if where.get(_TYPE) != leaf[2]:
                refuse("a column is not of its schema's type")
            places.append(_range(where, footer))
    contents = Contents("parquet", group_rows=rows)
    for (name, dtype, _, is_nested), places in zip(leaves, ranges, strict=True):
        part = Part(
            name,
            tuple(places),
            dtype=dtype,
            shape=(sum(rows),),
            coding="parquet",
            opaque=NESTED if is_nested else "",
        )
        add(contents.parts, part)
    return contents


def _range(where: dict[int, Any], footer: int) -> Range:
    size, begin = where.get(_BYTES, -1), where.get(_DATA_PAGE, -1)
    # Some writers say 0 where there is no dictionary.
    begin = min(begin, where.get(_DICTIONARY_PAGE) or begin)
    if not 4 <= begin <= begin + size <= footer:
        refuse("a column lies elsewhere")
    return Range(begin, size)


def _leaves(elements: list[dict[int, Any]]) -> list[tuple[str, str, int, bool]]:
    """Return name, type, physical type and whether it is nested, of each column of the schema."""
    if not elements or len(elements) > MAX_PARTS:
        refuse("its schema is empty or too long")
    found = []
    # For each group entered: its path, how many children are to come, and whether any repeats.
    path: list[tuple[str, int, bool]] = [("", elements[0].get(_CHILDREN, 0), False)]
    letters = 0
    for element in elements[1:]:
        while path and path[-1][1] == 0:
            path.pop()
        if not path or len(path) > _MAX_DEPTH:
            refuse("its schema is malformed or too deep")
        above, left, repeats = path[-1]
        path[-1] = above, left - 1, repeats
        name = _name(element)
        full = f"{above}.{name}" if above else name
        letters += len(full)
        if letters > MAX_FOOTER_BYTES:
            refuse("its schema has too long names")
        repeats = repeats or element.get(_REPETITION) == _REPEATED
        children = element.get(_CHILDREN, 0)
        if _TYPE not in element and children >= 0:
            path.append((full, children, repeats))
        elif _TYPE in element and 0 <= element[_TYPE] < len(_PHYSICAL):
            found.append((full, _dtype(element), element[_TYPE], repeats or len(path) > 1))
        else:
            refuse("its schema is malformed")
    if any(left for _, left, _ in path):
        refuse("its schema is cut short")
    return found


def _name(element: dict[int, Any]) -> str:
    try:
        name = str(element.get(_NAME, b"").decode())
    except UnicodeDecodeError:
        refuse("a column's name is not text")
    if len(name) > _MAX_NAME:
        refuse("a column's name is too long")
    return name


def _dtype(element: dict[int, Any]) -> str:
    physical = _PHYSICAL[element[_TYPE]]
    if element[_TYPE] == len(_PHYSICAL) - 1:
        physical = f"{physical}[{element.get(_TYPE_LENGTH, 0)}]"
    converted = element.get(_CONVERTED, -1)
    logical = element.get(_LOGICAL, {})
    if _TIMESTAMP in logical:
        unit = next(iter(logical[_TIMESTAMP].get(2, {})), None)
        return f"timestamp[{_UNITS[unit]}]" if unit else "timestamp"
    if _FLOAT16 in logical or _UUID in logical:
        return "float16" if _FLOAT16 in logical else "uuid"
    if not 0 <= converted < len(_CONVERTED_NAMES):
        return physical
    if _CONVERTED_NAMES[converted] == "decimal":
        return f"decimal({element.get(_PRECISION, 0)}, {element.get(_SCALE, 0)})"
    return _CONVERTED_NAMES[converted]
