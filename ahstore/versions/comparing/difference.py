"""One object that differs between two versions."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from ahstore.objects.file import CONTENT_TYPE, FLAGS, MD5, PATH, REFS, SIZE, Row

Kind: TypeAlias = Literal["added", "modified", "deleted", "renamed"]
What: TypeAlias = Literal["content", "content type", "executable"]


class Difference(NamedTuple):
    """One object that differs; a row is None where there is no such side.

    Attributes:
        kind: of the change. A renamed object may be modified as well: see ``similarity``.
        old: its row before.
        new: its row after.
        similarity: of a renamed object, how much of the content is the same: 1.0 all of it.
    """

    kind: Kind
    old: Row | None
    new: Row | None
    similarity: float | None = None

    @property
    def path(self) -> str:
        """Where it is; where it was if it is deleted."""
        row = self.new if self.new is not None else self.old
        assert row is not None
        return str(row[PATH])

    @property
    def old_path(self) -> str | None:
        """Where a renamed object was, None for any other."""
        return str(self.old[PATH]) if self.kind == "renamed" and self.old else None

    @property
    def size(self) -> int | None:
        """Its bytes, None if it is deleted."""
        return None if self.new is None else int(self.new[SIZE])

    @property
    def old_size(self) -> int | None:
        """Its bytes before, None if it is added."""
        return None if self.old is None else int(self.old[SIZE])

    @property
    def what(self) -> tuple[What, ...]:
        """What of an object that is on both sides differs."""
        old, new = self.old, self.new
        if old is None or new is None:
            return ()
        found: list[What] = []
        if old[SIZE] != new[SIZE] or old[REFS] != new[REFS] or old[MD5] != new[MD5]:
            found.append("content")
        if old[CONTENT_TYPE] != new[CONTENT_TYPE]:
            found.append("content type")
        if (old[FLAGS] ^ new[FLAGS]) & 1:
            found.append("executable")
        return tuple(found)
