"""Telling a file's format from its first bytes, and reading what it holds."""

from __future__ import annotations

from collections.abc import Callable

from ahstore.chunks.formats.reading import Glance, NotThisFormatError
from ahstore.objects.parts import archive, npy, parquet, safetensors
from ahstore.objects.parts.part import Contents, Part

_FORMATS: dict[str, tuple[Callable[[bytes], bool], Callable[[Glance], Contents]]] = {
    "safetensors": (safetensors.is_it, safetensors.read),
    "npy": (npy.is_it, npy.read),
    "zip": (archive.is_it, archive.read),
    "parquet": (parquet.is_it, parquet.read),
}
_HEAD_BYTES = 16


def find_format(file: Glance) -> str | None:
    """Return which of the known formats a file claims to be, None for any other."""
    head = file.read_upto(0, _HEAD_BYTES)
    return next((name for name, (is_it, _) in _FORMATS.items() if is_it(head)), None)


def read_contents(file: Glance, format_: str) -> Contents:
    """Return what a file holds that claims to be of ``format_``.

    Raises:
        NotThisFormatError: it lies, or describes itself at more length than is looked at. The
            message says which; it may be empty.
    """
    _, read = _FORMATS[format_]
    return read(file)


def detail(file: Glance, part: Part) -> Part:
    """Return a part with all that its own header says; see :attr:`Part.pending`.

    Raises:
        NotThisFormatError: that header is malformed.
    """
    return archive.detail(file, part)


__all__ = ["NotThisFormatError", "detail", "find_format", "read_contents"]
