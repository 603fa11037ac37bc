"""Content that comes as bytes or as a stream: cut, hashed and stored while it comes."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ahstore.chunks.cutter import Cutter
from ahstore.codec.digests import md5
from ahstore.errors import InvalidInputError
from ahstore.objects import content_type
from ahstore.objects.chunklist import ListBuilder, build
from ahstore.objects.file import ChunkRef, Row, make_flags
from ahstore.versions.adding.reading import Content
from ahstore.versions.adding.sinks import ChunkSink

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]
    from types import TracebackType


def content_of(cutter: Cutter, sink: ChunkSink, data: bytes | memoryview) -> Content:
    """Store content held in memory, cut at its parts where its format is known."""
    view = memoryview(data).cast("B")
    parts = cutter.boundaries(lambda at, length: bytes(view[at : at + length]), len(view))
    pieces = [ChunkRef(sink.put_chunk(each), len(each)) for each in cutter.cut([view], parts)]
    level, refs = build(pieces, sink.put_chunk)
    return Content(len(view), md5(view), level, refs)


class ContentWriter:
    """Takes content block by block; holds less than a chunk of it."""

    def __init__(self, cutter: Cutter, sink: ChunkSink) -> None:
        self._feed = cutter.feed()
        self._sink = sink
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._list = ListBuilder(sink.put_chunk)
        self.size = 0

    def write(self, block: bytes | memoryview) -> None:
        """Take the next bytes, which may be reused afterwards."""
        self._md5.update(block)
        self.size += len(block)
        for piece in self._feed.add(block):
            self._list.add(ChunkRef(self._sink.put_chunk(piece), len(piece)))

    def finish(self) -> Content:
        """Return the content when all of it has come."""
        for piece in self._feed.end():
            self._list.add(ChunkRef(self._sink.put_chunk(piece), len(piece)))
        level, refs = self._list.finish()
        return Content(self.size, self._md5.digest(), level, refs)


class ObjectWriter(io.BufferedIOBase):
    """A file object open for writing. What was written counts when it is closed without an error.

    Left by an exception, or dropped without being closed, it is as if it had not been opened.
    """

    def __init__(
        self,
        content: ContentWriter,
        done: Callable[[Content], None],
        given_up: Callable[[], None],
    ) -> None:
        super().__init__()
        self._content = content
        self._done = done
        self._given_up = given_up
        self._failed = False

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._content.size

    def write(self, data: Buffer, /) -> int:
        """Append bytes and return their number.

        Raises:
            StorageError: they could not be stored; the transaction can't be published any more.
            TypeError: text was given.
        """
        if self.closed:
            raise ValueError("write to an object that is closed")
        if isinstance(data, str):
            raise TypeError("an object takes bytes, not text: encode it first")
        with memoryview(data) as view:
            self._content.write(view.cast("B"))
            return view.nbytes

    def discard(self) -> None:
        """Close it as if it had not been opened."""
        if not self.closed:
            self._failed = True
            self.close()

    def close(self) -> None:
        """End the object."""
        if self.closed:
            return
        try:
            if self._failed:
                self._given_up()
            else:
                self._done(self._content.finish())
        finally:
            super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        # Not closed: the program forgot it, or is going down. No half object comes of that.
        self._failed = True


def row_of(path: str, content: Content, *, executable: bool = False) -> Row:
    """Return the row of new content at ``path``, changed now."""
    flags = make_flags(executable=executable, level=content.level)
    kind = content_type.guess_code(path)
    return [path, content.size, content.md5, time.time_ns(), flags, kind, content.refs]


class Readable(Protocol):
    """A file object that gives bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, none at the end."""
        ...


def check_bytes(block: object) -> bytes | memoryview:
    """Return what was read from a file object if it is bytes.

    Raises:
        InvalidInputError: it is text, as from a file opened without ``b``, or nothing at all.
    """
    if isinstance(block, bytes | memoryview):
        return block
    if isinstance(block, bytearray):
        return memoryview(block)
    raise InvalidInputError(
        f"an object needs bytes; this file object gave {type(block).__name__}: open it with mode 'rb'"
    )
