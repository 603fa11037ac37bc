"""Checking packs: header, index and trailer of each; and every byte of those that are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ahstore.errors import AhError, CorruptError, InvalidInputError
from ahstore.ids import Address, PackId
from ahstore.packs.format import HEADER_BYTES
from ahstore.packs.place import Family, Place, pack_key
from ahstore.packs.reader import Wanted, list_packs
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
    for family, pack in packs:
        read = share is not None and share.takes(pack.encode())
        try:
            _check_pack(repo, family, pack, report, read=read)
        except MissingError:
            continue  # gc has taken it away meanwhile
        finally:
            monitor.advance(files=1)
        report.packs += 1
        report.read_packs += read
    monitor.finish()


def _check_pack(
    repo: Repository, family: Family, pack: PackId, report: FsckReport, *, read: bool
) -> None:
    key = pack_key(family, pack)
    try:
        repo.packs.check_header(family, pack)
        index = repo.packs.read_index(family, pack)
        index.sort(key=lambda wanted: wanted[1].offset)
        _check_cover(index)
    except MissingError:
        raise
    except AhError as error:
        report.damages.append(Damage("pack", str(error), key, pack=pack, family=family))
        return
    report.blobs += len(index)
    if read:
        for address, place, wrong in bad_blobs(repo, index):
            report.damages.append(
                Damage("blob", str(wrong), key, place.kind, address, pack, family)
            )
        report.bytes += sum(place.stored for _, place in index)


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
