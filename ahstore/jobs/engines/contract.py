"""The contract of an engine: what starts a run's worker somewhere, and knows how it fares there.

An engine knows jobs (a command with resources) and nothing of runs, stores or records. It keeps no
state of its own: a ``Job`` is all that is needed to ask again, years later, from another process.
Whoever runs jobs through it may die at any moment, so:

* ``submit`` announces the job before it can begin. If the announcement fails, nothing begins.
* What was announced is found again by its name, whether or not ``submit`` came back.

``ahstore/testing/engine_suite.py`` has this contract as tests, which every engine passes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError
from ahstore.jobs.resources import NOTHING_ASKED, Resources
from ahstore.storage.process import ProcessIdentity

JobState = Literal["pending", "running", "suspended", "ended", "lost"]

LOG = "log"
"""Key of a job's place: the path of its log, where that is a file."""

_PLAIN = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,199})?", re.ASCII)

MAX_LOG_BYTES = 1 << 20
"""Most of a job's log that an engine returns: the end of it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job of an engine, for all time; holds no secret.

    Attributes:
        engine: the engine's name.
        name: given by who submitted it, unique.
        id: the engine's own, "" while it is not known.
        place: what the engine needs to find it: an address, a cluster's name, a log's path.
        options: the engine's settings it was submitted with.
        process: of a job on this machine, the process itself.
    """

    engine: str
    name: str
    id: str = ""
    place: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    process: ProcessIdentity | None = None

    def to_value(self) -> dict[str, Value]:
        """Return the form that a run's record stores; ``process`` stands there by itself."""
        return {
            "engine": self.engine,
            "name": self.name,
            "id": self.id,
            "place": dict(self.place),
            "options": dict(self.options),
        }

    @staticmethod
    def from_value(value: Any) -> Job:
        """Return what ``to_value`` stored.

        Raises:
            CorruptError: it is something else.
        """
        try:
            texts = [value[key] for key in ("engine", "name", "id")]
            place, options = dict(value["place"]), dict(value["options"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"the job of a run is malformed: {error}") from error
        for text in [*texts, *place, *place.values(), *options, *options.values()]:
            if not isinstance(text, str):
                raise CorruptError("the job of a run is malformed: text expected")
        if not all(_PLAIN.fullmatch(text) for text in texts[1:]):
            raise CorruptError("the job of a run has a malformed name")
        return Job(texts[0], texts[1], texts[2], place, options)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A command to be run once.

    Attributes:
        name: unique among all jobs there ever were; letters, digits, ``-`` and ``_``.
        argv: the command, a list of words; no shell sees it.
        variables: of its environment, beside what the engine gives it; nothing secret.
        resources: what it needs.
        log: where an engine that writes its log to a file puts it; the folder is made. Beyond this
            machine it has to be called like the job, with ``.log``.
        secret_input: what it reads from standard input, before it does anything; nothing if it
            was announced in vain. An engine that would have to keep it anywhere on its way refuses.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    variables: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = NOTHING_ASKED
    secret_input: bytes | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job fares.

    Attributes:
        state: ``pending`` (it waits), ``running``, ``suspended``, ``ended`` (of itself or by force,
            or it never began and never will), ``lost`` (the engine does not know it any more).
        exit_code: of one that has ended, if the engine knows; negative for a signal's number.
        detail: the engine's own words.
    """

    state: JobState
    exit_code: int | None = None
    detail: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more, or will."""
        return self.state in ("ended", "lost")


class Engine(ABC):
    """Runs jobs. Every method may raise ``EngineUnreachableError``: ask again, or elsewhere."""

    name: ClassVar[str]
    """``local``, ``slurm`` or ``ray``: as users say it."""

    @abstractmethod
    def check(self, request: JobRequest) -> None:
        """Refuse what can't be run here, as far as that can be told without running it.

        Raises:
            InvalidInputError: resources or settings that can't be had.
            EngineError: the engine says no.
        """

    @abstractmethod
    def submit(self, request: JobRequest, announce: Callable[[Job], None]) -> Job:
        """Start a job, or have it wait for its turn, and return it with its id.

        ``announce`` is called once, before the job can begin, with what is known of it then. If
        it raises, no job begins, and the error is the caller's.

        Raises:
            EngineError: the engine refuses; nothing has begun.
            EngineUnreachableError: it may have begun: look with ``find``.
        """

    @abstractmethod
    def find(self, job: Job) -> Job | None:
        """Return an announced job as the engine has it, by its name; None if it has none."""

    @abstractmethod
    def status(self, job: Job) -> JobStatus:
        """Return how a job fares now."""

    @abstractmethod
    def log(self, job: Job) -> str:
        """Return the end of what the job printed, as far as it can be read from here; else ""."""

    @abstractmethod
    def cancel(self, job: Job) -> None:
        """Have a job end: TERM, and KILL for one that does not heed it in some seconds.

        One that is over is left as it is. It may take seconds until ``status`` says so; an engine
        that can't end one that waits ends it as it begins.
        """
