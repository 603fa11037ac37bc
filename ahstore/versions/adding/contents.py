"""What walked files hold, and which of their rows a tree may not have.

Of each folder is remembered, with its files, in which leaf pages of a tree their rows stood
(a *claim*). A leaf's id is the hash of its rows, so a claim holds for ever and in any tree: where
the tree has those leaves, and a file its stamp, the file's row is there and need not be made.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence

from ahstore.codec.canonical import Value
from ahstore.codec.digests import MD5_BYTES
from ahstore.ids import PageId
from ahstore.index.filestates import FileStates
from ahstore.index.folderstates import FolderState
from ahstore.index.stamps import STAMP_BYTES, Stamp, pack, unpack_all
from ahstore.objects import content_type
from ahstore.objects.file import EXECUTABLE, LEVEL_SHIFT, PATH, Row
from ahstore.objects.leaves import Leaf, Leaves
from ahstore.objects.tree import Tree
from ahstore.versions.adding.walk import LocalFile, LocalFolder

OWNER_EXECUTES = 0o100
MAX_CLAIMS = 4
_EXECUTES_SHIFT = 6
_RULES = len(content_type.TYPES)
"""Claims are about rows: with another table of types they would be other rows."""


class FolderContents:
    """What the files of one folder hold, as far as it is known.

    Attributes:
        folder: the files.
        known: what was remembered of them before.
        unchanged: whether all are as they were then.
        values: of each file; empty while ``unchanged`` is all that was asked.
        fresh: places of files that are not as they were then.
    """

    __slots__ = ("_claims", "_claims_known", "folder", "fresh", "known", "unchanged", "values")

    def __init__(self, folder: LocalFolder, known: FolderState | None) -> None:
        self.folder = folder
        self.known = known
        self.values: list[bytes | None] = []
        self.fresh: Sequence[int] = ()
        self.unchanged = (
            known is not None
            and known.stamps == folder.stamps  # those of files that do not count equal none
            and known.names == "/".join(folder.names)
        )
        self._claims: dict[str, list[Leaf]] = {}
        self._claims_known = False
        if not self.unchanged:
            self._match()

    def _match(self) -> None:
        """Find the files that are as they were among others that are not."""
        count = len(self.folder.names)
        self.values = [None] * count
        if self.known is None:
            self.fresh = range(count)
            return
        places, values, old = self.known.places(), self.known.split_values(), self.known.stamps
        now, fresh = self.folder.stamps, []
        for at, name in enumerate(self.folder.names):
            place = places.get(name, -1)
            start, new = place * STAMP_BYTES, at * STAMP_BYTES
            if place >= 0 and old[start : start + STAMP_BYTES] == now[new : new + STAMP_BYTES]:
                self.values[at] = values[place]
            else:
                fresh.append(at)
        self.fresh = fresh

    def expand(self) -> None:
        """Fill in ``values``."""
        if not self.values and self.known is not None:
            self.values = [*self.known.split_values()]

    def forget(self, places: Sequence[int]) -> None:
        """Hold remembered values for unknown: their chunks may be gone."""
        for at in places:
            self.values[at] = None
        self.fresh = sorted({*self.fresh, *places})
        self.unchanged = False

    def restamp(self, at: int, stamp: Stamp) -> None:
        """Take another stamp than was walked: the file had changed when it was read."""
        stamps, start = self.folder.stamps, at * STAMP_BYTES
        self.folder.stamps = stamps[:start] + pack([stamp]) + stamps[start + STAMP_BYTES :]

    # Claims.

    def is_claimed(self, leaves: Leaves) -> bool:
        """Say whether the rows of all files that are not fresh stand in the leaves' tree."""
        claim = self.claims().get(self.folder.prefix)
        return claim is not None and leaves.has(claim)

    def claims(self) -> dict[str, list[Leaf]]:
        """Return the claims that were remembered, by prefix."""
        if not self._claims_known:
            self._claims = _decode_claims(self.known.notes) if self.known is not None else {}
            self._claims_known = True
        return self._claims

    def state(self, claim: Sequence[Leaf] | None, stamps: bytes) -> FolderState:
        """Return what to remember, with the claim that holds now; ``stamps`` as far as trusted."""
        prefix = self.folder.prefix
        claims: dict[str, Sequence[Leaf]] = {} if claim is None else {prefix: claim}
        if self.unchanged and self.known is not None:
            others = [(p, c) for p, c in self.claims().items() if p != prefix]
            claims.update(others[: MAX_CLAIMS - 1])
            return self.known.noting(_encode_claims(claims))
        values = [value or b"" for value in self.values]
        return FolderState.of(self.folder.names, stamps, values, _encode_claims(claims))

    # Rows.

    def rows(self, places: Sequence[int]) -> Iterator[Row]:
        """Yield the rows of the files at these places, whose values are known."""
        prefix, names, values = self.folder.prefix, self.folder.names, self.values
        stamps = unpack_all(self.folder.stamps)
        codes: dict[str, int] = {}
        for at in places:
            name, value = names[at], values[at]
            assert value is not None
            size, mtime_ns, _, _, _, mode = stamps[at]
            dot = name.rfind(".")
            suffix = name[dot:] if dot > 0 else ""
            code = codes.get(suffix)
            if code is None:
                code = codes[suffix] = content_type.guess_code(name)
            flags = value[MD5_BYTES] << LEVEL_SHIFT | mode >> _EXECUTES_SHIFT & EXECUTABLE
            yield [
                prefix + name, size, value[:MD5_BYTES], mtime_ns, flags, code,
                value[MD5_BYTES + 1 :],
            ]  # fmt: skip


