"""What was measured: for each row and tool, each measure's values, one a round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

Measured = Mapping[str, float]


@dataclass(slots=True)
class Results:
    """Values by row, tool and measure.

    Attributes:
        file_system: the type of the one that was worked on.
        values: by row, tool and measure.
        failed: what went wrong, by tool and row.
    """

    file_system: str = ""
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, row: str, tool: str, measured: Measured) -> None:
        """Take one round's measures of a row."""
        for measure, value in measured.items():
            by_tool = self.values.setdefault(row, {})
            by_tool.setdefault(tool, {}).setdefault(measure, []).append(value)

    def add_all(self, tool: str, measured: Mapping[str, Measured]) -> None:
        """Take one round's measures of several rows."""
        for row, each in measured.items():
            self.add(row, tool, each)

    def tools(self) -> list[str]:
        """Return the tools that measured anything, in the order of their first row."""
        return list(dict.fromkeys(tool for by_tool in self.values.values() for tool in by_tool))

    def series(self, row: str, tool: str, measure: str) -> list[float]:
        """Return the values of all rounds, none if it was not measured."""
        return self.values.get(row, {}).get(tool, {}).get(measure, [])

    def ratios(self, row: str, tool: str, to: str) -> list[float]:
        """Return the seconds of ``tool`` over those of ``to``, round by round."""
        return [
            a / b
            for a, b in zip(
                self.series(row, tool, "seconds"), self.series(row, to, "seconds"), strict=False
            )
        ]

    def median(self, row: str, tool: str, measure: str) -> float | None:
        """Return a measure's median; ``÷ NAME`` is the median of the ratios to that tool."""
        if measure.startswith("÷ "):
            values = self.ratios(row, tool, measure.removeprefix("÷ "))
        else:
            values = self.series(row, tool, measure)
        return statistics.median(values) if values else None
