"""Writing data to standard output: lines as they come, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any


def emit(lines: Iterable[str]) -> None:
    """Write lines, each with its newline."""
    sys.stdout.writelines(lines)


def emit_json(value: Any) -> None:
    """Write one JSON value."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def emit_json_list(values: Iterable[Any]) -> None:
    """Write a JSON list while its items come."""
    before = "[\n"
    for value in values:
        text = json.dumps(value, indent=2).replace("\n", "\n  ")
        sys.stdout.write(f"{before}  {text}")
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")
