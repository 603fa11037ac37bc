"""The metrics of a run: what its code writes to ``AH_METRICS_FILE``, followed while it writes.

The file is either one JSON value (a result as a whole) or JSON lines, an object each, as
``ahstore.run.log`` adds them. Lines are copied to the store as they come, as the log is
(docs/format/runs.md, "Metrics").
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from ahstore.jobs.logs import LogWriter

READ_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 10
TIME = "time"
STEP = "step"

Point = dict[str, Any]


def parse_point(line: str) -> Point | None:
    """Return a line's metrics; None for what is no JSON object of numbers and short texts."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found:
        return None
    if not all(isinstance(value, (int, float, str)) for value in found.values()):
        return None
    return found


def parse_points(lines: Iterable[str]) -> Iterator[Point]:
    """Yield the metrics of those lines that have any."""
    for line in lines:
        point = parse_point(line)
        if point is not None:
            yield point


def last_values(points: Iterable[Point]) -> dict[str, Any]:
    """Return the last value of each metric: what a run with many lines came to."""
    last: dict[str, Any] = {}
    for point in points:
        last |= point
    last.pop(TIME, None)
    return last


class MetricsTail:
    """Follows a run's metrics file. The code may make it late, write it anew or cut it short."""

    def __init__(self, path: str, writer: LogWriter) -> None:
        self._path = path
        self._writer = writer
        self._read = 0
        self._partial = b""
        self.last: Point = {}
        """The last value of each metric so far."""

    def tick(self) -> None:
        """Take what was added since the last call; a file that can't be read is no metrics."""
        with contextlib.suppress(OSError):
            self._follow()
        self._writer.tick()

    def begin_anew(self) -> None:
        """Take the rest of the file: what follows is another of the same name."""
        self._take_rest()
        self._read, self.last = 0, {}

    def close(self) -> None:
        """Take the rest, a last line without its end too."""
        self._take_rest()
        self._writer.close()

    def _take_rest(self) -> None:
        with contextlib.suppress(OSError):
            self._follow()
        self._take(self._partial + b"\n")
        self._partial = b""

    def _follow(self) -> None:
        # The code owns the file: neither a link to elsewhere nor a pipe that blocks is followed.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return
            if status.st_size < self._read:
                self._read, self._partial = 0, b""
            while data := os.pread(descriptor, READ_BYTES, self._read):
                self._read += len(data)
                self._split(data)
        finally:
            os.close(descriptor)

    def _split(self, data: bytes) -> None:
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        for line in lines:
            self._take(line + b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            self._partial = b"?"  # no line of metrics, wherever it ends

    def _take(self, line: bytes) -> None:
        if len(line) > MAX_LINE_BYTES:
            return
        point = parse_point(line.decode("utf-8", "replace"))
        if point is not None:
            self.last |= {name: value for name, value in point.items() if name != TIME}
            self._writer.write(line)
