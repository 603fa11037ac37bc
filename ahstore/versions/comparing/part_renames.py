"""Which deleted and added parts of a file are one part under another name: by content alone.

Only parts of the same type, shape and lengths are looked at. Most are told by the chunks they begin
with, without a read; the rest by their first bytes. Whoever has an equal twin on his side is
ambiguous and stays what he was, deleted or added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

from ahstore.objects.chunklist import walk
from ahstore.objects.parts.part import Part
from ahstore.versions.comparing.content import Content

HEAD_BYTES = 64
MAX_ALIKE = 16
"""Of more parts than this that begin alike on one side (zeros, mostly) none is looked at."""

Same: TypeAlias = Callable[[Part, Part], bool]
Begin: TypeAlias = Callable[[Content, Part], Hashable]


def renamed_parts(
    a: Content, b: Content, deleted: Sequence[Part], added: Sequence[Part], same: Same
) -> dict[str, Part]:
    """Return by the name of an added part which deleted one it was.

    Args:
        a: the file before.
        b: the file after.
        deleted: parts that only ``a`` has.
        added: parts that only ``b`` has.
        same: whether two parts, of ``a`` and of ``b``, have the same content.
    """
    found: dict[str, Part] = {}
    settled: set[tuple[int, str]] = set()
    for begin in (_first_chunk, _first_bytes):
        begun: defaultdict[Hashable, tuple[list[Part], list[Part]]] = defaultdict(lambda: ([], []))
        looks = _looks(deleted) & _looks(added)
        for side, (content, parts) in enumerate(((a, deleted), (b, added))):
            for part in parts:
                if (side, part.name) not in settled and _look(part) in looks:
                    begun[_look(part), begin(content, part)][side].append(part)
        for old, new in begun.values():
            if old and new and max(len(old), len(new)) <= MAX_ALIKE:
                _match(old, new, same, found, settled)
    return found


def _match(
    old: Sequence[Part],
    new: Sequence[Part],
    same: Same,
    found: dict[str, Part],
    settled: set[tuple[int, str]],
) -> None:
    """Pair those of which there is one on each side; who has several like him is settled, too."""
    equal = {part.name: [other for other in old if same(other, part)] for part in new}
    for name, others in equal.items():
        for other in others:
            settled.update(((1, name), (0, other.name)))
        if len(others) == 1 and sum(others == each for each in equal.values()) == 1:
            found[name] = others[0]


def _look(part: Part) -> Hashable:
    """Return what parts of the same content share, whatever their names."""
    lengths = part.raw_bytes if part.coding == "deflate" else tuple(r.length for r in part.ranges)
    return part.dtype, part.shape, part.fortran, part.coding, lengths


def _looks(parts: Sequence[Part]) -> set[Hashable]:
    return {_look(part) for part in parts if part.stored_bytes and part.raw_bytes != 0}


def _first_chunk(content: Content, part: Part) -> Hashable:
    offset, length = part.ranges[0]
    refs = walk(
        content.listed.level, content.listed.refs, content.read_list, offset=offset, length=length
    )
    return next(((ref.id, start - offset) for ref, start in refs), None)


def _first_bytes(content: Content, part: Part) -> Hashable:
    offset, length = part.ranges[0]
    return content.read(offset, min(HEAD_BYTES, length))
