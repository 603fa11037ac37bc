"""Reading packs: one blob, many with few requests, a pack's index, the list of packs.

Nothing is handed out unverified: stored bytes against their XXH3 always, unpacked ones against
their SHA-256 when they may come from elsewhere, and always before anything parses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from ahstore.codec.compression import RAW, decompress
from ahstore.codec.digests import checksum64, sha256
from ahstore.errors import AhError, CorruptError, InvalidInputError, UnsupportedError
from ahstore.ids import Address, PackId
from ahstore.packs import format as layout
from ahstore.packs.place import FAMILIES, Family, Kind, Place, pack_key, parse_pack_key
from ahstore.storage.at_once import each
from ahstore.storage.contract import MissingError, Range, Storage

MAX_GAP_BYTES = 64 * 1024
MAX_SPAN_BYTES = 8 * 2**20
TAIL_BYTES = 64 * 1024
"""How much of a pack's end is read at once: with it most indexes come in one request."""

Wanted = tuple[Address, Place]
Found = tuple[Address, bytes]
FoundView = tuple[Address, "bytes | memoryview"]


class PackReader:
    """Reads the packs of one store. Threads may share it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self, address: Address, place: Place, *, trusted: bool) -> bytes:
        """Return a blob's bytes.

        Args:
            address: what they must hash to.
            place: where they lie.
            trusted: the store's disk is our own, and a chunk's XXH3 is enough.

        Raises:
            MissingError: there is no such pack (any more).
            CorruptError: the bytes are not those; names pack, offset and address.
        """
        try:
            data = self._storage.read_range(
                pack_key(place.family, place.pack), place.offset, place.stored
            )
        except CorruptError as error:
            raise _damaged(address, place, str(error)) from error
        return bytes(unpack_verified(address, place, data, trusted=trusted))

    def read_many(self, wanted: Iterable[Wanted], *, trusted: bool = True) -> Iterator[Found]:
        """Yield each wanted blob, by pack and offset; neighbours come with one request.

        From a storage that is far away several ranges are under way at once (``read_ranges``).
        Otherwise one span (``MAX_SPAN_BYTES``, or one blob) is held in memory at a time.

        Raises:
            MissingError, CorruptError: as ``read``.
        """
        for address, data in self.read_views(wanted, trusted=trusted):
            yield address, bytes(data)

    def read_views(self, wanted: Iterable[Wanted], *, trusted: bool = True) -> Iterator[FoundView]:
        """Yield what ``read_many`` does without copying it: a view keeps its whole span in memory."""
        ordered = list(spans(sorted(wanted, key=by_position)))
        at = 0
        while at < len(ordered):
            answers = self._storage.read_ranges(map(_range, ordered[at:]))
            for data in _until_truncated(answers):
                span, view = ordered[at], memoryview(data)
                at += 1
                start = span[0][1].offset
                for address, place in span:
                    begin = place.offset - start
                    blob = view[begin : begin + place.stored]
                    yield address, unpack_verified(address, place, blob, trusted=trusted)
            if at < len(ordered):
                # Truncated: hand out what is whole, and name the first that is not.
                for address, place in ordered[at]:
                    yield address, self.read(address, place, trusted=trusted)
                at += 1

    def read_index(self, family: Family, pack: PackId) -> list[Wanted]:
        """Return address and place of each blob in a pack, sorted.

        Raises:
            MissingError: there is no such pack.
            CorruptError: its end is damaged or belongs to another pack.
            UnsupportedError: a later version wrote it.
        """
        return list(layout.entries(self.read_raw_index(family, pack), pack, family))

    def read_raw_index(self, family: Family, pack: PackId, *, size: int | None = None) -> bytes:
        """Return the checked entries of a pack's index as they stand in the file; see above.

        ``size`` is that of the pack's file, which a locator may have told: it spares a request.
        """
        key = pack_key(family, pack)
        try:
            if size is not None:
                with suppress(CorruptError):
                    return self._read_raw_index(key, family, pack, size)
            return self._read_raw_index(key, family, pack)
        except CorruptError as error:
            raise CorruptError(f"the pack {key} is damaged: {error}", pack=pack, key=key) from error

    def read_raw_indexes(
        self,
        packs: Iterable[tuple[Family, PackId]],
        *,
        sizes: Mapping[PackId, int] | None = None,
    ) -> Iterator[tuple[tuple[Family, PackId], bytes | AhError]]:
        """Yield each pack with its index, or with what is wrong with it, in the order given.

        From a storage that is far away several are read at once.

        Args:
            packs: which.
            sizes: of the packs' files in bytes, where known: each spares a request.

        Raises:
            StorageError: the storage failed.
        """
        known = sizes or {}

        def read(name: tuple[Family, PackId]) -> bytes | AhError:
            try:
                return self.read_raw_index(*name, size=known.get(name[1]))
            except (MissingError, CorruptError, UnsupportedError) as error:
                return error

        return each(self._storage, read, packs)

    def _read_raw_index(
        self, key: str, family: Family, pack: PackId, size: int | None = None
    ) -> bytes:
        if size is None:
            size = self._storage.stat(key).size
        tail = self._storage.read_range(key, max(0, size - TAIL_BYTES), min(size, TAIL_BYTES))
        trailer = layout.decode_trailer(tail[-layout.TRAILER_BYTES :], size=size)
        if trailer.pack != pack or trailer.family != family:
            raise CorruptError(f"it is the pack {trailer.family}/{trailer.pack}")
        length = trailer.index_bytes
        in_tail = len(tail) - layout.TRAILER_BYTES - length
        if in_tail >= 0:
            index = tail[in_tail : in_tail + length]
        else:
            index = self._storage.read_range(key, trailer.index_offset, length)
        layout.check_index(index, trailer)
        return index

    def check_header(self, family: Family, pack: PackId) -> None:
        """Check a pack's first bytes, which nothing else needs.

        Raises:
            MissingError, CorruptError, UnsupportedError: as ``read_index``.
        """
        key = pack_key(family, pack)
        try:
            layout.check_header(self._storage.read_range(key, 0, layout.HEADER_BYTES), family)
        except CorruptError as error:
            raise CorruptError(f"the pack {key} is damaged: {error}", pack=pack, key=key) from error


def list_packs(storage: Storage) -> Iterator[tuple[Family, PackId]]:
    """Yield the packs that are in the store; files there that are no packs are passed over."""
    for family in FAMILIES:
        for key in storage.list(f"packs/{family}/"):
            found = _find_pack(key)
            if found is not None:
                yield found


def _find_pack(key: str) -> tuple[Family, PackId] | None:
    try:
        return parse_pack_key(key)
    except InvalidInputError:
        return None


def by_position(wanted: Wanted) -> tuple[str, str, int]:
    """Return the key that sorts blobs as they lie: by pack and offset."""
    place = wanted[1]
    return place.family, place.pack, place.offset


def spans(ordered: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Group blobs, sorted by position, into ranges worth reading as one."""
    span: list[Wanted] = []
    pack, start, end = "", 0, 0
    for item in ordered:
        place = item[1]
        stop = place.offset + place.stored
        if (
            span
            and place.pack == pack
            and place.family == span[0][1].family
            and place.offset - end <= MAX_GAP_BYTES
            and max(stop, end) - start <= MAX_SPAN_BYTES
        ):
            span.append(item)
            end = max(end, stop)
            continue
        if span:
            yield span
        span, pack, start, end = [item], place.pack, place.offset, stop
    if span:
        yield span


