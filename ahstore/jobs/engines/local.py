"""Jobs on this machine: processes that outlive whoever starts them.

A job is known by its process (machine, boot, number, start). It waits for a word over a pipe until
it was announced, so a caller who dies first leaves nothing; one that has input waits for that, and
is started at once, since starting takes a while. What is secret reaches it by that pipe,
or by inheritance of the environment, and stands on no command line and no disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, ClassVar

from ahstore.errors import EngineUnreachableError, InvalidInputError, StorageError
from ahstore.hub.sizes import format_size
from ahstore.jobs.engines import keeper
from ahstore.jobs.engines.contract import LOG, MAX_LOG_BYTES, Engine, Job, JobRequest, JobStatus
from ahstore.jobs.resources import Resources
from ahstore.storage.process import ProcessIdentity

SPAWN_SECONDS = 60.0
GRACE_SECONDS = 12.0
EXIT_SUFFIX = ".exit"
LOG_SUFFIX = ".log"
_PAUSE_SECONDS = 0.02
_EXIT_SECONDS = 1.0


class LocalEngine(Engine):
    """Jobs on this machine, with ``environment`` as theirs. ``gpus`` tells how many there are."""

    name: ClassVar[str] = "local"

    def __init__(self, environment: Mapping[str, str], gpus: Callable[[], int]) -> None:
        self._environment = dict(environment)
        self._gpus = gpus

    def check(self, request: JobRequest) -> None:
        """Refuse more than this machine has."""
        self.check_resources(request.resources)

    def check_resources(self, asked: Resources) -> None:
        """Refuse more than this machine has.

        Raises:
            InvalidInputError: it has less.
        """
        cpus = len(os.sched_getaffinity(0))
        if asked.cpus is not None and asked.cpus > cpus:
            raise _too_much(f"{asked.cpus} CPUs", f"{cpus}")
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if asked.memory is not None and asked.memory > memory:
            raise _too_much(f"{format_size(asked.memory)} of memory", format_size(memory))
        if asked.gpus:
            gpus = self._gpus()
            if asked.gpus > gpus:
                raise _too_much(f"{asked.gpus} GPU(s)", str(gpus) if gpus else "none")

    def submit(self, request: JobRequest, announce: Callable[[Job], None]) -> Job:
        """Start the job, announce it, and let it begin.

        Raises:
            StorageError: it can't be started, or has died before it began.
        """
        process, pipe = self._start(request)
        with contextlib.closing(pipe):
            job = Job(
                self.name, request.name, str(process.pid), {LOG: request.log}, process=process
            )
            if request.secret_input is not None:
                _write(pipe, keeper.GO)
            announce(job)
            let_go(pipe, request)
        return job

    def _start(self, request: JobRequest) -> tuple[ProcessIdentity, IO[bytes]]:
        log = request.log
        argv = [sys.executable, "-I", "-S", os.path.abspath(keeper.__file__), log + EXIT_SUFFIX]
        try:
            os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
            with open(log, "ab") as errors:
                started = subprocess.Popen(
                    [*argv, "--", *request.argv],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd="/",
                    env={**self._environment, **request.variables}, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise StorageError(f"can't start the run's supervisor: {error}") from error
        assert started.stdin is not None
        assert started.stdout is not None
        with started.stdout as answers:
            answer = answers.readline()
        try:
            # What was started has forked off the keeper and ends at once.
            started.wait(SPAWN_SECONDS)
            process = ProcessIdentity.find(int(answer))
            if process is None:
                raise ValueError("it has ended")
        except (subprocess.TimeoutExpired, ValueError) as error:
            started.kill()
            started.wait()
            started.stdin.close()
            raise StorageError(
                f"the run's supervisor did not start: see {log}", path=log
            ) from error
        return process, started.stdin

    def find(self, job: Job) -> Job | None:
        """Return the job itself: what was announced has its process."""
        return job if job.process is not None else None

    def status(self, job: Job) -> JobStatus:
        """Return whether the process lives; of one that has ended its exit code, if that was kept."""
        process = _process(job)
        if process.is_alive():
            return JobStatus("running")
        if process.boot != ProcessIdentity.current().boot:
            return JobStatus("lost", detail="the machine was started anew since")
        return JobStatus("ended", _kept_exit_code(job))

    def log(self, job: Job) -> str:
        """Return the end of what it wrote to its log."""
        return read_log(job)

    def cancel(self, job: Job) -> None:
        """TERM, wait some seconds, KILL."""
        process = _process(job)
        signal_process(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while process.is_alive() and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        signal_process(process, signal.SIGKILL)


def let_go(pipe: IO[bytes], request: JobRequest) -> None:
    """Let a job begin that waits at the other end of the pipe, for a word or for its input.

    Raises:
        StorageError: it has died meanwhile.
    """
    _write(pipe, keeper.GO if request.secret_input is None else request.secret_input)


def _write(pipe: IO[bytes], data: bytes) -> None:
    try:
        pipe.write(data)
        pipe.flush()
    except OSError as error:
        raise StorageError("the run's supervisor died before it began") from error


def signal_process(process: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to a process of this machine, surely not to another that has its number now."""
    if not process.is_here():
        return
    with contextlib.suppress(OSError):
        # The descriptor holds on to the process: its number can't become another's meanwhile.
        descriptor = os.pidfd_open(process.pid)
        try:
            if process.is_alive():
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def read_log(job: Job) -> str:
    """Return the end of a job's log file, "" if it can't be read.

    A record can name any file: one that is not called like the job is none of its log.
    """
    path = job.place.get(LOG, "")
    if not _is_log_of(job, path):
        return ""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def remove_log(job: Job) -> None:
    """Remove a job's log file, if this machine has it."""
    path = job.place.get(LOG, "")
    if _is_log_of(job, path):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _is_log_of(job: Job, path: str) -> bool:
    if job.process is not None:
        return True
    return os.path.isabs(path) and os.path.basename(path) == job.name + LOG_SUFFIX


def _process(job: Job) -> ProcessIdentity:
    if job.process is None or not job.process.is_here():
        raise EngineUnreachableError("the job runs on another machine")
    return job.process


def _kept_exit_code(job: Job) -> int | None:
    """Return what the keeper wrote, which it does a moment after the job has ended."""
    path = job.place.get(LOG, "") + EXIT_SUFFIX
    deadline = time.monotonic() + _EXIT_SECONDS
    while os.path.isdir(os.path.dirname(path)):
        try:
            with open(path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                return None
            time.sleep(_PAUSE_SECONDS)
    return None


def _too_much(asked: str, there: str) -> InvalidInputError:
    return InvalidInputError(f"the run asks for {asked}; this machine has {there}")