class Contents:
    """What all walked files hold: those of folders, and single ones with their values."""

    def __init__(
        self,
        folders: Sequence[FolderContents],
        singles: Sequence[tuple[LocalFile, bytes]],
        *,
        started: int,
    ) -> None:
        self._folders = folders
        self._singles = singles
        self._started = started

    def rows(self, tree: Tree | None) -> list[Row]:
        """Return the rows, sorted by path, of all files whose row ``tree`` may not have.

        None: the rows of all files.
        """
        leaves = Leaves(tree) if tree is not None else None
        found = [row_of(file, value) for file, value in self._singles]
        for folder in self._folders:
            if leaves is not None and folder.is_claimed(leaves):
                found += folder.rows(folder.fresh)
            else:
                folder.expand()
                found += folder.rows(range(len(folder.folder.names)))
        found.sort(key=_path)
        return found

    def remember(
        self, states: FileStates, tree: Tree | None, *, differing: Collection[str] = ()
    ) -> None:
        """Remember the folders, and that ``tree`` has their rows, but those of some prefixes."""
        leaves = Leaves(tree) if tree is not None else None
        found = []
        for folder in self._folders:
            claim = None
            local, prefix = folder.folder, folder.folder.prefix
            if leaves is not None and prefix not in differing:
                if folder.unchanged and folder.is_claimed(leaves):
                    continue
                claim = leaves.covering(sorted(prefix + name for name in local.names))
            elif folder.unchanged:
                continue
            stamps = (
                local.stamps if folder.unchanged else states.trusted(local.stamps, self._started)
            )
            found.append((os.path.abspath(local.local), folder.state(claim, stamps)))
        if found:
            states.remember_folders(found)
            states.flush()
        else:
            states.flush_many()


def _path(row: Row) -> str:
    path: str = row[PATH]
    return path


def row_of(file: LocalFile, value: bytes) -> Row:
    """Return the row of a single file."""
    flags = value[MD5_BYTES] << LEVEL_SHIFT | file.stat.st_mode >> _EXECUTES_SHIFT & EXECUTABLE
    kind = content_type.guess_code(file.path)
    return [
        file.path, file.stat.st_size, value[:MD5_BYTES], file.stat.st_mtime_ns, flags, kind,
        value[MD5_BYTES + 1 :],
    ]  # fmt: skip


def _encode_claims(claims: Mapping[str, Sequence[Leaf]]) -> Value:
    return [_RULES, [[p, [[last, page] for last, page in leaves]] for p, leaves in claims.items()]]


def _decode_claims(notes: Value) -> dict[str, list[Leaf]]:
    """Return claims by prefix. Their form needs no check: they were written here, and whole."""
    if not isinstance(notes, list) or notes[0] != _RULES:
        return {}
    claims: list[tuple[str, list[tuple[str, bytes]]]] = notes[1]  # type: ignore[assignment]
    return {
        prefix: [Leaf(last, PageId(page)) for last, page in leaves]  # type: ignore[arg-type]
        for prefix, leaves in claims
    }
