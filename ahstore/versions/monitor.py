"""Progress of long work, told to whoever asked; the default listens to nothing."""

from __future__ import annotations


class Monitor:
    """Receives progress. Subclass it to show a bar; every method may be called from one thread."""

    def start(self, title: str, *, files: int | None = None, bytes_: int | None = None) -> None:
        """Begin a phase of so many files and bytes, None where that is not known."""

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:
        """Count what has been done since the last call."""

    def finish(self) -> None:
        """End the phase."""

    def left_out(self, path: str) -> None:
        """Take note of a local file or folder that is not added: a killed download left it."""


SILENT = Monitor()
