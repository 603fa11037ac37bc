"""Writing data to standard output: lines as they come, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

LINES_AT_ONCE = 1000


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
        text = json.dumps(value, indent=2).replace("\n", "\n  ")
        yield f"{before}  {text}"
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
