"""Format pages as data: the tables of a page, by what stands before them."""

from __future__ import annotations

import re
from pathlib import Path

FORMAT = Path(__file__).parents[2] / "docs" / "format"


class FormatPage:
    """One page of docs/format."""

    def __init__(self, name: str) -> None:
        self.text = (FORMAT / f"{name}.md").read_text()
        self.words = " ".join(self.text.split())

    def table(self, after: str) -> list[list[str]]:
        """Return the rows of the first table behind a text, without its head."""
        start = self.text.index(after) + len(after)
        lines = self.text[start:].splitlines()
        first = next(at for at, line in enumerate(lines) if line.startswith("|"))
        rows = []
        for line in lines[first + 2 :]:
            if not line.startswith("|"):
                break
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        return rows

    def keys(self, after: str, *, column: int = 0) -> dict[str, bool]:
        """Return the keys that a table names, in order, and whether each may be missing."""
        found = {}
        for row in self.table(after):
            optional = bool(re.match(r"optional\b|only\b|absent\b", row[column + 1])) or (
                ", absent if" in row[column + 1]
            )
            for key in re.findall(r"`([a-z_]+)`", row[column]):
                found[key] = optional
        return found

    def fields(self, after: str) -> list[tuple[int, int, str]]:
        """Return offset, length and meaning of the fixed-width fields that a table lists."""
        return [(int(at), int(size), what) for at, size, what in self.table(after)]
