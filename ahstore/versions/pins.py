"""Pins: what keeps a commit readable while gc runs, whatever becomes of its branch.

A pin is a lease that names a commit and no cells (docs/format/gc.md, "Readers"); gc takes it for a
root and waits for nobody who only reads. Short reads do without: at worst they fail with a typed
error, never with wrong bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ahstore.errors import ConflictError, OutcomeUnknownError, StorageError, UnsupportedError
from ahstore.ids import AssetId, CommitId
from ahstore.storage.leases import Lease
from ahstore.versions.monitor import Monitor
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository

PIN_BYTES = 64 * 2**20
PIN_FILES = 1000
"""From so much on a reading is worth a pin."""


@contextmanager
def pinned(repo: Repository, commit: CommitId) -> Iterator[Lease | None]:
    """Keep a commit as it is now; None where nothing can be written, and so nothing be pinned.

    What gc was about to delete when the pin was taken may still go: then reading it fails.
    """
    try:
        lease = Lease.take(repo.cells, [], pins=[commit], purpose="reading")
    except (StorageError, UnsupportedError, OutcomeUnknownError):
        yield None
        return
    with lease:
        yield lease


@contextmanager
def pinned_head(repo: Repository, asset: AssetId, name: str) -> Iterator[CommitId]:
    """Keep the commit that a branch or tag is at: what is in it can be read to the end.

    Raises:
        NotFoundError: there is no such branch or tag.
        ConflictError: it moved just now; try again.
    """
    head = Refs(repo).get(asset, name).commit
    with pinned(repo, head):
        # Only a head that is seen after the pin is sure to be seen with it by gc.
        if Refs(repo).get(asset, name).commit != head:
            raise ConflictError(f"{name!r} has just moved; try again", name=name)
        yield head


class Beating(Monitor):
    """Shows that the reader lives while he goes on; passes everything on to ``inner``."""

    def __init__(self, lease: Lease | None, inner: Monitor) -> None:
        self._lease = lease
        self._inner = inner

    def start(self, title: str, *, files: int | None = None, bytes_: int | None = None) -> None:
        """See `Monitor.start`."""
        self._inner.start(title, files=files, bytes_=bytes_)

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:
        """See `Monitor.advance`."""
        if self._lease is not None:
            self._lease.beat()
        self._inner.advance(files=files, bytes_=bytes_)

    def finish(self) -> None:
        """See `Monitor.finish`."""
        self._inner.finish()
