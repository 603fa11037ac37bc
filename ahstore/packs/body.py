"""The body of a pack on its way to the file: compressed and written by a thread of its own.

The thread that adds blobs goes on hashing meanwhile. What waits is bounded in bytes. Where blobs
come to lie is known only behind compression, so the thread tells it at the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ahstore.codec.compression import RAW, compress
from ahstore.codec.digests import checksum64
from ahstore.errors import InvalidInputError
from ahstore.packs.format import RECORD
from ahstore.storage.contract import FileWriter

MAX_WAITING_BYTES = 16 * 2**20
THREAD_FROM_BYTES = 4 * 2**20
"""Less than this is written when the pack is finished: a thread would not be worth starting."""


class _Block(NamedTuple):
    """Bytes to write as they are. ``keys``: whose blobs are in it, believed to start at ``at``."""

    data: list[bytes]
    size: int
    at: int
    keys: list[bytes]


class _Blob(NamedTuple):
    """One large blob, not compressed yet. ``data`` is bytes, or a view of such."""

    data: bytes | memoryview
    size: int
    key: bytes
    compressible: bool


class BodyWriter:
    """Writes blocks and blobs in the order given; ``finish`` or ``abort`` ends its thread.

    ``open_file`` is called by the caller's thread, when there is something to write.

    Attributes:
        saved: bytes saved by compression so far.
        records: entries of the index for the blobs; complete after ``finish``.
        shifts: by how much the blobs of these keys lie off the place they were believed at.
    """

    def __init__(self, open_file: Callable[[], FileWriter]) -> None:
        self.saved = 0
        self.records: dict[bytes, bytes] = {}
        self.shifts: list[tuple[list[bytes], int]] = []
        self._open_file = open_file
        self._file: FileWriter | None = None
        self._offset = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._waiting: deque[_Block | _Blob] = deque()
        self._waiting_bytes = 0
        self._ending = False
        self._thread: threading.Thread | None = None

    def put_block(self, data: list[bytes], size: int, at: int, keys: list[bytes]) -> None:
        """Take small blobs joined to a block of ``size`` bytes.

        Raises:
            StorageError: something before could not be written.
        """
        self._put(_Block(data, size, at, keys))

    def put_blob(
        self, data: bytes | memoryview, size: int, key: bytes, *, compressible: bool
    ) -> None:
        """Take a blob whose bytes will not change; raises as ``put_block``."""
        self._put(_Blob(data, size, key, compressible))

    def finish(self, data: list[bytes], size: int, at: int, keys: list[bytes]) -> int:
        """Write a last block and all that waits; return the bytes written. Raises as above."""
        self._end()
        if self._error is not None:
            raise self._error
        self._file = self._file or self._open_file()
        while self._waiting:
            self._write(self._waiting.popleft())
        self._write(_Block(data, size, at, keys))
        return self._offset

    def abort(self) -> None:
        """Drop what waits. The thread does not touch the file any more when this returns."""
        with self._changed:
            self._waiting.clear()
        self._end()

    def _put(self, item: _Block | _Blob) -> None:
        if self._thread is None and self._waiting_bytes >= THREAD_FROM_BYTES:
            self._file = self._open_file()
            self._thread = threading.Thread(target=self._run, name="pack", daemon=True)
            self._thread.start()
        with self._changed:
            while self._error is None and self._waiting_bytes >= MAX_WAITING_BYTES:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._waiting.append(item)
            self._waiting_bytes += item.size
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._ending:
                    self._changed.wait()
                if not self._waiting:
                    return
                item = self._waiting.popleft()
            try:
                self._write(item)
            except BaseException as error:
                # Told to the thread that adds: it must not wait for one that has given up.
                with self._changed:
                    self._error = error
                    self._waiting.clear()
                    self._changed.notify_all()
                return
            size = item.size
            del item  # let go of the blob's memory before waiting for the next
            with self._changed:
                self._waiting_bytes -= size
                self._changed.notify_all()

    def _write(self, item: _Block | _Blob) -> None:
        if isinstance(item, _Blob):
            self._write_blob(item)
            return
        if item.keys and item.at != self._offset:
            self.shifts.append((item.keys, self._offset - item.at))
        if item.size:
            self._send(item.data, item.size)

    def _write_blob(self, blob: _Blob) -> None:
        codec, data = RAW, blob.data
        packed = compress(data) if blob.compressible else None
        if packed is not None:
            codec, data = packed
        stored = len(data)
        checksum = checksum64(data)
        address, kind = blob.key[:-1], blob.key[-1]
        self.records[blob.key] = RECORD.pack(
            address, kind, codec, 0, stored, blob.size, self._offset, checksum
        )
        self._send([data], stored)
        self.saved += blob.size - stored

    def _send(self, data: Sequence[bytes | memoryview], size: int) -> None:
        if self._file is None:
            raise InvalidInputError("the body of this pack is not being written")
        self._file.write_all(data)
        self._offset += size
