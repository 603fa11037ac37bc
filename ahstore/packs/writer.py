"""Writing a pack: blobs as they come, then the index, then the file is published.

Implements docs/format/packs.md, "Writing". A pack is durable when ``finish`` returns; nothing of
it can be seen before. Which blobs go into it, and whether the store has them, is decided above.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from ahstore.codec.digests import checksum64
from ahstore.errors import InvalidInputError
from ahstore.ids import Address, PackId, new_pack_id
from ahstore.packs import format as layout
from ahstore.packs.place import MAX_BLOB_BYTES, RAW, Family, Kind, Place, pack_key
from ahstore.storage.contract import FileWriter, Storage

if TYPE_CHECKING:
    from typing_extensions import Self

BUFFER_BYTES = 1 << 20
DIRECT_BYTES = 1 << 16
"""From this size on a blob is handed to the file as it is, not copied into the buffer."""

_KIND_BYTE = {kind: bytes([kind]) for kind in Kind}


@dataclass(frozen=True, slots=True)
class FinishedPack:
    """A published pack: ``index`` holds its checked entries as they stand in the file."""

    id: PackId
    family: Family
    size: int
    index: bytes

    @property
    def count(self) -> int:
        """Number of blobs."""
        return len(self.index) // layout.RECORD_BYTES

    @property
    def entries(self) -> list[tuple[Address, Place]]:
        """Address and place of each blob, sorted; made anew at each call."""
        return list(layout.entries(self.index, self.id, self.family))


class PackWriter:
    """Collects blobs in one new pack. For one thread; after ``finish`` or ``abort`` it is done."""

    def __init__(self, storage: Storage, family: Family) -> None:
        self.id = new_pack_id()
        self.family = family
        self._storage = storage
        self._file: FileWriter | None = None
        self._records: dict[bytes, bytes] = {}
        self._parts: list[bytes] = [layout.encode_header(family)]
        self._parts_bytes = layout.HEADER_BYTES
        self._offset = layout.HEADER_BYTES
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes of the pack so far, its index included."""
        index = len(self._records) * layout.RECORD_BYTES
        return self._offset + index + layout.TRAILER_BYTES

    @property
    def count(self) -> int:
        """Number of blobs so far."""
        return len(self._records)

    def add(self, kind: Kind, address: Address, data: bytes | memoryview) -> Place:
        """Append a blob whose SHA-256 is ``address``; one that is in this pack is not added again.

        ``data`` may be reused by the caller afterwards.

        Raises:
            InvalidInputError: it is longer than ``MAX_BLOB_BYTES``, or the writer is done.
            StorageError: it could not be written; the writer has given up the pack.
        """
        key = address + _KIND_BYTE[kind]
        if key in self._records:
            return layout.record_place(self._records[key], self.id, self.family)
        length = len(data) if type(data) is bytes else memoryview(data).nbytes
        if self._closed or length > MAX_BLOB_BYTES or len(key) != layout.KEY_BYTES:
            self._refuse(length)
        offset = self._offset
        checksum = checksum64(data)
        self._append(data, length)
        self._offset += length
        self._records[key] = layout.RECORD.pack(
            address, kind, RAW, 0, length, length, offset, checksum
        )
        return Place(self.id, self.family, kind, offset, length, length, RAW, checksum)

    def finish(self) -> FinishedPack | None:
        """Publish the pack; None, and no file, if nothing was added.

        Raises:
            StorageError: it could not be published; the writer has given it up.
        """
        if self._closed:
            self._refuse(0)
        if not self._records:
            self.abort()
            return None
        try:
            index = b"".join(map(self._records.__getitem__, sorted(self._records)))
            trailer = layout.encode_trailer(self.id, self.family, self._offset, index)
            size = self.size
            # Read back as a reader would: better no pack than one that nobody can read.
            layout.check_index(index, layout.decode_trailer(trailer, size=size))
            self._append(index, len(index))
            self._append(trailer, len(trailer))
            self._flush()
            self._open_file().commit()
        except BaseException:
            self.abort()
            raise
        self._closed = True
        return FinishedPack(self.id, self.family, size, index)

    def abort(self) -> None:
        """Give the pack up; nothing of it stays. Harmless when it is finished."""
        self._closed = True
        self._parts.clear()
        if self._file is not None:
            self._file.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()

    def _append(self, data: bytes | memoryview, length: int) -> None:
        try:
            if length >= DIRECT_BYTES:
                self._flush()
                self._open_file().write(data)
            else:
                self._parts.append(data if type(data) is bytes else bytes(data))
                self._parts_bytes += length
                if self._parts_bytes >= BUFFER_BYTES:
                    self._flush()
        except BaseException:
            self.abort()
            raise

    def _flush(self) -> None:
        if self._parts:
            self._open_file().write(b"".join(self._parts))
            self._parts.clear()
            self._parts_bytes = 0

    def _open_file(self) -> FileWriter:
        if self._file is None:
            self._file = self._storage.new_file(pack_key(self.family, self.id))
        return self._file

    def _refuse(self, length: int) -> None:
        if self._closed:
            raise InvalidInputError("this pack is finished or given up")
        if length > MAX_BLOB_BYTES:
            raise InvalidInputError(f"a blob of {length} bytes, the limit is {MAX_BLOB_BYTES}")
        raise InvalidInputError("an address has 32 bytes")
