"""From the user's files to what they hold: what is known is not read, what is stored not stored.

A file whose stamp is as remembered is not read again, provided that its chunks are still there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from ahstore.chunks.cutter import Cutter, CuttingParameters
from ahstore.index.filestates import FileStates
from ahstore.index.stamps import Stamp, sizes, unpack
from ahstore.objects.file import SIZE, Row
from ahstore.objects.leaves import Leaves
from ahstore.objects.tree import Tree
from ahstore.versions.adding.changeset import rows_at
from ahstore.versions.adding.contents import Contents, FolderContents
from ahstore.versions.adding.hashing import Hasher
from ahstore.versions.adding.sinks import ChunkSink
from ahstore.versions.adding.unknown import Unknown
from ahstore.versions.adding.values import from_value, value_of_row
from ahstore.versions.adding.walk import LocalFile, LocalFolder, Walked
from ahstore.versions.monitor import Monitor

FOLDERS_AT_ONCE = 64

Slots = tuple["FolderContents | None", list[int]]
"""Places of files in a folder, or among single ones."""


class Ingest:
    """Finds out what walked files hold; new content goes to ``sink``.

    What ``tree``, that of a live commit, holds needs no confirmation.
    """

    def __init__(
        self,
        sink: ChunkSink,
        *,
        cutting: CuttingParameters,
        states: FileStates,
        tree: Tree | None,
        monitor: Monitor,
    ) -> None:
        self._sink = sink
        self._states = states
        self._tree = tree
        self._monitor = monitor
        self._hasher = Hasher(sink, Cutter(cutting), monitor)
        self._folders: list[FolderContents] = []
        self._singles: list[LocalFile] = []
        self._values: list[bytes | None] = []
        self._started = 0

    def take(self, walked: Walked, *, rehash: bool = False) -> Contents:
        """Return what all files hold; ``rehash`` reads all, remembered or not.

        Raises:
            SourceChangedError, ObjectNotFoundError, StorageError: a file could not be read whole.
        """
        self._started = self._states.now()
        total = sum(sum(sizes(folder.stamps)) for folder in walked.folders)
        total += sum(file.stat.st_size for file in walked.singles)
        self._monitor.start("Hashing", files=len(walked), bytes_=total)
        try:
            self._singles = [*walked.singles]
            self._values = [None] * len(self._singles)
            self._folders = [*_with_states(walked.folders, None if rehash else self._states)]
            if not rehash:
                self._look_up()
                self._confirm()
            unknown, slots = self._unread()
            left = sum(unknown.sizes)
            self._monitor.advance(files=len(walked) - len(unknown), bytes_=total - left)
            if len(unknown):
                self._read(unknown, slots)
        finally:
            self._monitor.finish()
        return Contents(
            self._folders,
            [(f, v) for f, v in zip(self._singles, self._values, strict=True) if v is not None],
            started=self._started,
        )

    def _look_up(self) -> None:
        """Find what is remembered of files one by one."""
        if self._singles:
            self._values = self._states.lookup_many(
                [file.local for file in self._singles], [file.stat for file in self._singles]
            )
        for folder in self._folders:
            if folder.fresh:
                local, fresh = folder.folder, folder.fresh
                if not self._states.may_know_below(local.local):
                    continue
                found = self._states.lookup_many(
                    [os.path.join(local.local, local.names[at]) for at in fresh],
                    [unpack(local.stamps, at) for at in fresh],
                    with_folders=False,
                )
                for at, value in zip(fresh, found, strict=True):
                    folder.values[at] = value

    def _confirm(self) -> None:
        """Hold for unknown what is remembered but may not be in the store any more."""
        leaves = Leaves(self._tree) if self._tree is not None else None
        doubtful: list[tuple[FolderContents, Sequence[int]]] = []
        for folder in self._folders:
            if leaves is not None and folder.is_claimed(leaves):
                places = folder.fresh
            else:
                folder.expand()
                places = range(len(folder.folder.names))
            places = [at for at in places if folder.values[at] is not None]
            if places:
                doubtful.append((folder, places))
        paths = [f.folder.prefix + f.folder.names[at] for f, places in doubtful for at in places]
        paths += [f.path for f, v in zip(self._singles, self._values, strict=True) if v is not None]
        live = rows_at(self._tree, paths) if self._tree is not None and paths else {}
        for folder, places in doubtful:
            self._confirm_folder(folder, places, live)
        for at, file in enumerate(self._singles):
            value = self._values[at]
            if value is not None and not self._held([(file.path, file.stat.st_size, value)], live):
                self._values[at] = None

    def _confirm_folder(
        self, folder: FolderContents, places: Sequence[int], live: Mapping[str, Row]
    ) -> None:
        local = folder.folder
        every = sizes(local.stamps)
        files = [(local.prefix + local.names[at], every[at], folder.values[at]) for at in places]
        if not self._held(files, live):
            folder.forget(
                [at for at, f in zip(places, files, strict=True) if not self._held([f], live)]
            )

    def _held(
        self, files: Sequence[tuple[str, int, bytes | None]], live: Mapping[str, Row]
    ) -> bool:
        """Say whether all that these files (path, size, value) hold is sure to be in the store."""
        contents = []
        for path, size, value in files:
            row = live.get(path)
            if row is not None and row[SIZE] == size and value_of_row(row) == value:
                continue
            content = from_value(value or b"", size)
            if content is None:
                return False
            contents.append(content)
        return not contents or self._sink.holds(contents)

    def _unread(self) -> tuple[Unknown, list[Slots]]:
        """Return the files to read, and where what they hold goes, in the same order."""
        unknown = Unknown()
        slots: list[Slots] = []
        for folder in self._folders:
            names, values = folder.folder.names, folder.values
            places = [at for at in folder.fresh if values[at] is None]
            if places:
                # By name: mostly as the files were made, and so as they lie on the disk.
                places.sort(key=names.__getitem__)
                unknown.add_folder(folder.folder, places)
                slots.append((folder, places))
        places = [at for at, value in enumerate(self._values) if value is None]
        for at in places:
            unknown.add_single(self._singles[at])
        slots.append((None, places))
        return unknown, slots

    def _read(self, unknown: Unknown, slots: Sequence[Slots]) -> None:
        values: list[bytes | None] = [None] * len(unknown)
        changed: dict[int, Stamp] = {}
        for reads in self._hasher.read(unknown):
            for number, value, stamp in reads:
                values[number] = value
                if stamp is not None:
                    changed[number] = stamp
            self._monitor.advance(files=len(reads))
        start = 0
        for folder, places in slots:
            stop = start + len(places)
            if folder is not None:
                for at, read in zip(places, values[start:stop], strict=True):
                    folder.values[at] = read
                for number in changed.keys() & {*range(start, stop)} if changed else ():
                    folder.restamp(places[number - start], changed[number])
            else:
                self._take_singles(places, values[start:], changed, start)
            start = stop

    def _take_singles(
        self,
        places: Sequence[int],
        values: Sequence[bytes | None],
        changed: Mapping[int, Stamp],
        start: int,
    ) -> None:
        read: list[tuple[str, Stamp, bytes]] = []
        for number, (at, value) in enumerate(zip(places, values, strict=True), start):
            assert value is not None
            file = self._singles[at]
            if number in changed:
                file = self._singles[at] = file._replace(stat=changed[number])
            self._values[at] = value
            read.append((file.local, file.stat, value))
        self._states.remember_many(read, started=self._started)


def _with_states(
    folders: Sequence[LocalFolder], states: FileStates | None
) -> Iterator[FolderContents]:
    """Yield folders with what is remembered of each."""
    if states is None:
        for folder in folders:
            yield FolderContents(folder, None)
        return
    for start in range(0, len(folders), FOLDERS_AT_ONCE):
        some = folders[start : start + FOLDERS_AT_ONCE]
        known = states.folders([os.path.abspath(folder.local) for folder in some])
        for folder, state in zip(some, known, strict=True):
            yield FolderContents(folder, state)
