"""Reading one of the user's files once: MD5, cutting and hashing from the same buffers.

Never by mmap: a truncation would kill the process, and MD5 and chunks could see different bytes.
A file that changes while it is read is read again, then refused.
"""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ahstore.chunks.cutter import Cutter
from ahstore.errors import (
    InvalidInputError,
    ObjectNotFoundError,
    SourceChangedError,
    StorageError,
)
from ahstore.ids import ChunkId
from ahstore.index.stamps import Fields, Stamp, fields, stamp
from ahstore.objects.chunklist import build
from ahstore.objects.file import ChunkRef
from ahstore.versions.monitor import Monitor

BLOCK_BYTES = 2 * 2**20
BLOCKS_AHEAD = 8
ATTEMPTS = 3
_LARGEST_KEPT_BYTES = 31 * 2**20
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Content(NamedTuple):
    """What a file holds: size in bytes, MD5, and its chunks (level and refs of a row)."""

    size: int
    md5: bytes
    level: int
    refs: bytes


PutChunk = Callable[[bytes | memoryview], ChunkId]


def read_content(
    local: str, cutter: Cutter, put_chunk: PutChunk, monitor: Monitor
) -> tuple[Content, Stamp]:
    """Read a file whole and give its chunks to ``put_chunk``; returns its stamp too.

    Raises:
        ObjectNotFoundError: it is gone.
        SourceChangedError: it changed during each of several attempts.
        StorageError: it can't be read.
    """
    try:
        for _ in range(ATTEMPTS):
            read = _read_once(local, cutter, put_chunk, monitor)
            if read is not None:
                return read
    except FileNotFoundError:
        raise ObjectNotFoundError(f"{local} vanished while it was added", path=local) from None
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"can't read {local}: {error.strerror}", path=local) from error
    raise SourceChangedError(
        f"{local} keeps changing while it is read: try again when its writer is done", path=local
    )


def _read_once(
    local: str, cutter: Cutter, put_chunk: PutChunk, monitor: Monitor
) -> tuple[Content, Stamp] | None:
    fd = os.open(local, _OPEN_FLAGS)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInputError(f"{local} is not a regular file", path=local)
        before = stamp(found)
        content = _read_large(fd, before.st_size, cutter, put_chunk, monitor)
        after = stamp(os.fstat(fd))
    finally:
        os.close(fd)
    return (content, after) if before == after and content.size == after.st_size else None


def read_small(local: str, walked: Fields) -> bytes | None:
    """Return the bytes of a small file that is as it was walked, from before to after reading.

    None where :func:`read_content` must decide: it changed, is gone, or can't be read.
    """
    try:
        fd = os.open(local, _OPEN_FLAGS)
    except OSError:
        return None
    try:
        size = walked[0]
        data = os.read(fd, size + 1)
        after = os.fstat(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    return data if len(data) == size and fields(after) == walked else None


def _read_large(
    fd: int, size: int, cutter: Cutter, put_chunk: PutChunk, monitor: Monitor
) -> Content:
    parts = cutter.boundaries(lambda offset, length: os.pread(fd, length, offset), size)
    _keep_freed_blocks()
    with _Md5Thread() as md5:
        total = 0

        def blocks() -> Iterator[bytes]:
            nonlocal total
            while block := os.read(fd, BLOCK_BYTES):
                total += len(block)
                md5.update(block)
                yield block
                monitor.advance(bytes_=len(block))

        pieces = [ChunkRef(put_chunk(piece), len(piece)) for piece in cutter.cut(blocks(), parts)]
        digest = md5.digest()
    level, refs = build(pieces, put_chunk)
    return Content(total, digest, level, refs)


def _keep_freed_blocks() -> None:
    """Have the C library keep the memory of blocks that are done for the next ones.

    glibc gives memory of this size back to the system at once, and each page of the next block
    costs a fault, until it has seen a block as large as 32 MiB freed. ``bytes`` of zeros are not
    touched, so that costs nothing; elsewhere it does no harm.
    """
    bytes(_LARGEST_KEPT_BYTES)


class _Md5Thread:
    """MD5, the slowest of all that is done to a byte, on a core of its own; memory is bounded."""

    def __init__(self) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)
        self._blocks: queue.Queue[bytes | None] = queue.Queue(BLOCKS_AHEAD)
        self._thread = threading.Thread(target=self._run, name="md5", daemon=True)
        self._thread.start()

    def __enter__(self) -> _Md5Thread:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()

    def update(self, block: bytes) -> None:
        self._blocks.put(block)

    def digest(self) -> bytes:
        self._blocks.put(None)
        self._thread.join()
        return self._hash.digest()

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._hash.update(block)
