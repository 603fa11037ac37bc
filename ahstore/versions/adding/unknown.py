"""The files that have to be read: named by their folder and place, for they may be a million."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence

from ahstore.index.stamps import Stamp, sizes, unpack
from ahstore.versions.adding.walk import LocalFile, LocalFolder


class Unknown:
    """Files to read, numbered: those of folders, then single ones.

    Attributes:
        sizes: of all, in bytes.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._folders: list[tuple[LocalFolder, int]] = []
        self._starts: list[int] = []
        self._places = array("Q")
        self._singles: list[tuple[LocalFile, int]] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def add_folder(self, folder: LocalFolder, number: int, places: Sequence[int]) -> None:
        """Add files of the folder that its owner knows as ``number``; before any single ones."""
        self._starts.append(len(self._places))
        self._folders.append((folder, number))
        self._places.extend(places)
        every = sizes(folder.stamps)
        self.sizes += [every[place] for place in places]

    def add_single(self, file: LocalFile, place: int) -> None:
        """Add a file that its owner knows by ``place`` among those without a folder."""
        self._singles.append((file, place))
        self.sizes.append(file.stat.st_size)

    def owner(self, at: int) -> tuple[int, int]:
        """Return number of the folder and place in it; -1 and the place for a single file."""
        if at >= len(self._places):
            return -1, self._singles[at - len(self._places)][1]
        return self._folders[bisect_right(self._starts, at) - 1][1], self._places[at]

    def file(self, at: int) -> LocalFile:
        """Return a file."""
        if at >= len(self._places):
            return self._singles[at - len(self._places)][0]
        return self._folders[bisect_right(self._starts, at) - 1][0].file(self._places[at])

    def stamp(self, at: int) -> Stamp:
        """Return a file's stamp as walked."""
        if at >= len(self._places):
            return self._singles[at - len(self._places)][0].stat
        folder = self._folders[bisect_right(self._starts, at) - 1][0]
        return unpack(folder.stamps, self._places[at])
