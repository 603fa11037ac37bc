"""Telling what was not added of a folder, whatever monitor the caller gave."""

from __future__ import annotations

from ahstore.client.core import Notify
from ahstore.versions.monitor import SILENT, Monitor


class LeftOut(Monitor):
    """Passes progress on to ``inner``, and tells the user of what a killed download had left."""

    def __init__(self, notify: Notify, inner: Monitor = SILENT) -> None:
        self._notify = notify
        self._inner = inner

    def start(self, title: str, *, files: int | None = None, bytes_: int | None = None) -> None:
        """See `Monitor.start`."""
        self._inner.start(title, files=files, bytes_=bytes_)

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:
        """See `Monitor.advance`."""
        self._inner.advance(files=files, bytes_=bytes_)

    def finish(self) -> None:
        """See `Monitor.finish`."""
        self._inner.finish()

    def left_out(self, path: str) -> None:
        """Say so, and pass it on."""
        shown = path.encode("utf-8", "backslashreplace").decode()
        self._notify(f"Leaving out {shown}: a download that was cut short left it")
        self._inner.left_out(path)
