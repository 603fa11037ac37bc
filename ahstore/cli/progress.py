"""Progress of long work: a bar on a terminal, a line every ten seconds elsewhere.

Work that is done within half a second shows nothing, and does not pay for importing rich.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ahstore.cli.quantity import rough_size
from ahstore.versions.monitor import Monitor

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE_SECONDS = 0.5
LINE_SECONDS = 10.0


class _Counting(Monitor):
    """Counts, and calls `_show` when it is time to."""

    def __init__(self) -> None:
        self.title = ""
        self.files = self.bytes = 0
        self.all_files: int | None = None
        self.all_bytes: int | None = None
        self._next = 0.0

    def start(self, title: str, *, files: int | None = None, bytes_: int | None = None) -> None:
        """Begin a phase."""
        self.finish()
        self.title = title
        self.files = self.bytes = 0
        self.all_files, self.all_bytes = files, bytes_
        self._next = time.monotonic() + self.first_seconds

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:
        """Count, and show it when it is time to."""
        self.files += files
        self.bytes += bytes_
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.every_seconds
            self.show()

    first_seconds = PATIENCE_SECONDS
    every_seconds = 0.0

    def show(self) -> None:
        """Show how far things are."""

    def text(self) -> str:
        """Return what is done: ``120 of 300 files, 1.2 MiB of 3.0 MiB``."""
        files = f"{self.files} files" if self.all_files is None else _of(self.files, self.all_files)
        done = rough_size(self.bytes)
        if self.all_bytes is None:
            return f"{files}, {done}"
        return f"{files}, {done} of {rough_size(self.all_bytes)}"


def _of(done: int, total: int) -> str:
    return f"{done} of {total} file{'' if total == 1 else 's'}"


class Lines(_Counting):
    """Tells how far things are in plain lines, seldom."""

    first_seconds = every_seconds = LINE_SECONDS

    def __init__(self, info: Callable[[str], None]) -> None:
        super().__init__()
        self._info = info

    def show(self) -> None:
        """Write a line."""
        self._info(f"{self.title}: {self.text()}")


class Bar(_Counting):
    """A bar on a terminal that goes away when the work is done."""

    every_seconds = 0.05

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def show(self) -> None:
        """Draw the bar, making it at first."""
        if self._progress is None:
            self._open()
        assert self._progress is not None
        assert self._task is not None
        self._progress.update(
            self._task,
            completed=self.bytes if self.all_bytes else self.files,
            text=self.text(),
        )

    def _open(self) -> None:
        from rich.console import Console  # start-up: rich is for long work on a terminal only
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(
            self.title, total=self.all_bytes or self.all_files, text=self.text()
        )
        self._progress.start()

    def finish(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._task = None
