"""Checking packs: header, index and trailer of each; and every byte of those that are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ahstore.errors import AhError, CorruptError, InvalidInputError
from ahstore.ids import Address, PackId
from ahstore.packs.format import HEADER_BYTES
from ahstore.packs.place import Family, Place, pack_key
from ahstore.packs.reader import Wanted, list_packs
from ahstore.storage.at_once import each
from ahstore.storage.contract import MissingError
from ahstore.upkeep.damage import Damage, FsckReport
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository

BLOBS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the data is read: the ``number``-th of ``of`` equal parts, from 1."""

    number: int = 1
    of: int = 1

    @staticmethod
    def parse(text: str) -> Share:
        """Return the share written ``n/t``.

        Raises:
            InvalidInputError: it is written otherwise, or n is not between 1 and t.
        """
        number, slash, of = text.partition("/")
        if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
            return Share(int(number), int(of))
        raise InvalidInputError(f"write n/t, as 1/10 for the first of ten parts, not {text!r}")

    def takes(self, name: bytes) -> bool:
        """Tell whether a thing of this name is in the share; all shares together take each once."""
        digest = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
        return digest % self.of == self.number - 1


def check_packs(
    repo: Repository, share: Share | None, report: FsckReport, monitor: Monitor
) -> None:
    """Check all packs, and read those of ``share`` byte by byte."""
    packs = list(list_packs(repo.storage))
    monitor.start("Checking packs", files=len(packs))
    for name, found in each(repo.storage, partial(_read_ends, repo), packs):
        monitor.advance(files=1)
        if found is not None:
            _check_pack(repo, name, found, share, report)
    monitor.finish()


def _read_ends(repo: Repository, name: tuple[Family, PackId]) -> list[Wanted] | AhError | None:
    """Return what a pack's index tells, by offset, or what is wrong; None: gc has taken it away."""
    try:
        repo.packs.check_header(*name)
        index = repo.packs.read_index(*name)
        index.sort(key=lambda wanted: wanted[1].offset)
        _check_cover(index)
    except MissingError:
        return None
    except AhError as error:
        return error
    return index


def _check_pack(
    repo: Repository,
    name: tuple[Family, PackId],
    found: list[Wanted] | AhError,
    share: Share | None,
    report: FsckReport,
) -> None:
    family, pack = name
    key = pack_key(family, pack)
    read = share is not None and share.takes(pack.encode())
    if isinstance(found, AhError):
        report.damages.append(Damage("pack", str(found), key, pack=pack, family=family))
    else:
        try:
            damages = [
                Damage("blob", str(wrong), key, place.kind, address, pack, family)
                for address, place, wrong in (bad_blobs(repo, found) if read else ())
            ]
        except MissingError:
            return  # gc has taken it away meanwhile
        report.blobs += len(found)
        report.damages += damages
        report.bytes += sum(place.stored for _, place in found) if read else 0
    report.packs += 1
    report.read_packs += read


def _check_cover(index: list[Wanted]) -> None:
    """Refuse a pack in which bytes lie between the blobs: nothing would ever check them."""
    end = HEADER_BYTES
    for _, place in index:
        if place.offset != end:
            raise CorruptError(f"its blobs do not lie back to back at offset {end}")
        end = place.offset + place.stored


def bad_blobs(
    repo: Repository, index: list[Wanted]
) -> Iterator[tuple[Address, Place, CorruptError]]:
    """Yield the blobs of one pack that are not what their address says; ``index`` by offset."""
    for at in range(0, len(index), BLOBS_AT_ONCE):
        some = index[at : at + BLOBS_AT_ONCE]
        try:
            for _ in repo.packs.read_many(some, trusted=False):
                pass
        except CorruptError:
            yield from _bad_among(repo, some)


def _bad_among(
    repo: Repository, some: list[Wanted]
) -> Iterator[tuple[Address, Place, CorruptError]]:
    for address, place in some:
        try:
            repo.packs.read(address, place, trusted=False)
        except CorruptError as error:
            yield address, place, error
