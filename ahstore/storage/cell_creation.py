"""The creation of one version of a cell, followed until its outcome is known.

No answer, or "taken" in answer to a second sending, is settled by reading the nonce back. What is
not there is sent again: the same number and the same body, so that whichever sending lands last
changes nothing. When even that can't be settled the caller is told so, never "failed".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ahstore.errors import CorruptError, OutcomeUnknownError, StorageError
from ahstore.storage.cell_version import (
    Cell,
    CellConflictError,
    CellVersion,
    decode_version,
    encode_version,
)
from ahstore.storage.contract import AlreadyThereError, MissingError, Storage, UnsettledError
from ahstore.storage.paths import version_name


class Creation:
    """One version of one cell, to be created, with the ``body`` of its file."""

    def __init__(
        self, storage: Storage, cell: Cell, version: CellVersion, *, durable: bool
    ) -> None:
        self._storage = storage
        self._cell = cell
        self._folder = cell.folder
        self._version = version
        self._key = self._folder + version_name(version.number)
        self.body = encode_version(self._folder, version)
        self._durable = durable

    def run(self, resend_seconds: Sequence[float], *, pause: Callable[[float], None]) -> None:
        """Create the version; it is there on return.

        Args:
            resend_seconds: how long to wait before each try to settle a lost reply.
            pause: sleeps.

        Raises:
            CellConflictError: someone else has the number, or the cell's folder is gone.
            OutcomeUnknownError: that could not be found out.
            StorageError: it failed for certain.
        """
        doubt = self._send()
        for seconds in resend_seconds:
            if doubt is None:
                return
            pause(seconds)
            doubt = self._look(doubt)
        if doubt is not None:
            raise self._unknown(doubt) from doubt

    def _send(self) -> UnsettledError | None:
        """Send the body; return the doubt that is left."""
        try:
            self._storage.create(self._key, self.body, durable=self._durable)
        except AlreadyThereError:
            return self._judge_taken()
        except MissingError:
            raise self._conflict(vanished=True) from None
        except UnsettledError as error:
            return error
        return None

    def _judge_taken(self) -> UnsettledError | None:
        """Tell whether the number is taken by an earlier sending (some clients send twice)."""
        try:
            if self._found_mine():
                return None
        except StorageError as error:
            return UnsettledError(str(error), key=self._key)
        raise self._conflict()

    def _look(self, doubt: UnsettledError) -> UnsettledError | None:
        """Look what became of an earlier sending, and send again what is not there."""
        try:
            mine = self._found_mine()
            if mine is None:
                return self._send()
        except StorageError:
            return doubt  # what went wrong now says nothing of the sending before
        if not mine:
            raise self._conflict()
        if self._durable and not doubt.durable_if_there:
            # It is there, but a sync failed, and a second one would not bring its pages back.
            raise self._unknown(doubt) from doubt
        return None

    def _found_mine(self) -> bool | None:
        """Tell whether the number is taken by this very creation; None: it is not taken."""
        try:
            found = load_version(self._storage, self._folder, self._version.number)
        except MissingError:
            return None
        return found.nonce == self._version.nonce

    def _conflict(self, *, vanished: bool = False) -> CellConflictError:
        return CellConflictError(self._cell, self._version.number, vanished=vanished)

    def _unknown(self, doubt: UnsettledError) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"it is not known whether {self._cell} was changed: {doubt}",
            cell=str(self._cell),
            number=self._version.number,
            nonce=self._version.nonce.hex(),
        )


def load_version(storage: Storage, folder: str, number: int) -> CellVersion:
    """Return a version of the cell in ``folder``.

    Raises:
        MissingError: it is not there.
        CorruptError: it is damaged; the message names its key.
    """
    return load_body(storage, folder, number)[1]


def load_body(storage: Storage, folder: str, number: int) -> tuple[bytes, CellVersion]:
    """Return a version as it is stored, and what that says; errors as for ``load_version``."""
    key = folder + version_name(number)
    try:
        body = storage.read(key)
        return body, decode_version(folder, number, body)
    except CorruptError as error:
        raise CorruptError(f"{key}: {error}", key=key) from error
