"""A commit written piece by piece, as people hold it: a ``with`` block over a branch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

from ahstore.client import describe
from ahstore.client.left_out import LeftOut
from ahstore.errors import ConflictError, InvalidInputError
from ahstore.ids import CommitId
from ahstore.versions.publish import Signature

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ahstore.client.branch import Branch
    from ahstore.client.ref import Commit
    from ahstore.client.version import Version
    from ahstore.versions.transactions.content import ObjectWriter, Readable
    from ahstore.versions.transactions.transaction import Transaction as Changes


class Transaction:
    """Changes to a branch that are published together when the block ends, or not at all.

    Get one from `Branch.transaction`:

    ```python
    with branch.transaction("Add epoch 5") as t:
        t.put("metrics.json", b"{}")
        with t.open("weights.bin", "wb") as stream:
            stream.write(b"...")
        t.move("old/", "archive/")
    print(t.commit)
    ```

    Nobody sees anything of it before the block has ended, and nothing was done if it ends with an
    exception. Inside, it sees its own changes. Content is stored as it comes, in bounded memory;
    copies and moves take none. One thread may use it, and it is not for a forked child.

    Attributes:
        commit: what was made, None before, and when nothing changed.
    """

    def __init__(
        self,
        branch: Branch,
        message: str,
        *,
        metadata: Mapping[str, Any] | None,
        expect: CommitId | None,
    ) -> None:
        self._branch = branch
        self._signature = Signature(message, branch.asset.core.user, dict(metadata or {}))
        self._expect = expect
        self._inner: Changes | None = None
        self.commit: Commit | None = None

    def __enter__(self) -> Self:
        from ahstore.versions.transactions.transaction import Transaction as Changes  # start-up

        if self._inner is not None:
            raise ConflictError("this transaction has been begun already")
        self._inner = Changes(
            self._branch.asset.core.repo,
            self._branch.asset.record.id,
            self._branch.name,
            self._signature,
            expect=self._expect,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._changes.abandon()
            return
        notify, where = self._branch.asset.core.notify, self._branch
        notify(f"Committing changes to branch {where.name} of {where.asset.title}")
        made = self._changes.publish()
        if made is None:
            notify("Nothing to commit: the branch has all of this already")
            return
        notify(f"Commit {made.commit.hex()[:8]} created")
        self.commit = where.asset.commit_of(made.commit)

    def put(
        self,
        path: str,
        content: bytes | bytearray | memoryview | str | os.PathLike[str] | Readable,
        *,
        executable: bool = False,
    ) -> None:
        """Let ``path`` be an object of this content, whether there was one or not.

        Args:
            path: of the object.
            content: bytes; a file object open for reading bytes, which is read to its end; or the
                path of a local file, or of a folder whose files are put below ``path``.
            executable: whether its owner may execute it; a local file says so itself.

        Raises:
            InvalidInputError: no object can be at ``path``.
            ObjectNotFoundError: there is no such local file.
            StorageError: it could not be stored, and nothing of the transaction can.
        """
        if isinstance(content, bytes | bytearray | memoryview):
            self._changes.put_bytes(path, memoryview(content), executable=executable)
        elif isinstance(content, str | os.PathLike):
            told = LeftOut(self._branch.asset.core.notify)
            self._changes.put_local(path, os.fspath(content), monitor=told)
        elif hasattr(content, "read"):
            self._changes.put_stream(path, content, executable=executable)
        else:
            raise InvalidInputError(
                f"can't put {type(content).__name__}: give bytes, a file object or a local path"
            )

    @overload
    def open(self, path: str, mode: Literal["rb"] = "rb") -> BinaryIO: ...
    @overload
    def open(self, path: str, mode: Literal["wb"]) -> ObjectWriter: ...

    def open(self, path: str, mode: Literal["rb", "wb"] = "rb") -> BinaryIO | ObjectWriter:
        """Open an object for reading, or a new one for writing (``wb``).

        What is written is there when the file object was closed. One that is left by an exception
        leaves nothing.

        Raises:
            ObjectNotFoundError: there is none to read.
            InvalidInputError: no object can be at ``path``, or the mode is none of the two.
        """
        if mode == "rb":
            return self._changes.open(path)
        if mode == "wb":
            return self._changes.create(path)
        raise InvalidInputError(f"can't open an object with mode {mode!r}: use 'rb' or 'wb'")

    def delete(self, path: str) -> int:
        """Delete an object, or with ``sub/`` all below it; return how many there were."""
        return self._changes.delete(path)

    def copy(self, path: str, target: str, *, source: Version | None = None) -> int:
        """Copy an object, or with ``sub/`` a folder; no bytes move.

        Args:
            path: what is copied.
            target: where to; ends in ``/`` if ``path`` does. What is there is replaced.
            source: a version of this or of another asset to copy from; None: what is seen here.

        Returns:
            The number of objects.

        Raises:
            ObjectNotFoundError: there is nothing at ``path``.
            InvalidInputError: an object can't be at its path.
        """
        if source is None:
            return self._changes.copy(path, target)
        return self._changes.copy(path, target, source=source.head, via=source.via)

    def move(self, path: str, target: str) -> int:
        """Move an object, or with ``sub/`` a folder; as `copy`."""
        return self._changes.move(path, target)

    def exists(self, path: str) -> bool:
        """Say whether there is an object at ``path``."""
        return self._changes.find(path) is not None

    def list(self, prefix: str = "") -> list[dict[str, Any]]:
        """Return the objects whose paths start with ``prefix``, by path, as `list_object` does.

        Without ``physical_address``: what is new has no place yet.
        """
        return list(self.iter(prefix))

    def iter(self, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Yield what `list` returns; nothing may be changed meanwhile."""
        return map(describe.object_, self._changes.scan(prefix))

    @property
    def _changes(self) -> Changes:
        if self._inner is None:
            raise ConflictError("use a transaction in a with block")
        return self._inner
