"""Checking the store's index segments: they say again what the packs say, and are only hints.

Still damage is told, for a segment that can't be read makes everything slower.
"""

from __future__ import annotations

from ahstore.errors import AhError, CorruptError
from ahstore.index.segment import Segment
from ahstore.index.segment_list import INDEX_CELL, decode_list
from ahstore.upkeep.damage import Damage, FsckReport
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository


def check_index(repo: Repository, report: FsckReport, monitor: Monitor) -> None:
    """Check every segment that the index cell names, record by record."""
    try:
        infos = decode_list(repo.cells.read(INDEX_CELL))
    except CorruptError as error:
        report.damages.append(Damage("index", str(error), INDEX_CELL.folder))
        return
    monitor.start("Checking the index", files=len(infos))
    for info in infos:
        try:
            Segment(repo.storage, info).check()
            size = repo.storage.stat(info.key).size
            if size != info.size:
                raise CorruptError(f"{info.key} has {size} bytes, not {info.size}", key=info.key)
        except AhError as error:
            report.damages.append(Damage("index", str(error), info.key))
        monitor.advance(files=1)
    monitor.finish()
