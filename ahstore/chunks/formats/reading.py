"""How a format's module looks at a file: by a few reads, of which each and all are bounded."""

from __future__ import annotations

from collections.abc import Callable

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset, length)`` gives that many bytes of the file, or fewer at its end."""

MAX_READ_BYTES = 48 * 2**20
MAX_PARTS = 65_536  # members, tensors …: where there are more, they are small


class NotThisFormatError(Exception):
    """The file lies about its format, or is beyond what is looked at: then it is just bytes.

    The message, where there is one, goes on after "can't be read as …: ".
    """


class Glance:
    """A file of ``size`` bytes, of which at most ``MAX_READ_BYTES`` are read."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self.size = size
        self._read_at = read_at
        self._left = MAX_READ_BYTES

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly these bytes of the file.

        Raises:
            NotThisFormatError: they reach beyond the file, or more was read than is allowed.
        """
        if offset < 0 or length < 0 or offset + length > self.size or length > self._left:
            raise NotThisFormatError
        self._left -= length
        data = self._read_at(offset, length)
        if len(data) != length:  # the file is shorter by now: whoever reads it will notice
            raise NotThisFormatError
        return data

    def read_upto(self, offset: int, length: int) -> bytes:
        """Return these bytes, or those of them that there are."""
        return self.read(offset, min(length, self.size - offset))
