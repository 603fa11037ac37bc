"""Where a file's format says that one part ends and another begins: docs/format/chunks.md.

Told from the file's bytes alone, never by its name. A file of no known format, or one that lies
about it, has no boundaries; neither has one that describes itself at more length than is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from ahstore.chunks.formats import parquet, safetensors, zip  # noqa: A004 (a format's name)
from ahstore.chunks.formats.reading import Glance, NotThisFormatError, ReadAt

RULE = 1  # grows with any change of what is found in some file: store.json names it
_FORMATS = (safetensors, zip, parquet)
_HEAD_BYTES = 16


def boundaries(read_at: ReadAt, size: int) -> Sequence[int]:
    """Return the boundaries in a file of ``size`` bytes, ascending, each once, ``size`` the last.

    Args:
        read_at: ``read_at(offset, length)`` gives that many bytes of the file, or fewer at its
            end. Asked for a few KiB in the rule; what it raises is passed on.
        size: in bytes.

    Returns:
        An empty sequence where nothing is known of the file's parts.
    """
    file = Glance(read_at, size)
    try:
        head = file.read_upto(0, _HEAD_BYTES)
        for format_ in _FORMATS:
            if format_.is_it(head):
                found = {*format_.boundaries(file), size}
                return tuple(sorted(at for at in found if 0 < at <= size))
    except NotThisFormatError:
        pass
    return ()
