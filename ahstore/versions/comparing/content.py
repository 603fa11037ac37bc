"""An object's bytes by ranges, read by whole chunks, a few of which are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ahstore.chunks.formats.reading import Glance
from ahstore.errors import CorruptError
from ahstore.ids import ChunkId
from ahstore.objects.chunklist import walk
from ahstore.objects.file import SIZE, ChunkRef, Row
from ahstore.objects.samebytes import Listed
from ahstore.versions.repository import Repository

KEPT_BYTES = 8 * 2**20
KEPT_LISTS = 64
BLOCK_BYTES = 2**20


class Content:
    """A file's bytes. Not for several threads.

    Attributes:
        size: in bytes.
        listed: its chunk list.
    """

    def __init__(self, repo: Repository, row: Row) -> None:
        self.size: int = row[SIZE]
        self._repo = repo
        self._lists: OrderedDict[ChunkId, bytes] = OrderedDict()
        self._kept: OrderedDict[ChunkId, bytes] = OrderedDict()
        self._kept_bytes = 0
        self.listed = Listed.of(row, self.read_list)

    def glance(self) -> Glance:
        """Return what a format's module looks at: a bounded number of bytes."""
        return Glance(self.read, self.size)

    def read(self, offset: int, length: int) -> bytes:
        """Return these bytes, or those of them that there are.

        Raises:
            CorruptError: a chunk is not as long as the list says.
        """
        refs = walk(
            self.listed.level, self.listed.refs, self.read_list, offset=offset, length=length
        )
        found = list(refs) if length > 0 else []
        if not found:
            return b""
        data = b"".join(self._chunks([ref for ref, _ in found]))
        begin = offset - found[0][1]
        return data[begin : begin + length]

    def blocks(self, offset: int, length: int) -> Iterator[bytes]:
        """Yield these bytes in blocks of ``BLOCK_BYTES``."""
        end = offset + length
        for at in range(offset, end, BLOCK_BYTES):
            yield self.read(at, min(BLOCK_BYTES, end - at))

    def _chunks(self, refs: list[ChunkRef]) -> Iterator[bytes]:
        wanted = [ref.id for ref in refs if ref.id not in self._kept]
        new = {ChunkId(id_): data for id_, data in self._repo.read_chunks(wanted)} if wanted else {}
        for ref in refs:
            data = new.get(ref.id) or self._kept[ref.id]
            if len(data) != ref.length:
                raise CorruptError(f"chunk {ref.id.hex()} is not as long as its file says")
            yield data
        for id_, data in new.items():
            self._kept[id_] = data
            self._kept_bytes += len(data)
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def read_list(self, chunk: ChunkId) -> bytes:
        """Return a chunk of the chunk list, kept for a while."""
        data = self._lists.get(chunk)
        if data is None:
            data = self._lists[chunk] = self._repo.read_chunk(chunk)
            if len(self._lists) > KEPT_LISTS:
                self._lists.popitem(last=False)
        return data
