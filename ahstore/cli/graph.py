"""Drawing a history beside its commits: ``*`` a commit, ``|`` a line that goes on.

Commits come so that none is before one of its children. Each open line waits for a commit; several
that wait for the same one run together as soon as they can.
"""

from __future__ import annotations

from collections.abc import Sequence


class Graph:
    """The lines of a history while its commits come, from the newest down."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def node(self, commit: str) -> str:
        """Return the row of a commit; `edges` has to follow."""
        if commit not in self._lines:
            self._lines.append(commit)
        return " ".join("*" if line == commit else "|" for line in self._lines)

    def edges(self, commit: str, parents: Sequence[str]) -> list[str]:
        """Return the rows that lead from a commit, whose row was the last, to its parents."""
        at = self._lines.index(commit)
        rows = []
        if not parents:
            rows += self._end(at)
        else:
            self._lines[at] = parents[0]
            for parent in reversed(parents[1:]):
                rows.append(self._fork(at, parent))
        while (pair := self._find_pair()) is not None:
            rows.append(self._join(*pair))
        return rows

    def going_on(self) -> str:
        """Return a row in which nothing happens."""
        return " ".join("|" for _ in self._lines)

    def _fork(self, at: int, parent: str) -> str:
        # Lines to the right step aside.
        row = "| " * at + "|\\" + " \\" * (len(self._lines) - at - 1)
        self._lines.insert(at + 1, parent)
        return row

    def _end(self, at: int) -> list[str]:
        del self._lines[at]
        return (
            [("| " * at + " /" * (len(self._lines) - at)).rstrip()] if at < len(self._lines) else []
        )

    def _find_pair(self) -> tuple[int, int] | None:
        """Return two lines that wait for one commit, the leftmost and the next."""
        seen: dict[str, int] = {}
        for at, line in enumerate(self._lines):
            if line in seen:
                return seen[line], at
            seen[line] = at
        return None

    def _join(self, left: int, right: int) -> str:
        row = (
            "| " * left
            + "|"
            + "_|" * (right - left - 1)
            + "/"
            + " /" * (len(self._lines) - right - 1)
        )
        del self._lines[right]
        return row
