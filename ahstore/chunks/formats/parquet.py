"""Parquet: cut at the column chunks, of which the footer tells, and before the footer.

The column chunks of a row group follow one another, so row groups are kept apart by this too.
"""

from __future__ import annotations

from ahstore.chunks.formats.reading import MAX_PARTS, Glance, NotThisFormatError
from ahstore.chunks.formats.thrift import Compact, integer, struct, structs

MAGIC = b"PAR1"
MAX_FOOTER_BYTES = 16 * 2**20
_SIZE, _DATA_PAGE, _DICTIONARY_PAGE = 7, 9, 11
_COLUMN = {3: struct(dict.fromkeys((_SIZE, _DATA_PAGE, _DICTIONARY_PAGE), integer()))}
_FILE = {4: structs({1: structs(_COLUMN)})}


def is_it(head: bytes) -> bool:
    """Tell whether a file that begins so may be one."""
    return head.startswith(MAGIC)


def boundaries(file: Glance) -> list[int]:
    """Return where column chunks begin and end, and where the footer begins, in no order.

    Raises:
        NotThisFormatError: no footer, or one of column chunks that lie elsewhere.
    """
    tail = file.read(file.size - 8, 8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length > MAX_FOOTER_BYTES:
        raise NotThisFormatError
    footer = file.size - 8 - length
    found = [footer]
    for group in Compact(file.read(footer, length)).struct(_FILE).get(4, ()):
        for column in group.get(1, ()):
            where = column.get(3, {})
            if _SIZE not in where or _DATA_PAGE not in where:
                raise NotThisFormatError
            # Some writers say 0 where there is no dictionary.
            begin = min(where[_DATA_PAGE], where.get(_DICTIONARY_PAGE) or where[_DATA_PAGE])
            found += (begin, begin + where[_SIZE])
            if len(found) > MAX_PARTS or not 4 <= begin <= found[-1] <= footer:
                raise NotThisFormatError
    return found
