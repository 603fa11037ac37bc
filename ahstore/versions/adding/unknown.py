"""The files that have to be read: named by their folder and place, for they may be a million."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ahstore.index.stamps import Fields, sizes, unpack_all
from ahstore.versions.adding.walk import LocalFile, LocalFolder


class ToRead(NamedTuple):
    """A file to read: its number, where it is, and its stamp when it was walked."""

    number: int
    local: str
    stamp: Fields


class Unknown:
    """Files to read, numbered as they were added: those of folders, then single ones.

    Attributes:
        sizes: of all, in bytes.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._folders: list[LocalFolder] = []
        self._starts: list[int] = []
        self._places = array("Q")
        self._singles: list[LocalFile] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def add_folder(self, folder: LocalFolder, places: Sequence[int]) -> None:
        """Add files of a folder; before any single ones."""
        self._starts.append(len(self._places))
        self._folders.append(folder)
        self._places.extend(places)
        every = sizes(folder.stamps)
        self.sizes += [every[place] for place in places]

    def add_single(self, file: LocalFile) -> None:
        """Add a file without a folder."""
        self._singles.append(file)
        self.sizes.append(file.stat.st_size)

    def files(self, numbers: Iterable[int]) -> Iterator[ToRead]:
        """Yield the files with these numbers, which ascend."""
        places, end = self._places, 0
        names: Sequence[str] = ()
        stamps: Sequence[Fields] = ()
        base = ""
        for number in numbers:
            if number >= end:
                if number >= len(places):
                    file = self._singles[number - len(places)]
                    yield ToRead(number, file.local, file.stat)
                    continue
                at = bisect_right(self._starts, number)
                end = self._starts[at] if at < len(self._starts) else len(places)
                folder = self._folders[at - 1]
                names, stamps = folder.names, unpack_all(folder.stamps)
                base = os.path.join(folder.local, "")
            place = places[number]
            yield ToRead(number, base + names[place], stamps[place])
