"""Packs that upkeep writes: blobs that are in the store already, or belong to it."""

from __future__ import annotations

from ahstore.ids import Address
from ahstore.packs.place import Family, Kind
from ahstore.packs.writer import FinishedPack, PackWriter
from ahstore.versions.repository import Repository
from ahstore.versions.session import PACK_TARGET_BYTES


class NewPacks:
    """Chunks go to one pack, all else to another; each is followed by the next when it is full."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._writers: dict[Family, PackWriter] = {}
        self._finished: list[FinishedPack] = []

    def add(self, kind: Kind, address: Address, data: bytes) -> None:
        """Take a blob whose bytes have been verified."""
        family: Family = "data" if kind is Kind.CHUNK else "meta"
        writer = self._writers.get(family)
        if writer is None:
            writer = self._writers[family] = PackWriter(self._repo.storage, family)
        writer.add(kind, address, data)
        if writer.size >= PACK_TARGET_BYTES:
            self._finish(family)

    def finish(self) -> None:
        """Make everything durable: only then what it stands for may be condemned."""
        for family in list(self._writers):
            self._finish(family)
        self._repo.index.add(*self._finished)

    def _finish(self, family: Family) -> None:
        finished = self._writers.pop(family).finish()
        if finished is not None:
            self._finished.append(finished)

    def __enter__(self) -> NewPacks:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.abort()
