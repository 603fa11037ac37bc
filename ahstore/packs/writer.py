"""Writing a pack: blobs as they come, then the index, then the file is published.

Implements docs/format/packs.md, "Writing". A pack is durable when ``finish`` returns; nothing of
it can be seen before. Which blobs go into it, and whether the store has them, is decided above.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from ahstore.codec.compression import RAW, compress
from ahstore.codec.digests import checksum64
from ahstore.errors import InvalidInputError
from ahstore.ids import Address, PackId, new_pack_id
from ahstore.packs import format as layout
from ahstore.packs.body import BodyWriter
from ahstore.packs.place import (
    MAX_BLOB_BYTES,
    Family,
    Kind,
    Place,
    is_possible_blob,
    pack_key,
)
from ahstore.storage.contract import FileWriter, Storage

if TYPE_CHECKING:
    from typing_extensions import Self

BUFFER_BYTES = 1 << 20
DIRECT_BYTES = 1 << 16
"""From this size on a blob goes to the other thread as it is, not copied into a block."""

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
    """Collects blobs in one new pack. For one thread; after ``finish`` or ``abort`` it is done.

    Chunks are compressed where that pays: large ones, like all writing, in a thread beside the
    caller's. ``pack`` is a new id for it; a random one if it is left out.
    """

    def __init__(self, storage: Storage, family: Family, pack: PackId | None = None) -> None:
        self.id = pack or new_pack_id()
        self.family = family
        self._storage = storage
        self._file: FileWriter | None = None
        self._body = BodyWriter(self._open_file)
        # Entries by key. That of a large blob is empty: the body knows it in the end.
        self._records: dict[bytes, bytes] = {}
        self._parts: list[bytes] = [layout.encode_header(family)]
        self._parts_bytes = layout.HEADER_BYTES
        self._parts_at = 0
        self._keys: list[bytes] = []
        self._offset = layout.HEADER_BYTES
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes of the pack so far, its index included; large blobs may still shrink."""
        index = len(self._records) * layout.RECORD_BYTES
        return self._offset - self._body.saved + index + layout.TRAILER_BYTES

    @property
    def count(self) -> int:
        """Number of blobs so far."""
        return len(self._records)

    def add(self, kind: Kind, address: Address, data: bytes | memoryview) -> None:
        """Append a blob whose SHA-256 is ``address``; one that is in this pack is not added again.

        ``data`` may be reused by the caller afterwards.

        Raises:
            InvalidInputError: it is longer than ``MAX_BLOB_BYTES``, or the writer is done.
            StorageError: it, or what came before, could not be written; the writer has given up
                the pack.
        """
        key = address + _KIND_BYTE[kind]
        if key in self._records:
            return
        length = len(data) if type(data) is bytes else memoryview(data).nbytes
        if self._closed or length > MAX_BLOB_BYTES or len(key) != layout.KEY_BYTES:
            self._refuse(length)
        try:
            if length >= DIRECT_BYTES:
                self._add_large(kind, key, data, length)
            else:
                self._add_small(kind, key, data if type(data) is bytes else bytes(data), length)
        except BaseException:
            self.abort()
            raise

    def _add_small(self, kind: Kind, key: bytes, data: bytes, raw: int) -> None:
        packed = compress(data) if kind is Kind.CHUNK else None
        codec = RAW
        if packed is not None:
            codec, data = packed
        self._add_part(kind, key, data, raw, codec)

    def _add_part(self, kind: Kind, key: bytes, data: bytes, raw: int, codec: int) -> None:
        stored = len(data)
        self._records[key] = layout.RECORD.pack(
            key[:-1], kind, codec, 0, stored, raw, self._offset, checksum64(data)
        )
        self._keys.append(key)
        self._parts.append(data)
        self._parts_bytes += stored
        self._offset += stored
        if self._parts_bytes >= BUFFER_BYTES:
            self._flush()

    def add_stored(
        self, kind: Kind, address: Address, data: bytes, *, raw: int, codec: int
    ) -> None:
        """Append a blob as another pack has it: ``data`` unpacks by ``codec`` to ``raw`` bytes.

        Who calls has verified that these are the bytes of ``address``. Raises as ``add``.
        """
        key = address + _KIND_BYTE[kind]
        if key in self._records:
            return
        possible = is_possible_blob(kind, codec, len(data), raw)
        if self._closed or not possible or len(key) != layout.KEY_BYTES:
            self._refuse(raw)
        try:
            self._add_part(kind, key, data, raw, codec)
        except BaseException:
            self.abort()
            raise

    def _add_large(self, kind: Kind, key: bytes, data: bytes | memoryview, length: int) -> None:
        self._flush()
        # Only bytes are sure to stay as they are until the other thread is done with them.
        kept = data if type(data) is bytes or _is_view_of_bytes(data) else bytes(data)
        self._body.put_blob(kept, length, key, compressible=kind is Kind.CHUNK)
        self._records[key] = b""
        self._offset += length
        self._parts_at = self._offset

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
            end = self._body.finish(*self._take_block())
            index = self._index()
            trailer = layout.encode_trailer(self.id, self.family, end, index)
            size = end + len(index) + len(trailer)
            # Read back as a reader would: better no pack than one that nobody can read.
            layout.check_index(index, layout.decode_trailer(trailer, size=size))
            file = self._open_file()
            file.write(index + trailer)
            file.commit()
        except BaseException:
            self.abort()
            raise
        self._closed = True
        return FinishedPack(self.id, self.family, size, index)

    def _index(self) -> bytes:
        records = self._records
        for keys, shift in self._body.shifts:
            for key in keys:
                records[key] = layout.shifted(records[key], shift)
        records.update(self._body.records)
        return b"".join(map(records.__getitem__, sorted(records)))

    def abort(self) -> None:
        """Give the pack up; nothing of it stays. Harmless when it is finished."""
        self._closed = True
        self._parts.clear()
        self._body.abort()
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

    def _flush(self) -> None:
        if self._parts:
            self._body.put_block(*self._take_block())

    def _take_block(self) -> tuple[list[bytes], int, int, list[bytes]]:
        """Return the small blobs that wait: bytes, their number, where they start, their keys."""
        block = self._parts, self._parts_bytes, self._parts_at, self._keys
        self._parts, self._parts_bytes, self._keys = [], 0, []
        self._parts_at = self._offset
        return block

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


def _is_view_of_bytes(data: bytes | memoryview) -> bool:
    return type(data) is memoryview and type(data.obj) is bytes and data.contiguous
