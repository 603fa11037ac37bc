"""Tables and ``KEY:   value`` blocks, in plain text, as the tutorial shows them.

A table is written while its rows come: the widths are those of the first rows, so that listing a
million objects neither waits nor needs memory for the last one. Text from outside is cleaned of
control characters first: a commit message must not be able to drive the reader's terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice

SAMPLE_ROWS = 1000
GAP = "  "


def table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the lines of a table; columns named in ``right`` are flush right.

    The last column is not padded.
    """
    rows = iter(rows)
    sample = list(islice(rows, SAMPLE_ROWS))
    widths = [max(map(width, column)) for column in zip(titles, *sample, strict=True)]
    flush_right = [title in right for title in titles]
    if not flush_right[-1]:
        widths[-1] = 0
    # What "%" pads is right where a character is a cell.
    template = GAP.join(
        f"%{'' if to_right else '-'}{wanted}s"
        for wanted, to_right in zip(widths, flush_right, strict=True)
    )
    for row in chain([titles], sample, rows):
        line = template % tuple(row)
        if not line.isascii():
            cells = zip(row, widths, flush_right, strict=True)
            line = GAP.join([_padded(*cell) for cell in cells])
        yield line.rstrip() + "\n"


def block(fields: Mapping[str, str | Sequence[str]]) -> Iterator[str]:
    """Yield the lines of ``KEY:   value``; a value of several lines goes on below its first."""
    heads = _heads(tuple(fields))
    for head, value in zip(heads, fields.values(), strict=False):
        if isinstance(value, str):
            yield f"{head}{value}".rstrip() + "\n"
            continue
        first, *more = value or [""]
        yield f"{head}{first}".rstrip() + "\n"
        for line in more:
            yield f"{heads[-1]}{line}".rstrip() + "\n"


@lru_cache(maxsize=16)
def _heads(keys: tuple[str, ...]) -> list[str]:
    """Return what stands before each value, and last what stands before a value's further lines."""
    indent = max(map(len, keys)) + 1 + len(GAP)
    return [f"{key}:".ljust(indent) for key in keys] + [" " * indent]


def pairs(titles: tuple[str, str], rows: Mapping[str, str]) -> list[str]:
    """Return the lines of a small two-column table, to stand as a block's value."""
    return [line.rstrip("\n") for line in table(titles, rows.items())]


def clean(text: str) -> str:
    """Return ``text`` with control and direction-changing characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def first_line(text: str) -> str:
    """Return the first line of a message, cleaned."""
    return clean(next(iter(text.strip().splitlines()), ""))


def width(text: str) -> int:
    """Return how many terminal cells ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _padded(text: str, wanted: int, to_right: bool) -> str:
    padding = " " * (wanted - width(text))
    return padding + text if to_right else text + padding
