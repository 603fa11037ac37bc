"""Whether a run is to go on: what its record says now, asked often and read seldom."""

from __future__ import annotations

import time
from typing import NoReturn

from ahstore.errors import AhError, NotFoundError, RunFailedError
from ahstore.jobs.records import RunRecord, RunRecords

LOCAL_SECONDS = 0.4
REMOTE_SECONDS = 3.0


class StopRequestedError(AhError):
    """Someone asked for the end of the run."""

    code = "run-stopped"


class RunOverError(AhError):
    """The run was declared over, or deleted, by someone else: nothing may be published for it."""

    code = "run-over"


class Watch:
    """Reads the run's record from time to time; ``wake`` makes it look at once."""

    def __init__(self, records: RunRecords, record: RunRecord, *, local: bool) -> None:
        self._records = records
        self._record = record
        self._interval = LOCAL_SECONDS if local else REMOTE_SECONDS
        self._last: dict[str, float] = {}
        self._woken = False
        self._why: AhError | None = None

    def wake(self) -> None:
        """Look again at once (a signal came)."""
        self._woken = True

    def is_due(self, what: str, seconds: float) -> bool:
        """Tell whether ``seconds`` have passed since this was last true for ``what``."""
        now = time.monotonic()
        if now - self._last.get(what, float("-inf")) < seconds:
            return False
        self._last[what] = now
        return True

    def read(self) -> RunRecord:
        """Return the run's record as it is now."""
        return self._records.get(self._record.spec.model, self._record.id)

    def should_stop(self) -> bool:
        """Tell whether the run is to end; ``raise_why`` says why."""
        if self._why is None and (self._woken or self.is_due("record", self._interval)):
            woken, self._woken = self._woken, False
            self._look(woken)
        return self._why is not None

    def look_again(self) -> None:
        """Look at once, and raise what ends the run if anything does."""
        if self._why is None:
            woken, self._woken = self._woken, False
            self._look(woken)
        if self._why is not None:
            raise self._why

    def raise_why(self) -> NoReturn:
        """Raise what ended the run."""
        assert self._why is not None
        raise self._why

    def _look(self, woken: bool) -> None:
        try:
            check_goes_on(self.read(), self._record)
        except (StopRequestedError, RunOverError) as why:
            self._why = why
        except NotFoundError as error:
            self._why = RunOverError(str(error))
        except (AhError, OSError):
            # The storage fails at the moment: the run goes on, the next look is soon.
            self._woken = woken
        else:
            if woken:
                self._why = RunFailedError("the run's supervisor was told to end (SIGTERM)")


def check_goes_on(now: RunRecord, mine: RunRecord) -> None:
    """Make sure that a run may go on, given its record as it is now and as it was taken up.

    Raises:
        StopRequestedError: someone asked for its end.
        RunOverError: it was declared over, or is another supervisor's.
    """
    if now.is_over or now.supervisor != mine.supervisor:
        raise RunOverError(f"run {now.name} was declared {now.status} by someone else")
    if now.stop_by is not None:
        raise StopRequestedError(f"asked for by {now.stop_by}")
