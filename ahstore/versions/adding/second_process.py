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
from collections.abc import Iterator, Sequence
from typing import NoReturn

from ahstore.versions.adding.reading import read_small, signature
from ahstore.versions.adding.walk import LocalFile
from ahstore.versions.crew import processes

_RECORD = struct.Struct(">?16s32s")
"""Whether the file was as walked; MD5; SHA-256."""


class SecondProcess:
    """A child at work on ``files``; use as a context manager, so that it is always awaited."""

    def __init__(self, pid: int, pipe: int, memory: mmap.mmap, files: Sequence[LocalFile]) -> None:
        self._pid, self._pipe, self._memory, self._files = pid, pipe, memory, files

    @staticmethod
    def start(files: Sequence[LocalFile], limit: int) -> SecondProcess | None:
        """Fork a child for files of at most ``limit`` bytes each; None where that is not safe."""
        if processes() == 1:
            return None
        memory = mmap.mmap(-1, sum(file.stat.st_size for file in files) + 1)
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            memory.close()
            return None
        if pid == 0:
            _work(files, limit, memory, writing)
        os.close(writing)
        return SecondProcess(pid, reading, memory, files)

    def results(self) -> Iterator[tuple[int, memoryview, bytes, bytes]]:
        """Yield place in ``files``, bytes, MD5 and SHA-256 of each file that was as walked.

        The bytes may be used until the block is left.
        """
        view = memoryview(self._memory).toreadonly()
        at = offset = 0
        with os.fdopen(self._pipe, "rb", closefd=False) as records:
            while len(record := records.read(_RECORD.size)) == _RECORD.size:
                done, md5, sha256 = _RECORD.unpack(record)
                end = offset + self._files[at].stat.st_size
                if done:
                    yield at, view[offset:end], md5, sha256
                at, offset = at + 1, end

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


def _work(files: Sequence[LocalFile], limit: int, memory: mmap.mmap, pipe: int) -> NoReturn:
    """Be the child. Whatever happens, nothing of the parent's is run on the way out."""
    try:
        offset = 0
        records: list[bytes] = []
        for file in files:
            read = read_small(file.local, limit)
            size = file.stat.st_size
            if read is not None and signature(read[1]) == signature(file.stat):
                data = read[0]
                memory[offset : offset + size] = data
                md5 = hashlib.md5(data, usedforsecurity=False).digest()
                records.append(_RECORD.pack(True, md5, hashlib.sha256(data).digest()))
            else:
                records.append(_RECORD.pack(False, b"", b""))
            offset += size
        _write_all(pipe, b"".join(records))
    finally:
        os._exit(0)


def _write_all(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
