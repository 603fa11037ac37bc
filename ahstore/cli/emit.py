"""Writing data to standard output: lines as they come, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

LINES_AT_ONCE = 1000

_quoted = json.encoder.encode_basestring_ascii


def emit(lines: Iterable[str]) -> None:
    """Write lines, each with its newline; many in one write, even to an unbuffered output."""
    lines = iter(lines)
    while some := list(islice(lines, LINES_AT_ONCE)):
        sys.stdout.write("".join(some))


def emit_json(value: Any) -> None:
    """Write one JSON value."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def emit_json_list(values: Iterable[Any]) -> None:
    """Write a JSON list while its items come."""
    emit(_json_list(values))


def _json_list(values: Iterable[Any]) -> Iterator[str]:
    before = "[\n"
    for value in values:
        yield f"{before}  {_item(value)}"
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _item(value: Any, newline: str = "\n  ") -> str:
    """Return ``json.dumps(value, indent=2)`` as it stands in a list; ``newline`` has the indent.

    ``json`` indents field by field in Python, which takes several times as long for records.
    """
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if not value or kind not in (dict, list):
        return "[]" if kind is list else json.dumps(value)
    inner = newline + "  "
    if kind is list:
        return f"[{inner}{f',{inner}'.join([_item(item, inner) for item in value])}{newline}]"
    fields = [f"{_quoted(key)}: {_item(item, inner)}" for key, item in value.items()]
    return f"{{{inner}{f',{inner}'.join(fields)}{newline}}}"
