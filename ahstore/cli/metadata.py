"""A commit's metadata as people read it: a line for each value. JSON is what ``--json`` is for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ahstore.cli.table import clean


def metadata_lines(metadata: Mapping[str, Any]) -> list[str]:
    """Return ``key: value`` lines, sorted by key; what is inside a map as ``outer.inner: value``."""
    return [f"{clean(key)}: {clean(_text(value))}" for key, value in _flat(metadata)]


def _flat(metadata: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in sorted(metadata):
        value = metadata[key]
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _text(value: Any) -> str:
    """Return a text as it is, unless it could be taken for something else; else JSON."""
    if isinstance(value, str) and value == value.strip() and value and not _is_json(value):
        return value if "\n" not in value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
