"""docs/format/segments.md against the code: a real segment is read by the offsets of the page."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from ahstore.codec.digests import checksum64, sha256
from ahstore.index import consolidation, crowd, segment, segment_format
from ahstore.index.consolidation import Consolidation
from ahstore.index.segment_list import INDEX_CELL, MAX_SEGMENTS
from ahstore.packs.place import Kind
from ahstore.packs.reader import PackReader, list_packs
from ahstore.packs.writer import PackWriter
from ahstore.storage.cells import Cells
from ahstore.storage.memory import MemoryStorage
from tests.format.page import FormatPage

PAGE = FormatPage("segments")
BLOBS = 150_000
"""Of 128 records a block that is more than one level of nodes."""


def parts(after: str) -> dict[str, slice]:
    """Return where the fixed-width fields of a table lie, which follow one another."""
    found, end = {}, 0
    for offset, length, what in PAGE.fields(after):
        assert offset == end, what
        end = offset + length
        found[what.split(",")[0]] = slice(offset, end)
    return found


@pytest.fixture(scope="module")
def written() -> tuple[MemoryStorage, bytes, list[object]]:
    """A store with a segment of two packs; the segment; what the index cell says of it."""
    storage = MemoryStorage()
    for family, count in (("data", BLOBS), ("meta", 10)):
        with PackWriter(storage, family) as writer:  # type: ignore[arg-type]
            for number in range(count):
                data = b"%d" % number
                writer.add(Kind.CHUNK, sha256(data), data)
            writer.finish()
    cells = Cells(storage)
    assert Consolidation(storage, cells, PackReader(storage)).cover(list_packs(storage))
    value = cells.read(INDEX_CELL).value
    assert set(value) == {row[0].strip("`") for row in PAGE.table("has the value")}
    (info,) = value["segments"]  # type: ignore[misc]
    (key,) = storage.list("index/")
    return storage, storage.read(key), info  # type: ignore[return-value]


def test_a_segment_is_what_its_page_says(
    written: tuple[MemoryStorage, bytes, list[object]],
) -> None:
    storage, data, (id_, size, records, packs) = written
    assert (len(data), records, packs) == (size, BLOBS + 10, 2)
    sizes = {row[0]: row[1] for row in PAGE.table("## Layout")}
    header, record_bytes, pack_bytes, node_bytes, trailer_bytes = (
        int(sizes[name].split()[0]) for name in ("header", "records", "packs", "nodes", "trailer")
    )
    assert data[:header] == b"AHIX\x01\0\0\0"
    end = parts("### Trailer")
    trailer = data[-trailer_bytes:]
    assert end[next(reversed(end))].stop == trailer_bytes
    assert int.from_bytes(trailer[end["number of records"]], "big") == records
    assert int.from_bytes(trailer[end["number of packs"]], "big") == packs
    assert trailer[end["id of the segment"]] == id_
    assert trailer[end["version"]] == b"\x01"
    assert trailer[end["checksum of the 52 bytes before"]] == checksum64(trailer[:52])
    assert trailer.endswith(b"XIHA")
    # Records, then the table of packs, each sorted.
    at = header
    body = [
        data[p : p + record_bytes] for p in range(at, at + records * record_bytes, record_bytes)
    ]  # type: ignore[operator]
    assert all(a[:50] < b[:50] for a, b in pairwise(body))
    at += records * record_bytes  # type: ignore[operator]
    table = data[at : at + packs * pack_bytes]  # type: ignore[operator]
    assert trailer[end["checksum (XXH3-64) of the table of packs"]] == checksum64(table)
    codes = {"data": 1, "meta": 2}
    assert table == b"".join(
        sorted(bytes([codes[family]]) + bytes.fromhex(pack) for family, pack in list_packs(storage))
    )
    at += len(table)
    # Nodes: a level over blocks of 128, and levels over blocks of 1,024 until one is small enough.
    blocks = [b"".join(body[n : n + 128]) for n in range(0, len(body), 128)]
    levels = 0
    while True:
        nodes = [block[:8] + checksum64(block) for block in blocks]
        level = b"".join(nodes)
        assert data[at : at + len(level)] == level
        at, levels = at + len(level), levels + 1
        if len(nodes) <= 1024:
            break
        blocks = [b"".join(nodes[n : n + 1024]) for n in range(0, len(nodes), 1024)]
    assert levels == 2
    assert node_bytes == 16
    assert trailer[end["checksum of the root"]] == checksum64(level)
    assert at == len(data) - trailer_bytes


def test_a_record_is_what_its_page_says(
    written: tuple[MemoryStorage, bytes, list[object]],
) -> None:
    storage, data, _ = written
    field = parts("### Record")
    assert field[next(reversed(field))].stop == segment_format.RECORD_BYTES
    places = {
        (address, place.pack): place
        for family, pack in list_packs(storage)
        for address, place in PackReader(storage).read_index(family, pack)
    }
    for number in random.Random(1).sample(range(BLOBS), 100):
        at = 8 + number * 76
        record = data[at : at + 76]
        place = places[record[field["address"]], record[field["pack"]].hex()]  # type: ignore[index]
        numbers = {
            name: int.from_bytes(record[field[name]], "big")
            for name in ("kind", "family", "codec", "zero", "stored length", "raw length", "offset")
        }
        assert numbers == {
            "kind": place.kind,
            "family": {"data": 1, "meta": 2}[place.family],
            "codec": place.codec,
            "zero": 0,
            "stored length": place.stored,
            "raw length": place.raw,
            "offset": place.offset,
        }
        assert record[field["checksum of the stored bytes"]] == place.checksum


def test_the_limits() -> None:
    (row,) = PAGE.table("has the value")
    assert row[1] == f"list, at most {MAX_SEGMENTS:,}"
    assert (segment_format.MAX_RECORDS, segment_format.MAX_PACKS) == (2**40, 2**32)
    assert f"the last {segment.TAIL_BYTES >> 10} KiB: trailer and root" in PAGE.words
    assert f"more than {crowd.CROWD} packs that no segment covers" in PAGE.words
    assert f"at most {consolidation.SMALL_RECORDS:,} records" in PAGE.words
    assert consolidation.GROWTH == 4
    assert "at most four times as many as are merged already" in PAGE.words
