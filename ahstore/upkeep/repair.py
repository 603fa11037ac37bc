"""Mending a store: what is whole is saved, what is missing fetched, what is damaged set aside.

Nothing is ever deleted that is not elsewhere: a damaged pack is copied to ``aside/`` as it is, what
is whole of it is written to a new pack, and only then it goes, by a plan of gc (docs/format/gc.md).
From then on nobody takes its chunks for present, so that a commit which adds a damaged file
again writes them anew.
"""

from __future__ import annotations

from contextlib import suppress

from ahstore.errors import CorruptError, NotFoundError, UnsupportedError
from ahstore.ids import PackId
from ahstore.index.consolidation import Consolidation
from ahstore.packs.place import Family, pack_key
from ahstore.packs.reader import Wanted, list_packs
from ahstore.storage.contract import AlreadyThereError, MissingError
from ahstore.upkeep.blobs import read_blobs
from ahstore.upkeep.check_packs import Share, bad_blobs
from ahstore.upkeep.damage import Damage, FsckReport
from ahstore.upkeep.fsck import check
from ahstore.upkeep.gc import withdraw
from ahstore.upkeep.new_packs import NewPacks
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.repository import Repository

COPY_BYTES = 8 * 2**20
MAX_PASSES = 64
"""A tree has no more levels: what is missing below a page shows when the page is there again."""


def mend(
    repo: Repository,
    *,
    source: Repository | None = None,
    read_data: Share | None = None,
    monitor: Monitor = SILENT,
) -> FsckReport:
    """Check a store, mend what can be mended, and return what was found and what was done.

    Args:
        repo: the store.
        source: another store that may hold what is damaged or missing here.
        read_data: as for ``fsck.check``.
        monitor: is told how far things are.

    Raises:
        WriterBusyError: a living writer goes on for too long; run it again.
    """
    if (bare := repo.without_cache()) is not repo:
        try:
            return mend(bare, source=source, read_data=read_data, monitor=monitor)
        finally:
            bare.leases.rest()
            repo.recent_blobs.clear()
            repo.index.rebuild()
    repo.index.rebuild()
    found = check(repo, read_data=read_data, monitor=monitor)
    if not found.damages:
        return found
    _set_aside(repo, found.damaged_packs(), monitor)
    if any(found.of("index")):
        index = Consolidation(repo.storage, repo.cells, repo.packs)
        index.repair(list_packs(repo.storage))
    left = check(repo, monitor=monitor)
    for _ in range(MAX_PASSES):
        if source is None or not _fetch(repo, source, left, monitor):
            break
        left = check(repo, monitor=monitor)
    _judge(found, left)
    return found


def _judge(found: FsckReport, left: FsckReport) -> None:
    """Note in ``found`` what is mended, and add what shows only now."""
    remaining = {_name(damage): damage for damage in left.damages}
    for damage in found.damages:
        if damage.what == "pack" or damage.pack is not None:
            damage.repaired = f"the pack was set aside as {_aside_key(damage)}"
        if damage.blob is not None and damage.what != "tree":
            if any(other.blob == damage.blob for other in left.damages):
                damage.repaired = ""
            else:
                damage.repaired = damage.repaired or "it is whole again"
        elif damage.what not in ("pack", "blob") and _name(damage) not in remaining:
            damage.repaired = damage.repaired or "it is whole again"
    known = {_name(damage) for damage in found.damages} | {d.blob for d in found.damages if d.blob}
    found.damages += [d for d in left.damages if _name(d) not in known and d.blob not in known]


def _name(damage: Damage) -> object:
    return damage.blob or (damage.what, damage.key, damage.message)


def _aside_key(damage: Damage) -> str:
    assert damage.family is not None
    assert damage.pack is not None
    return aside_key(damage.family, damage.pack)


def aside_key(family: Family, pack: PackId) -> str:
    """Return where a damaged pack is kept."""
    return f"aside/{family}/{pack}"


def _set_aside(repo: Repository, packs: dict[PackId, Family], monitor: Monitor) -> None:
    """Save what is whole of the packs, keep them as they are, and take them out of use."""
    if not packs:
        return
    monitor.start("Setting damaged packs aside", files=len(packs))
    with NewPacks(repo) as new:
        for pack, family in packs.items():
            _save_whole(repo, family, pack, new)
            _copy_aside(repo, family, pack)
            monitor.advance(files=1)
        new.finish()
    withdraw(repo, tuple(packs), monitor=monitor)
    monitor.finish()


def _save_whole(repo: Repository, family: Family, pack: PackId, new: NewPacks) -> None:
    try:
        index = repo.packs.read_index(family, pack)
    except (CorruptError, UnsupportedError, MissingError):
        return  # without its index nobody can say where in it anything lies
    index.sort(key=lambda wanted: wanted[1].offset)
    bad = {(address, place.kind) for address, place, _ in bad_blobs(repo, index)}
    whole: list[Wanted] = [w for w in index if (w[0], w[1].kind) not in bad]
    kinds = [place.kind for _, place in whole]
    blobs = repo.packs.read_many(whole, trusted=False)
    for kind, (address, data) in zip(kinds, blobs, strict=True):
        new.add(kind, address, data)


def _copy_aside(repo: Repository, family: Family, pack: PackId) -> None:
    storage, key = repo.storage, pack_key(family, pack)
    try:
        size = storage.stat(key).size
        with storage.new_file(aside_key(family, pack)) as copy:
            for at in range(0, size, COPY_BYTES):
                copy.write(storage.read_range(key, at, min(COPY_BYTES, size - at)))
            copy.commit()
    except (AlreadyThereError, MissingError):
        return  # an earlier repair was cut short behind this, or has done it


def _fetch(repo: Repository, source: Repository, report: FsckReport, monitor: Monitor) -> int:
    """Fetch from another store what is missing here; return how many blobs came."""
    wanted = {(d.kind, d.address) for d in report.damages if d.kind and d.address}
    monitor.start("Fetching what is missing", files=len(wanted))
    fetched = 0
    with NewPacks(repo) as new:
        for kind, address in sorted(wanted):
            with suppress(NotFoundError, CorruptError):
                for found, data in read_blobs(source, kind, [address], trusted=False):
                    new.add(kind, found, data)
                    fetched += 1
                    monitor.advance(files=1, bytes_=len(data))
        new.finish()
    monitor.finish()
    return fetched
