"""What differs inside of a file, by tensor, array, record or column; only what may differ is read.

Read are the headers of both sides, and of each part the chunks that are not the same on both
sides at the same place in it. A part whose chunks are all the same is unchanged without a read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from ahstore.objects.file import Row
from ahstore.objects.parts.part import Contents, Part, Range
from ahstore.objects.parts.read import NotThisFormatError, detail, find_format, read_contents
from ahstore.objects.samebytes import Span, differing, spans
from ahstore.versions.comparing.content import Content
from ahstore.versions.comparing.difference import Difference
from ahstore.versions.comparing.part_renames import renamed_parts
from ahstore.versions.comparing.raw import Cut, raw_blocks
from ahstore.versions.repository import Repository

if TYPE_CHECKING:
    from ahstore.versions.comparing.values import Values

LOOK_AHEAD_SPANS = 32
"""So many chunks further on it is looked for one that tells without a read."""

What = Literal["content", "dtype", "order", "shape"]


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part that differs; ``old`` or ``new`` is None where there is no such side.

    One that was renamed has the name that ``old`` had before.

    Attributes:
        kind: of the change.
        name: the part's.
        old: it before.
        new: it after.
        what: what of a modified part differs.
        values: how far values differ, if that was asked for and can be told.
        note: why something can't be told, "" if nothing is to be said.
    """

    kind: Literal["added", "modified", "deleted", "renamed"]
    name: str
    old: Part | None
    new: Part | None
    what: tuple[What, ...] = ()
    values: Values | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Inside:
    """What differs inside of a file.

    Attributes:
        format: of the new version; "" if it is of none that is known.
        changes: parts that differ or were renamed, in the new file's order, deleted ones last.
        unchanged: how many parts do not differ.
        note: why nothing is told of the parts, "" if it is.
    """

    format: str
    changes: tuple[PartChange, ...] = ()
    unchanged: int = 0
    note: str = ""


def inside_of(
    repo: Repository, found: Difference, *, values: bool = False, renames: bool = True
) -> Inside | None:
    """Return what differs inside of an object, None where there is nothing to tell.

    That is so for one that is on one side only, whose content is the same, or of no known format.
    """
    if found.old is None or found.new is None or "content" not in found.what:
        return None
    inside = compare_inside(repo, found.old, found.new, values=values, renames=renames)
    return inside if inside.format or inside.note else None


def compare_inside(
    repo: Repository, old: Row, new: Row, *, values: bool = False, renames: bool = True
) -> Inside:
    """Return what differs between two versions of a file.

    Args:
        repo: the store.
        old: the file's row before.
        new: the file's row after.
        values: compare values, too: numbers and how far they are apart.
        renames: find parts that have another name and the same content.

    Raises:
        UnsupportedError: ``values`` needs a package that is not installed.
        CorruptError: stored bytes are damaged.
    """
    a, b = Content(repo, old), Content(repo, new)
    formats = [find_format(content.glance()) for content in (a, b)]
    if formats[0] != formats[1] or formats[1] is None:
        found = " -> ".join(format_ or "other" for format_ in formats)
        return Inside("", note="" if formats == [None, None] else f"the format changed: {found}")
    try:
        contents = [read_contents(content.glance(), formats[1]) for content in (a, b)]
    except NotThisFormatError as error:
        return Inside(formats[1], note=_unreadable(f"can't be read as {formats[1]}", error))
    return _Comparison(a, b, *contents, values=values, renames=renames).run()


def _unreadable(start: str, error: Exception) -> str:
    return f"{start}: {error}" if str(error) else start


