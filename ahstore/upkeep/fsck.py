"""fsck: whether everything is there, and is what it should be.

Looks at every pack's index, every version of every cell, and all objects that these lead to; with
``read_data`` at every stored byte, or a share of them, and at the MD5 of the files. It tells each
damage with the objects and commits in which it shows. ``repair.py`` mends.
"""

from __future__ import annotations

import hashlib
import os

from ahstore.errors import CorruptError, NotFoundError
from ahstore.upkeep.census import count_needed, take_census
from ahstore.upkeep.check_hub import check_hub
from ahstore.upkeep.check_index import check_index
from ahstore.upkeep.check_objects import FILE_BYTES, Checker, check_cells, unpack_file
from ahstore.upkeep.check_packs import Share, check_packs
from ahstore.upkeep.damage import Damage, FsckReport
from ahstore.upkeep.owners import find_uses
from ahstore.upkeep.sorted_keys import KeySorter
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import read_refs


def check(
    repo: Repository, *, read_data: Share | None = None, monitor: Monitor = SILENT
) -> FsckReport:
    """Check a store and return what was found; nothing is changed.

    Args:
        repo: the store.
        read_data: which share of the data is read and verified; None: structure alone.
        monitor: is told how far things are.

    Raises:
        StorageError: the disk or the bucket failed.
        UnsupportedError: the store holds something of a later version of ahstore.
    """
    scratch = repo.cache_root if repo.cache_root and os.path.isdir(repo.cache_root) else None
    report = FsckReport()
    repo = repo.without_cache()
    repo.index.refresh()
    check_packs(repo, read_data, report, monitor)
    files = KeySorter(FILE_BYTES, scratch) if read_data else None
    checker = Checker(repo, report, scratch=scratch, monitor=monitor, files=files)
    check_cells(repo, checker, report, monitor)
    monitor.start("Checking commits and trees")
    with checker.finish() as needed:
        checker.compare()
        census = take_census(repo, scratch=scratch)
        count_needed(census, needed)
    check_hub(repo, report)
    check_index(repo, report, monitor)
    checker.report_missing(census.missing)
    checker.check_lengths(census)
    census.close()
    monitor.finish()
    if files is not None and read_data is not None:
        _check_files(repo, files, read_data, report, monitor)
    _drop_repeats(report)
    find_uses(repo, report.damages)
    return report


def _check_files(
    repo: Repository, files: KeySorter, share: Share, report: FsckReport, monitor: Monitor
) -> None:
    """Hash the files of a share and compare their MD5."""
    with files.finish() as records:
        monitor.start("Checking files", files=len(records))
        for record in records:
            monitor.advance(files=1)
            if not share.takes(record):
                continue
            md5, level, refs = unpack_file(record)
            digest = hashlib.md5(usedforsecurity=False)
            try:
                for data in read_refs(repo, level, refs):
                    digest.update(data)
                    monitor.advance(bytes_=len(data))
            except (NotFoundError, CorruptError):
                continue  # reported by its chunks
            report.files += 1
            if digest.digest() != md5:
                message = f"a file has the MD5 {digest.hexdigest()}, not {md5.hex()} as recorded"
                report.damages.append(Damage("file", message))
        monitor.finish()


def _drop_repeats(report: FsckReport) -> None:
    """Keep one report of what both a pack's check and an object's found."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for damage in report.damages:
        name = (damage.blob, damage.pack) if damage.blob else (damage.key, damage.message)
        if name not in seen:
            seen.add(name)
            kept.append(damage)
    report.damages = kept
