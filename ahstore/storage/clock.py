"""The clock of a file system, which may be another machine's."""

from __future__ import annotations

import os
import time

_SAMPLE_SECONDS = 60.0
_GRAIN_SECONDS = 2.0


class FileClock:
    """Tells the time by which the file system at ``root`` stamps files.

    It compares the two clocks once a minute; where they agree (a local disk) the machine's own
    finer one is used. Where nothing can be written the machine's clock has to do.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._offset = 0.0
        self._sampled: float | None = None

    def now(self) -> float:
        """Return seconds since 1970."""
        monotonic = time.monotonic()
        if self._sampled is None or monotonic - self._sampled > _SAMPLE_SECONDS:
            self._offset = self._measure()
            self._sampled = monotonic
        return time.time() + self._offset

    def _measure(self) -> float:
        try:
            fd = self._open_fresh()
            try:
                offset = os.fstat(fd).st_mtime - time.time()
            finally:
                os.close(fd)
        except OSError:
            return 0.0
        return offset if abs(offset) > _GRAIN_SECONDS else 0.0

    def _open_fresh(self) -> int:
        """Open a file that the file system has just stamped."""
        try:
            return os.open(self._root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            folder = os.path.join(self._root, ".local")
            if not os.path.isdir(folder):
                os.mkdir(folder)
            fd = os.open(
                os.path.join(folder, "clock"), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666
            )
            os.utime(fd)
            return fd