class _Comparison:
    def __init__(
        self,
        a: Content,
        b: Content,
        old: Contents,
        new: Contents,
        *,
        values: bool,
        renames: bool,
    ) -> None:
        self._a, self._b = a, b
        self._old, self._new = old, new
        self._values = values
        self._renames = renames

    def run(self) -> Inside:
        changes = list(self._changes())
        if self._renames:
            changes = self._paired(changes)
        changed = sum(change.kind != "deleted" for change in changes)
        return Inside(self._new.format, tuple(changes), len(self._new.parts) - changed)

    def _changes(self) -> Iterator[PartChange]:
        for name, new in self._new.parts.items():
            old = self._old.parts.get(name)
            if old is None:
                yield PartChange("added", name, None, _shown(self._b, new))
            elif change := self._change(old, new):
                yield change
        for name, old in self._old.parts.items():
            if name not in self._new.parts:
                yield PartChange("deleted", name, _shown(self._a, old), None)

    def _paired(self, changes: list[PartChange]) -> list[PartChange]:
        """Return the changes with those that are one part under another name put together."""
        deleted = [change.old for change in changes if change.kind == "deleted" and change.old]
        added = [change.new for change in changes if change.kind == "added" and change.new]
        if not deleted or not added:
            return changes
        found = renamed_parts(self._a, self._b, deleted, added, self._is_same)
        gone = {part.name for part in found.values()}
        return [
            replace(change, kind="renamed", old=found[change.name])
            if change.kind == "added" and change.name in found
            else change
            for change in changes
            if change.kind != "deleted" or change.name not in gone
        ]

    def _is_same(self, old: Part, new: Part) -> bool:
        try:
            return not self._content_differs(old, new)
        except (NotThisFormatError, zlib.error):
            return False  # what can't be read is like nothing

    def _change(self, old: Part, new: Part) -> PartChange | None:
        change = partial(PartChange, "modified", new.name)
        if old.pending and new.pending and self._same_chunks(old, new):
            return None
        try:
            old, new = detail(self._a.glance(), old), detail(self._b.glance(), new)
            what = self._what(old, new)
        except (NotThisFormatError, zlib.error) as error:
            return change(old, new, ("content",), note=_unreadable("can't be read", error))
        if not what:
            return None
        if not self._values or not {"content", "dtype", "order"}.intersection(what):
            return change(old, new, what)
        from ahstore.versions.comparing.values import compare_values  # numpy, which is optional

        values, note = compare_values(
            Cut(self._a, old, self._old.group_rows), Cut(self._b, new, self._new.group_rows)
        )
        return change(old, new, what, values, note)

    def _what(self, old: Part, new: Part) -> tuple[What, ...]:
        what: list[What] = []
        if self._content_differs(old, new):
            what.append("content")
        if old.dtype != new.dtype:
            what.append("dtype")
        if old.fortran != new.fortran:
            what.append("order")
        if old.shape != new.shape:
            what.append("shape")
        return tuple(what)

    def _same_chunks(self, old: Part, new: Part) -> bool:
        return _same_lengths(old, new) and not any(
            True
            for x, y in zip(old.ranges, new.ranges, strict=True)
            for _ in differing(self._a.listed, x.offset, self._b.listed, y.offset, x.length)
        )

    def _content_differs(self, old: Part, new: Part) -> bool:
        if "deflate" in (old.coding, new.coding):
            return self._inflated_differs(old, new)
        if not _same_lengths(old, new):
            return True
        return any(self._range_differs(x, y) for x, y in zip(old.ranges, new.ranges, strict=True))

    def _range_differs(self, x: Range, y: Range) -> bool:
        """Tell by the chunk lists if they can tell; else read, where it can only be one or two chunks."""
        waiting: list[Span] = []
        for span in spans(self._a.listed, x.offset, self._b.listed, y.offset, x.length):
            if span.certain:
                return True
            waiting.append(span)
            if len(waiting) > LOOK_AHEAD_SPANS and self._bytes_differ(x, y, waiting.pop(0)):
                return True
        return any(self._bytes_differ(x, y, span) for span in waiting)

    def _bytes_differ(self, x: Range, y: Range, span: Span) -> bool:
        pairs = zip(
            self._a.blocks(x.offset + span.start, span.length),
            self._b.blocks(y.offset + span.start, span.length),
            strict=True,
        )
        return any(one != other for one, other in pairs)

    def _inflated_differs(self, old: Part, new: Part) -> bool:
        if self._same_chunks(old, new):
            return False
        if old.raw_bytes != new.raw_bytes:
            return True
        pairs = zip(raw_blocks(Cut(self._a, old)), raw_blocks(Cut(self._b, new)), strict=True)
        return any(one != other for one, other in pairs)


def _same_lengths(old: Part, new: Part) -> bool:
    return [r.length for r in old.ranges] == [r.length for r in new.ranges]


def _shown(content: Content, part: Part) -> Part:
    """Return a part that is on one side only, with type and shape if they can be had."""
    with suppress(NotThisFormatError):
        return detail(content.glance(), part)
    return part
