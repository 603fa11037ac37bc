"""Waiting for one's turn: at most so many queued runs of this machine work at once, oldest first.

No server keeps the queue: each run that waits or works holds a lock on a ticket of its own, a file
whose name sorts by when the run was asked for. It is a run's turn when fewer than its limit of
tickets before it are held. A process that dies lets go of its lock, whatever it died of.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from types import TracebackType

from ahstore.errors import StorageError
from ahstore.ids import RunId

QUEUE_FOLDER = ".queue"
_DRAFT = ".draft-"


class Ticket:
    """A run's place in the queue in ``folder``, held until the end of the block.

    Raises:
        StorageError: the folder can't be written.
    """

    def __init__(self, folder: str, run: RunId, created: float) -> None:
        self._folder = folder
        self._name = f"{created:020.6f}-{run}"
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            draft = os.path.join(folder, _DRAFT + run)
            self._fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Held before it can be seen: a ticket that nobody holds is a dead run's.
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.rename(draft, self._path)
            except BaseException:
                os.close(self._fd)
                raise
        except OSError as error:
            raise StorageError(f"can't queue the run in {folder}: {error.strerror}") from error

    @property
    def _path(self) -> str:
        return os.path.join(self._folder, self._name)

    def is_turn(self, limit: int) -> bool:
        """Tell whether fewer than ``limit`` runs that were asked for earlier wait or work."""
        before = 0
        for name in sorted(os.listdir(self._folder)):
            if name >= self._name:
                return True
            if not name.startswith(".") and self._is_held(name):
                before += 1
                if before >= limit:
                    return False
        return True

    def _is_held(self, name: str) -> bool:
        """Tell whether a ticket's run lives; one that does not loses its ticket."""
        path = os.path.join(self._folder, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
            return False
        finally:
            os.close(fd)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._fd)
