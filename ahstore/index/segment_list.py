"""The index cell: which segments count. Its value, and what gc asks of it.

Implements "The index cell" of docs/format/segments.md. A segment that no version since names is
rubbish; how long one has to be kept is said there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import PackId, parse_pack_id
from ahstore.index import segment_format as layout
from ahstore.index.segment_writer import SegmentInfo
from ahstore.storage.cells import Cell, Cells, CellState, CellVersion

INDEX_CELL = Cell("index", ("main",))
MAX_SEGMENTS = 4096


def encode_list(segments: Sequence[SegmentInfo]) -> dict[str, Value]:
    """Return the value of the index cell."""
    return {
        "segments": [[bytes.fromhex(s.id), s.size, s.records, s.packs] for s in segments],
    }


def decode_list(version: CellVersion) -> list[SegmentInfo]:
    """Return the segments that a version of the index cell names, largest first as written.

    Raises:
        CorruptError: its value is something else.
    """
    if version.state is not CellState.LIVE:
        return []
    items = version.value.get("segments")
    if not isinstance(items, list) or len(items) > MAX_SEGMENTS:
        raise CorruptError("the index cell names no segments")
    return [_decode_info(item) for item in items]


def _decode_info(item: Value) -> SegmentInfo:
    if not isinstance(item, list) or [type(v) for v in item] != [bytes, int, int, int]:
        raise CorruptError("the index cell is malformed")
    raw, size, records, packs = item
    try:
        segment = parse_pack_id(raw.hex())  # type: ignore[union-attr]
    except InvalidInputError:
        raise CorruptError("the index cell names no segment") from None
    if not (0 < records <= layout.MAX_RECORDS and 0 < packs <= layout.MAX_PACKS):  # type: ignore[operator]
        raise CorruptError("the index cell is malformed")
    if layout.layout_of(records, packs).size != size:  # type: ignore[arg-type]
        raise CorruptError("the index cell names a segment of an impossible size")
    return SegmentInfo(segment, size, records, packs)  # type: ignore[arg-type]


def live_segments(cells: Cells) -> set[PackId]:
    """Return the segments that the newest version of the index cell names.

    For gc: what lies in ``index/`` and was there *before* gc looked at the leases, and is not
    among these *after* every lease seen has ended or been fenced, may be deleted.

    Raises:
        CorruptError: the cell can't be read; then nothing may be deleted.
    """
    return {segment.id for segment in decode_list(cells.read(INDEX_CELL))}
