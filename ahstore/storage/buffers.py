"""Memory for large ranges on their way from a storage to a file: page-aligned, in huge pages.

Python's own allocator gives memory of such sizes back to the system and takes it anew each time:
a fault for every 4 KiB, which costs more than to copy them. Aligned memory can also be written
around the page cache (``index/range_cache.py``).
"""

from __future__ import annotations

import contextlib
import mmap

LARGE_BYTES = 2**20
"""From this size on it is worth it."""
_HUGE_PAGE_BYTES = 2 * 2**20


def large_buffer(size: int) -> memoryview:
    """Return ``size`` bytes of zeroed memory, which goes when the last view of it does."""
    if not hasattr(mmap, "MAP_PRIVATE"):  # not a Unix
        return memoryview(bytearray(size))
    whole = -(-size // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
    memory = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)[:size]
