"""A second process that reads and hashes small files beside this one.

Hashing thousands of small files is bound by Python, and threads would take turns; a forked child
does not. It gets its share of files by the fork, puts their bytes into shared memory and their
digests into a pipe, and ends. It touches no cache and writes nothing; what it does not deliver,
for whatever reason, its parent reads itself. Only a process of a single thread is forked.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import signal
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from ahstore.versions.adding.reading import read_small
from ahstore.versions.adding.unknown import ToRead
from ahstore.versions.crew import processes

_RECORD = struct.Struct(">?16s32s")
"""Whether the file was as walked; MD5; SHA-256."""
_RECORDS_AT_ONCE = 1024
_MISSING = _RECORD.pack(False, b"", b"")


class SecondProcess:
    """A child at work on ``files``; use as a context manager, so that it is always awaited."""

    def __init__(self, pid: int, pipe: int, memory: mmap.mmap, sizes: Sequence[int]) -> None:
        self._pid, self._pipe, self._memory, self._sizes = pid, pipe, memory, sizes

    @staticmethod
    def start(files: Iterable[ToRead], sizes: Sequence[int]) -> SecondProcess | None:
        """Fork a child for small files of these sizes in bytes; None where that is not safe."""
        if processes() == 1:
            return None
        memory = mmap.mmap(-1, sum(sizes) + 1)
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            memory.close()
            return None
        if pid == 0:
            _work(files, memory, writing)
        os.close(writing)
        return SecondProcess(pid, reading, memory, sizes)

    def results(self) -> Iterator[tuple[int, memoryview, bytes, bytes]]:
        """Yield place in ``files``, bytes, MD5 and SHA-256 of each file that was as walked.

        The bytes may be used until the block is left.
        """
        view = memoryview(self._memory).toreadonly()
        sizes, end = enumerate(self._sizes), 0
        with os.fdopen(self._pipe, "rb", closefd=False) as pipe:
            while records := pipe.read(_RECORD.size * _RECORDS_AT_ONCE):
                whole = len(records) - len(records) % _RECORD.size
                for done, md5, sha256 in _RECORD.iter_unpack(records[:whole]):
                    at, size = next(sizes)
                    start, end = end, end + size
                    if done:
                        yield at, view[start:end], md5, sha256

    def __enter__(self) -> SecondProcess:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pipe)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        with contextlib.suppress(BufferError):  # someone keeps a view: it goes with that
            self._memory.close()


def _work(files: Iterable[ToRead], memory: mmap.mmap, pipe: int) -> NoReturn:
    """Be the child. Whatever happens, nothing of the parent's is run on the way out."""
    try:
        records: list[bytes] = []
        md5, sha256 = hashlib.md5, hashlib.sha256
        for _, local, stamp in files:
            data = read_small(local, stamp)
            if data is None:
                records.append(_MISSING)
                memory.seek(stamp[0], os.SEEK_CUR)
            else:
                memory.write(data)
                digest = md5(data, usedforsecurity=False).digest()
                records.append(_RECORD.pack(True, digest, sha256(data).digest()))
        _write_all(pipe, b"".join(records))
    finally:
        os._exit(0)


def _write_all(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
