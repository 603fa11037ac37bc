"""What a ref's cell tells of its history: its commit and those before it, whole, newest first.

Each commit lies in a pack of its own, mostly; so a log over a network was a request for each. Here
one version of the cell tells some twenty, and leads on to an earlier version that tells more.
Implements docs/format/cells.md, "Commits in a value". It is a hint: what is told is checked by its
hash, and only followed from a commit to its first parent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from ahstore.codec.canonical import Value
from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import CommitId
from ahstore.objects.commit import Commit, commit_id, decode, encode
from ahstore.storage.cells import CellState, CellVersion
from ahstore.storage.contract import MissingError

FIELD = "commits"
MOST_TOLD = 32
MOST_TOLD_BYTES = 8 * 1024
"""The cell stays small: it is written at each commit, and kept in memory where it is read."""
_REMEMBERED = 4096
_UNTOLD = 64

Told = list[tuple[int, bytes]]
"""Numbers of versions, and the commits that they put there."""
ReadVersion = Callable[[str, int], CellVersion]


class Past:
    """Commits that the cells read tell of. Threads may share it.

    Args:
        read_version: reads the version of a cell by its folder and number.
    """

    def __init__(self, read_version: ReadVersion) -> None:
        self._read_version = read_version
        self._untold: deque[tuple[str, CellVersion]] = deque(maxlen=_UNTOLD)
        self._commits: dict[CommitId, bytes] = {}
        self._earlier: dict[CommitId, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def learn(self, folder: str, version: CellVersion) -> None:
        """Take note of a version that was read; cheap, since it is decoded when asked for."""
        if FIELD in version.value:
            with self._lock:
                self._untold.append((folder, version))

    def find(self, commit: CommitId) -> bytes | None:
        """Return a commit's bytes if a cell that was read tells them, or an earlier version does."""
        with self._lock:
            self._take_in()
            found = self._commits.get(commit)
            earlier = None if found is not None else self._earlier.pop(commit, None)
        if earlier is None:
            return found
        folder, number = earlier
        with suppress(MissingError, CorruptError):
            self.learn(folder, self._read_version(folder, number))
        with self._lock:
            self._take_in()
            return self._commits.get(commit)

    def _take_in(self) -> None:
        while self._untold:
            folder, version = self._untold.pop()
            if len(self._commits) > _REMEMBERED:
                self._commits.clear()
                self._earlier.clear()
            last: tuple[int, Commit] | None = None
            for number, data in told_by(version):
                self._commits[commit_id(data)] = data
                last = number, decode(data)
            if last is not None and last[0] < version.number:
                for parent in last[1].parents[:1]:
                    if parent not in self._commits:
                        self._earlier[parent] = folder, last[0]


def told_by(version: CellVersion) -> Iterator[tuple[int, bytes]]:
    """Yield what a version tells, from its commit to first parent after first parent.

    What is malformed ends it, and so does a commit that is not the next.
    """
    items = version.value.get(FIELD) if version.state is CellState.LIVE else None
    wanted = version.value.get("commit")
    for item in items[:MOST_TOLD] if isinstance(items, list) else ():
        if not isinstance(item, list) or [type(part) for part in item] != [int, bytes]:
            return
        number, data = item
        if sha256(data) != wanted or not 0 <= number <= version.number:  # type: ignore[arg-type,operator]
            return
        try:
            parents = decode(data).parents  # type: ignore[arg-type]
        except (CorruptError, InvalidInputError):
            return
        yield number, data  # type: ignore[misc]
        if not parents:
            return
        wanted = parents[0]


def encode_past(current: CellVersion, commit: Commit) -> list[Value]:
    """Return the field of the version after ``current`` that puts ``commit`` there; it may be empty."""
    told: Told = [(current.number + 1, encode(commit))]
    if commit.parents and current.value.get("commit") == commit.parents[0]:
        told += told_by(current)
    size = 0
    items: list[Value] = []
    for number, data in told[:MOST_TOLD]:
        size += len(data)
        if size > MOST_TOLD_BYTES:
            break
        items.append([number, data])
    return items