def _range(span: Sequence[Wanted]) -> Range:
    first = span[0][1]
    end = max(place.offset + place.stored for _, place in span)
    return Range(pack_key(first.family, first.pack), first.offset, end - first.offset)


def _until_truncated(answers: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    with suppress(CorruptError):
        yield from answers


def unpack_verified(
    address: Address, place: Place, data: bytes | memoryview, *, trusted: bool
) -> bytes | memoryview:
    """Return a blob's bytes out of the stored ones; arguments and errors as for ``read``."""
    if len(data) != place.stored or checksum64(data) != place.checksum:
        raise _damaged(address, place, "its checksum does not match")
    if place.codec != RAW:
        try:
            data = decompress(place.codec, data, place.raw)
        except CorruptError as error:
            raise _damaged(address, place, str(error)) from error
    if (not trusted or place.kind is not Kind.CHUNK) and sha256(data) != address:
        raise _damaged(address, place, "its bytes are not those of its address")
    return data


def _damaged(address: Address, place: Place, why: str) -> CorruptError:
    return CorruptError(
        f"{place.kind.name.lower()} {address.hex()} is damaged in pack {place.family}/{place.pack}"
        f" at offset {place.offset}: {why}",
        pack=place.pack,
        family=place.family,
        offset=place.offset,
        address=address.hex(),
        kind=place.kind.name,
    )
