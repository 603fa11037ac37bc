"""How much disk the folders of a run take: the measure that ``volume`` limits.

A file counts with its size or the space it takes, whichever is more (so neither a sparse file nor
many tiny ones slip through), every entry with at least one sector, a file with several names once.
Files that a process keeps open after unlinking them count too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

ENTRY_BYTES = 512
BLOCK_BYTES = 512


def folder_usage(folders: Iterable[str], *, stop_above: int | None = None) -> int:
    """Return the bytes that everything under ``folders`` takes; links are not followed.

    Counting ends early once the sum is above ``stop_above``. What vanishes meanwhile counts
    nothing.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = list(folders)
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
                elif status.st_nlink > 1:
                    identity = (status.st_dev, status.st_ino)
                    if identity in seen:
                        continue
                    seen.add(identity)
                total += entry_bytes(status)
        if stop_above is not None and total > stop_above:
            break
    return total


def file_bytes(folder: str) -> int:
    """Return the sizes of all regular files under ``folder`` together, as ``ls`` has them."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(path, name))
            except OSError:
                continue
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def entry_bytes(status: os.stat_result) -> int:
    """Return what one file or folder counts."""
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return max(size, status.st_blocks * BLOCK_BYTES, ENTRY_BYTES)


def unlinked_usage(pids: Iterable[int], device: int) -> int:
    """Return the bytes of files on ``device`` that these processes hold open without a name."""
    total = 0
    seen: set[int] = set()
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                status = os.stat(f"{folder}/{name}")
            except OSError:
                continue
            if (
                status.st_nlink == 0
                and status.st_dev == device
                and stat.S_ISREG(status.st_mode)
                and status.st_ino not in seen
            ):
                seen.add(status.st_ino)
                total += entry_bytes(status)
    return total
