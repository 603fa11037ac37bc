"""What fsck found: each damage by itself, and all of it together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ahstore.ids import Address, PackId
from ahstore.packs.place import Family, Kind

What = Literal["cell", "lease", "index", "pack", "blob", "missing", "tree", "file"]


@dataclass(frozen=True, slots=True)
class Use:
    """Where damage shows: an object of an asset, and the commits that have it so.

    Attributes:
        asset: path of the asset, or its id if it has been deleted.
        path: of the object; of a damaged page the range ``first … last`` that it held; empty for
            a commit as a whole.
        commits: hex ids, newest first; at most ``MAX_COMMITS``.
        more: how many more commits there are.
    """

    asset: str
    path: str
    commits: tuple[str, ...]
    more: int = 0


@dataclass(slots=True)
class Damage:
    """One thing that is not as it should be.

    Attributes:
        what: ``cell`` (a version can't be read or is lost), ``lease``, ``index`` (a segment),
            ``pack`` (header, index or trailer), ``blob`` (its bytes in a pack), ``missing``
            (needed, and in no pack that can be read), ``tree`` (pages that contradict each
            other), ``file`` (its MD5).
        message: what is wrong, for people.
        key: of the damaged file in the store, if it is one.
        kind: of the blob, if it is about one.
        address: of the blob.
        pack: where it lies.
        family: of that pack.
        uses: where it shows.
        repaired: what was done about it; empty: nothing.
    """

    what: What
    message: str
    key: str = ""
    kind: Kind | None = None
    address: Address | None = None
    pack: PackId | None = None
    family: Family | None = None
    uses: list[Use] = field(default_factory=list)
    repaired: str = ""

    @property
    def blob(self) -> bytes | None:
        """Address and kind of the blob that is damaged or missing."""
        if self.address is None or self.kind is None:
            return None
        return self.address + bytes([self.kind])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "what": self.what,
            "message": self.message,
            "key": self.key,
            "kind": self.kind.name.lower() if self.kind else None,
            "address": self.address.hex() if self.address else None,
            "pack": self.pack,
            "uses": [asdict(use) for use in self.uses],
            "repaired": self.repaired,
        }


@dataclass(slots=True)
class FsckReport:
    """What was looked at and what was found.

    Attributes:
        packs: packs looked at; ``read_packs``: of these, read byte by byte.
        blobs: blobs listed in the packs.
        cells: versions of cells read.
        commits: commits read; ``pages``: tree pages.
        files: files whose MD5 was checked.
        bytes: read for ``read_data``.
        damages: what is wrong.
    """

    packs: int = 0
    read_packs: int = 0
    blobs: int = 0
    cells: int = 0
    commits: int = 0
    pages: int = 0
    files: int = 0
    bytes: int = 0
    damages: list[Damage] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return all(damage.repaired for damage in self.damages)

    def damaged_packs(self) -> dict[PackId, Family]:
        """Return the packs in which anything is damaged."""
        return {d.pack: d.family for d in self.damages if d.pack and d.family}

    def of(self, *what: What) -> Iterable[Damage]:
        """Yield the damages of these sorts."""
        return (damage for damage in self.damages if damage.what in what)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        counts = ("packs", "read_packs", "blobs", "cells", "commits", "pages", "files", "bytes")
        return {
            "clean": self.clean,
            **{name: getattr(self, name) for name in counts},
            "damages": [damage.to_dict() for damage in self.damages],
        }
