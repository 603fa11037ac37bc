"""What a run prints, kept in the store in numbered segments while it runs (docs/format/runs.md).

A segment is written once. They come quickly at first and more rarely as a run grows old, so that a
run of a day makes a few thousand. Printing without end costs no more than ``MAX_LOG_BYTES``: then
the middle is left out and the end is kept.
"""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from ahstore.errors import InvalidInputError, StorageError
from ahstore.ids import RunId, parse_entity_id
from ahstore.storage.contract import AlreadyThereError, Storage

MAX_LOG_BYTES = 64 << 20
SEGMENT_BYTES = 1 << 20
TAIL_BYTES = 256 << 10
KEPT_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 10
RECENT_BYTES = 4 << 20
FIRST_FLUSH_SECONDS = 0.2
SLOWEST_FLUSH_SECONDS = 15.0
FLUSH_GROWTH_SECONDS = 0.05
REASON_LINES = 5
REASON_BYTES = 2000
NOTE = b"[ahstore] "
METRICS = "metrics"


class LogWriter:
    """Takes what a run prints and publishes it in segments. ``secrets`` are blotted out.

    ``stream`` names another stream of lines than what is printed: ``METRICS``.
    Whole lines are published, except for lines longer than 64 KiB.
    """

    def __init__(
        self,
        storage: Storage,
        run: RunId,
        *,
        stream: str = "",
        secrets: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        max_bytes: int = MAX_LOG_BYTES,
    ) -> None:
        self._storage = storage
        self._folder = log_folder(run, stream)
        self._secrets = [secret.encode() for secret in secrets if secret]
        self._clock = clock
        self._max_bytes = max_bytes
        self._partial = b""
        self._overwritten = b""
        self._ready = bytearray()
        self._tail = bytearray()
        self._written = 0
        self._left_out = 0
        self._segments = 0
        self._next_flush = clock() + FIRST_FLUSH_SECONDS
        self._said = bytearray()

    def write(self, data: bytes) -> None:
        """Take printed bytes; they appear in the store with the next segment."""
        text = self._partial + data
        if b"\r" in text or self._overwritten:
            text = self._without_overwritten(text)
        end = text.rfind(b"\n") + 1
        if not end and len(text) > MAX_LINE_BYTES:
            end = len(text)
        self._partial = text[end:]
        if end:
            self._take(self._redact(text[:end]))
        self.tick()

    def _without_overwritten(self, text: bytes) -> bytes:
        """Return what a terminal would show of text with carriage returns, as progress bars use.

        Of a line that has not ended the state so far is kept, to be published now and then.
        """
        *lines, partial = text.split(b"\n")
        shown = [line.rstrip(b"\r").rpartition(b"\r")[2] for line in lines]
        if lines:
            shown[0] = shown[0] or self._overwritten
            self._overwritten = b""
        if b"\r" in partial:
            states = [state for state in partial.split(b"\r") if state.strip()]
            self._overwritten = states[-1] if states else self._overwritten
            partial = b"" if partial.endswith(b"\r") else partial.rpartition(b"\r")[2]
        return b"\n".join([*shown, partial])

    def _end_line(self) -> None:
        """Take a line that has not ended."""
        rest, self._partial, self._overwritten = self._partial or self._overwritten, b"", b""
        if rest:
            self._take(self._redact(rest) + b"\n")

    def note(self, text: str) -> None:
        """Add a line of the supervisor's own."""
        self._end_line()
        self._take(self._redact(NOTE + text.encode("utf-8", "replace") + b"\n"))
        self.tick()

    def tick(self) -> None:
        """Publish a segment if it is time; to be called now and then."""
        due = self._clock() >= self._next_flush
        if due and self._overwritten:
            state, self._overwritten = self._overwritten, b""
            self._take(self._redact(state) + b"\n")
        if self._ready and (due or self._is_full()):
            self._flush()

    def _is_full(self) -> bool:
        return SEGMENT_BYTES <= len(self._ready) < KEPT_BYTES

    def close(self) -> None:
        """Publish the rest."""
        self._end_line()
        if self._left_out:
            self._ready += NOTE + b"%d bytes of output are left out here\n" % (
                self._left_out - len(self._tail)
            )
            self._ready += self._tail
            self._left_out = 0
        if self._ready:
            self._flush()

    def begin_anew(self) -> None:
        """Forget what was printed for ``last_lines``: what follows is another attempt's."""
        self._end_line()
        self._said.clear()

    def last_lines(self) -> str:
        """Return the last lines that the user's code printed, for the reason of a failure."""
        text = (bytes(self._said) + self._redact(self._partial)).decode("utf-8", "replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        return "\n".join(lines[-REASON_LINES:])[-REASON_BYTES:]

    def _take(self, data: bytes) -> None:
        if not data.startswith(NOTE):
            self._said = (self._said + data)[-2 * REASON_BYTES :]
        if self._left_out or self._written + len(data) > self._max_bytes:
            self._left_out += len(data)
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            return
        self._written += len(data)
        self._ready += data

    def _redact(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        return data

    def _flush(self) -> None:
        """Publish a segment. What the store does not take now is kept for the next, up to a limit."""
        key = segment_key(self._folder, self._segments)
        wait = self._segments * FLUSH_GROWTH_SECONDS
        try:
            self._storage.create(key, bytes(self._ready), durable=False)
        except AlreadyThereError:
            pass  # This process's own, and only the answer was lost.
        except StorageError:
            self._next_flush = self._clock() + SLOWEST_FLUSH_SECONDS
            if len(self._ready) > KEPT_BYTES:
                del self._ready[:-KEPT_BYTES]
            return
        self._ready.clear()
        self._segments += 1
        wait = min(max(wait, FIRST_FLUSH_SECONDS), SLOWEST_FLUSH_SECONDS)
        self._next_flush = self._clock() + wait


class LogReader:
    """Reads a run's log, again and again while it grows."""

    def __init__(self, storage: Storage, run: RunId, *, stream: str = "") -> None:
        self._storage = storage
        self._folder = log_folder(run, stream)
        self._last = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._partial = ""

    def new_lines(self) -> Iterator[str]:
        """Yield the lines, without their ends, of the segments that came since the last call."""
        for key in self._storage.list(self._folder, after=self._last):
            self._last = key
            self._partial += self._decode(self._storage.read(key))
            *lines, self._partial = self._partial.split("\n")
            yield from lines

    def rest(self) -> Iterator[str]:
        """Yield the last line if it has no end."""
        if self._partial:
            yield self._partial
            self._partial = ""


def recent_lines(
    storage: Storage, run: RunId, *, stream: str = "", max_bytes: int = RECENT_BYTES
) -> list[str]:
    """Return the last lines of a run, whole ones: those of the last segments up to so many bytes.

    The newest segment counts however large it is.
    """
    found: list[bytes] = []
    for key in reversed(list(storage.list(log_folder(run, stream)))):
        found.append(storage.read(key))
        if sum(map(len, found)) >= max_bytes:
            break
    return b"".join(reversed(found)).decode("utf-8", "replace").splitlines()


def log_folder(run: RunId, stream: str = "") -> str:
    """Return the folder of a run's segments: of what it printed, or of another stream."""
    return f"logs/{parse_entity_id(run)}{'.' if stream else ''}{stream}/"


def find_run_of_log(folder: str) -> RunId | None:
    """Return the run whose folder in ``logs/`` has this name; None: it is no run's."""
    run, dot, stream = folder.partition(".")
    if stream != (METRICS if dot else ""):
        return None
    with contextlib.suppress(InvalidInputError):
        return RunId(parse_entity_id(run))
    return None


def segment_key(folder: str, number: int) -> str:
    """Return the key of a segment: fixed width, so that they sort."""
    return f"{folder}{number:08d}"


def delete_log(storage: Storage, run: RunId) -> None:
    """Delete the log and the metrics of a run that is deleted."""
    for stream in ("", METRICS):
        for key in list(storage.list(log_folder(run, stream))):
            storage.delete(key)
