"""A commit written piece by piece: put, open, delete, copy, move, then published once or not at all.

Content goes into the session's packs as it comes; what is kept in memory are rows. At the end the
changes are applied by path to whatever head the branch has then, as a commit's are (write order:
docs/format/write-order.md, "Transaction"). One thread at a time may use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from ahstore.chunks.cutter import Cutter
from ahstore.errors import ConflictError, InvalidInputError, ObjectNotFoundError
from ahstore.ids import AssetId, CommitId
from ahstore.names import check_object_path
from ahstore.objects import content_type
from ahstore.objects.edit import edit
from ahstore.objects.file import CONTENT_TYPE, PATH, FileEntry, Row, check_rows
from ahstore.versions.adding.changes import Addition, Change
from ahstore.versions.adding.changeset import compare
from ahstore.versions.adding.commits import CommitResult
from ahstore.versions.adding.ingest import Ingest
from ahstore.versions.adding.reading import BLOCK_BYTES, Content
from ahstore.versions.adding.walk import walk
from ahstore.versions.history.closure import check_rows_kept
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.publish import Proposal, Signature, publish
from ahstore.versions.refs import Refs, check_expected, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import open_row
from ahstore.versions.transactions.alive import KeepAlive
from ahstore.versions.transactions.chunks import OwnChunks
from ahstore.versions.transactions.content import (
    ContentWriter,
    ObjectWriter,
    Readable,
    check_bytes,
    content_of,
    row_of,
)
from ahstore.versions.transactions.view import View


class Transaction:
    """Changes to a branch that nobody sees before `publish`. It ends with `publish` or `abandon`."""

    def __init__(
        self,
        repo: Repository,
        asset: AssetId,
        branch: str,
        signature: Signature,
        *,
        expect: CommitId | None = None,
    ) -> None:
        """Begin on the branch's head, under a lease.

        Raises:
            NotFoundError: there is no such branch.
            ConflictError: it is not at ``expect``.
        """
        self._repo = repo
        self._asset = asset
        self._branch = branch
        self._signature = signature
        self._expect = expect
        self._writers: dict[str, ObjectWriter] = {}
        self._over = False
        with ExitStack() as stack:
            self._session = stack.enter_context(repo.session([ref_cell(asset, branch)]))
            head = Refs(repo).get(asset, branch, "branch")
            check_expected(head, expect)
            self._alive = KeepAlive(self._session)
            stack.callback(self._alive.stop)
            self._view = View(repo.files(head.commit))
            self._cutter = Cutter(repo.cutting)
            self._chunks = OwnChunks(repo, self._session)
            self._stack = stack.pop_all()

    # Writing.

    def put_bytes(self, path: str, data: bytes | memoryview, *, executable: bool = False) -> None:
        """Let ``path`` be an object of these bytes.

        Raises:
            InvalidInputError: no object can be at ``path``.
        """
        self._check(path)
        content = content_of(self._cutter, self._chunks, data)
        self._put(path, content, executable=executable)

    def put_stream(self, path: str, source: Readable, *, executable: bool = False) -> None:
        """Let ``path`` be an object of what is read from ``source`` to its end.

        Raises:
            InvalidInputError: no object can be at ``path``, or ``source`` gives text.
        """
        self._check(path)
        writer = ContentWriter(self._cutter, self._chunks)
        while block := check_bytes(source.read(BLOCK_BYTES)):
            writer.write(block)
        self._put(path, writer.finish(), executable=executable)

    def put_local(self, path: str, local: str, *, monitor: Monitor = SILENT) -> None:
        """Let ``path`` be a local file, or, of a local folder, have its files below it.

        Raises:
            ObjectNotFoundError: there is no such local file.
            InvalidInputError: an object can't be at its path.
            SourceChangedError, StorageError: a file could not be read whole.
        """
        target = path.removesuffix("/")
        is_folder = os.path.isdir(local)
        if target or not is_folder:
            check_object_path(target)
        if path.endswith("/") and not is_folder:
            raise InvalidInputError(f"{local} is a file: give {path + os.path.basename(local)!r}")
        self._check_open()
        walked = walk([Addition(local, target, is_folder)], left_out=monitor.left_out)
        for each in walked.paths():
            self._view.check_place(each)
        repo = self._repo
        ingest = Ingest(
            self._chunks, cutting=repo.cutting, states=repo.states, tree=None, monitor=SILENT
        )
        contents = ingest.take(walked)
        self._alive.go_on()  # for many files a second process may have been forked
        for row in contents.rows(None):
            self._view.put(row)
        contents.remember(repo.states, None)

    def create(self, path: str, *, executable: bool = False) -> ObjectWriter:
        """Open a new object for writing; it is there when the file object was closed.

        Raises:
            InvalidInputError: no object can be at ``path``, or it is open for writing already.
        """
        self._check(path)
        if path in self._writers:
            raise InvalidInputError(f"{path!r} is open for writing already", path=path)

        def done(content: Content) -> None:
            del self._writers[path]
            self._check_open()
            self._put(path, content, executable=executable)

        def given_up() -> None:
            self._writers.pop(path, None)

        writer = ObjectWriter(ContentWriter(self._cutter, self._chunks), done, given_up)
        self._writers[path] = writer
        return writer

    def delete(self, path: str) -> int:
        """Delete an object, or with ``sub/`` all below it, and return how many there were.

        What is not there is no error; a single path is deleted even if another adds it meanwhile.
        """
        self._check_open()
        check_object_path(path.removesuffix("/"))
        if not path.endswith("/"):
            there = self._view.find(path) is not None
            self._view.delete(path)
            return int(there)
        found = [row[PATH] for row in self._view.scan(prefix=path)]
        for each in found:
            self._view.delete(each)
        return len(found)

    def copy(
        self, path: str, target: str, *, source: CommitId | None = None, via: str | None = None
    ) -> int:
        """Let ``target`` be what ``path`` is, an object or with ``sub/`` a folder; no bytes move.

        Args:
            path: what is copied.
            target: where to; ends in ``/`` if ``path`` does, "" is the top.
            source: the commit to copy from, of any asset; None: what this transaction sees.
            via: a live branch or tag of that asset from which ``source`` is reached.

        Returns:
            The number of objects.

        Raises:
            ObjectNotFoundError: there is nothing at ``path``.
            InvalidInputError: an object can't be at its path.
            NotFoundError: there is no such commit, or gc has taken something of it away.
        """
        self._check_open()
        rows = self._rows(path, target, source)
        if source is not None:
            owner = self._repo.read_commit(source).asset
            if not Refs(self._repo).is_under(owner, source, [via]):
                check_rows_kept(self._repo, rows, self._session)
        for row in _moved(rows, path, target):
            self._view.put(row)
        return len(rows)

    def move(self, path: str, target: str) -> int:
        """Let ``target`` be what ``path`` was, and nothing be at ``path``; as `copy`."""
        self._check_open()
        rows = self._rows(path, target, None)
        moved = _moved(rows, path, target)
        for row in rows:
            self._view.delete(row[PATH])
        try:
            for row in moved:
                self._view.check_place(row[PATH])
        except InvalidInputError:
            for row in rows:
                self._view.put(row)
            raise
        for row in moved:
            self._view.put(row)
        return len(rows)

    # Reading.

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading, as this transaction has left it.

        Raises:
            ObjectNotFoundError: there is none.
        """
        self._check_open()
        row = self._view.find(check_object_path(path))
        if row is None:
            raise ObjectNotFoundError(f"there is no object {path!r}", path=path)
        return open_row(self._chunks, row)

    def find(self, path: str) -> FileEntry | None:
        """Return the object at ``path``, None if there is none."""
        self._check_open()
        row = self._view.find(check_object_path(path))
        return None if row is None else FileEntry.from_row(row)

    def scan(self, prefix: str = "") -> Iterator[Row]:
        """Yield the rows whose paths start with ``prefix``, by path; no changes meanwhile."""
        self._check_open()
        return self._view.scan(prefix=prefix)

    # Ending.

    def publish(self) -> CommitResult | None:
        """Commit everything at once, on whatever head the branch has now; the transaction is over.

        Returns:
            The commit, or None when nothing would change and none was made.

        Raises:
            ConflictError: the branch is not at the expected commit.
            LeaseLostError: this process was held for dead meanwhile; nothing was committed.
            InvalidInputError: an object is still open, or another has put a file where a folder is.
            NotFoundError: the branch was deleted.
        """
        self._check_open()
        try:
            if self._writers:
                names = ", ".join(sorted(self._writers)[:3])
                raise InvalidInputError(f"still open for writing: {names}; close it first")
            return self._publish()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give everything up, if it was not published; the transaction is over."""
        if not self._over:
            self._over = True
            for writer in list(self._writers.values()):
                writer.discard()
            self._stack.close()

    def _publish(self) -> CommitResult | None:
        repo, session = self._repo, self._session
        self._chunks.check_whole()
        session.start_flush()
        wanted = self._view.changes()
        changes: list[Change] = []

        def propose(head: CommitId | None) -> Proposal | None:
            assert head is not None
            edits, changes[:] = compare(repo.files(head), wanted)
            if not edits:
                return None
            root = repo.read_commit(head).tree
            return Proposal(edit(repo, root, edits, session, check=check_rows), (head,))

        made = publish(
            repo,
            session,
            self._asset,
            self._branch,
            propose,
            self._signature,
            expect=self._expect,
        )
        return CommitResult(made.id, changes) if made else None

    def _rows(self, path: str, target: str, source: CommitId | None) -> list[Row]:
        """Return what is at ``path``."""
        if path.endswith("/") != (target.endswith("/") or not target):
            raise InvalidInputError(
                f"{path!r} to {target!r}: a folder goes to a folder, both written with '/' at the end"
            )
        check_object_path(path.removesuffix("/"))
        seen = self._view if source is None else self._repo.files(source)
        row = None if path.endswith("/") else seen.find(path)
        rows = list(seen.scan(prefix=path)) if path.endswith("/") else [row] if row else []
        if not rows:
            raise ObjectNotFoundError(f"there is nothing at {path!r}", path=path)
        return rows

    def _put(self, path: str, content: Content, *, executable: bool) -> None:
        self._view.put(row_of(path, content, executable=executable))

    def _check(self, path: str) -> None:
        self._check_open()
        self._view.check_place(path)

    def _check_open(self) -> None:
        if self._over:
            raise ConflictError("this transaction is over")


def _moved(rows: list[Row], path: str, target: str) -> list[Row]:
    """Return the rows with their new paths, and the content types these have."""
    moved = []
    for row in rows:
        new = [*row]
        new[PATH] = target + row[PATH][len(path) :]
        new[CONTENT_TYPE] = content_type.guess_code(new[PATH])
        moved.append(new)
    return moved
