"""What the runner knows of a tool: shell lines for rows, set-up, where it stores."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.workloads import Data


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool at work in one round, in a folder of its own that was empty at first.

    Attributes:
        name: as the table shows it.
        folder: where its lines run.
        lines: by row, the shell line that is timed. A row that is left out it can't do.
        stored: bytes added are counted below this folder.
        set_up: shell lines before everything, not timed.
        before: by row, a shell line right before the timed one, not timed.
        restored: by row, the folder in which it must leave the files that were committed last.
        env: variables for all its lines.
    """

    name: str
    folder: Path
    lines: Mapping[str, str]
    stored: Path | None = None
    set_up: Sequence[str] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    restored: Mapping[str, str] = field(default_factory=lambda: {"W6": "out", "W6b": "outbig"})
    env: Mapping[str, str] = field(default_factory=dict)


MakeTool = Callable[[Path, Data], Tool]


def quoted(*words: object) -> str:
    """Return words as part of a shell line."""
    return shlex.join(str(word) for word in words)
