"""Asking engines how jobs fare, for those who look at many runs, often: not more than is useful.

What an engine said holds for a moment; one that does not answer is left alone for a while, so that
a listing of a hundred runs waits for it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ahstore.errors import EngineError, EngineUnreachableError
from ahstore.jobs.engines.choice import engine_of
from ahstore.jobs.engines.contract import LOG, Engine, Job, JobStatus

Answer = TypeVar("Answer")

FRESH_SECONDS = 1.0
SILENCE_SECONDS = 20.0


class EngineDesk:
    """Asks engines for people who look at runs. ``None`` is always: it can't be told from here."""

    def __init__(
        self,
        find_engine: Callable[[Job], Engine] = engine_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_engine = find_engine
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, JobStatus | None]] = {}
        self._silent: dict[tuple[str, ...], float] = {}

    def status(self, job: Job) -> JobStatus | None:
        """Return how a job fares, as its engine said now or a moment ago."""
        key = (job.engine, job.name)
        said = self._said.get(key)
        if said is not None and self._clock() - said[0] < FRESH_SECONDS:
            return said[1]
        status = self._ask(job, lambda engine: engine.status(job))
        self._said[key] = (self._clock(), status)
        return status

    def find(self, job: Job) -> tuple[bool, Job | None]:
        """Return whether the engine answers, and the job of this name that it has, if any."""
        answer = self._ask(job, lambda engine: (True, engine.find(job)))
        return answer or (False, None)

    def log(self, job: Job) -> str:
        """Return the end of the job's log, "" if it can't be had from here."""
        return self._ask(job, lambda engine: engine.log(job)) or ""

    def cancel(self, job: Job) -> bool:
        """Have a job end; tell whether its engine was told."""

        def cancel(engine: Engine) -> bool:
            engine.cancel(job)
            return True

        return self._ask(job, cancel) or False

    def _ask(self, job: Job, question: Callable[[Engine], Answer]) -> Answer | None:
        # Its log's path is each job's own; the rest of the place is the engine's.
        place = (job.engine, *(job.place[key] for key in sorted(job.place) if key != LOG))
        silent_since = self._silent.get(place)
        if silent_since is not None and self._clock() - silent_since < SILENCE_SECONDS:
            return None
        try:
            return question(self._find_engine(job))
        except EngineUnreachableError:
            self._silent[place] = self._clock()
        except EngineError:
            pass
        return None
