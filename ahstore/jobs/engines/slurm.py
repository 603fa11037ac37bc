"""Jobs of Slurm, by its commands: ``sbatch``, ``scontrol``, ``squeue``, ``scancel``, ``sacct``.

The batch script comes by standard input and is one ``exec``, so that the worker is the process that
Slurm signals and whose exit code it keeps. Of the caller's environment the job gets the variables
that are named (``export``): Slurm carries their values in its own protected state, they stand in no
script and no record. A job found is ours only if it has our name: numbers are each cluster's own.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from ahstore.errors import EngineError, EngineUnreachableError, InvalidInputError
from ahstore.jobs.engines.contract import LOG, Engine, Job, JobRequest, JobState, JobStatus
from ahstore.jobs.engines.local import read_log
from ahstore.jobs.resources import Resources

COMMAND_SECONDS = 30.0

_RESERVED = frozenset(
    [
        *("job-name", "output", "error", "input", "export", "export-file", "chdir", "parsable"),
        *("wrap", "array", "test-only", "wait", "hold", "open-mode", "ntasks", "nodes", "quiet"),
        *("cpus-per-task", "mem", "time", "get-user-env", "help", "usage", "version", "verbose"),
    ]
)
_OPTION = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_WAITING = frozenset(
    [
        *("CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"),
        *("RESV_DEL_HOLD", "SPECIAL_EXIT"),
    ]
)
_AT_WORK = frozenset(["COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT"])
_SUSPENDED = frozenset(["SUSPENDED", "STOPPED"])
_FIELD = re.compile(r"(?:^| )([A-Za-z/]+)=(\S*)")
_UNKNOWN_JOB = ("Invalid job id", "Invalid job array")
_CLUSTER, _CONTROLLER = "cluster", "controller"


class SlurmEngine(Engine):
    """Jobs of the cluster whose commands are on the path.

    Args:
        environment: of the caller; the commands get the whole of it.
        exported: names of its variables that jobs get.
        options: long options of ``sbatch``, without the dashes; "" for one without a value.
    """

    name: ClassVar[str] = "slurm"

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        exported: Iterable[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = {**environment, "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}
        self._exported = sorted(name for name in set(exported) if name in environment)
        self._options = dict(options or {})
        for key in self._options:
            if not _OPTION.fullmatch(key) or key in _RESERVED:
                raise InvalidInputError(
                    f"{key!r} is no option of sbatch that may be given here", value=key
                )

    def check(self, request: JobRequest) -> None:
        """Ask ``sbatch --test-only`` whether such a job could ever run."""
        if request.secret_input is not None:
            raise EngineError("a job of Slurm can't be given secrets: its node has to have them")
        self._run([*self._sbatch(request), "--test-only"], script=_script(request))

    def submit(self, request: JobRequest, announce: Callable[[Job], None]) -> Job:
        """Announce the job by its name and submit it; its id comes with the answer."""
        self.check(request)
        place = {**self._cluster(), LOG: request.log}
        try:
            os.makedirs(os.path.dirname(request.log), mode=0o700, exist_ok=True)
        except OSError as error:
            raise EngineError(f"can't make the folder for the job's log: {error}") from error
        announced = Job(self.name, request.name, "", place, self._options)
        announce(announced)
        try:
            printed = self._run([*self._sbatch(request), "--parsable"], script=_script(request))
        except EngineUnreachableError:
            # Perhaps only the answer was lost.
            found = self.find(announced)
            if found is None:
                raise
            return found
        job_id = printed.strip().partition(";")[0]
        if not job_id.isdigit():
            raise EngineUnreachableError(f"sbatch answered {printed[:200]!r}")
        return Job(self.name, request.name, job_id, place, self._options)

    def find(self, job: Job) -> Job | None:
        """Ask the queue for the job's name."""
        self._check_cluster(job)
        asked = ["squeue", "--noheader", "--states=all", f"--name={job.name}", "--format=%i"]
        found = self._run(asked).split()
        return Job(self.name, job.name, found[0], job.place, job.options) if found else None

    def status(self, job: Job) -> JobStatus:
        """Ask the controller; of what it has forgotten the accounting, where there is one."""
        done = self._call(["scontrol", "show", "job", "--oneliner", job.id])
        if done.returncode == 0:
            fields = dict(_FIELD.findall(done.stdout))
            if fields.get("JobName") == job.name:
                return _status(fields["JobState"], fields.get("ExitCode", ""), fields.get("Reason"))
            raise EngineUnreachableError(f"job {job.id} of this cluster is another's")
        if not any(words in done.stderr for words in _UNKNOWN_JOB):
            raise EngineUnreachableError(f"Slurm does not answer: {_words(done.stderr)}")
        self._check_cluster(job)
        return self._remembered(job) or JobStatus("lost", detail="Slurm knows it no more")

    def log(self, job: Job) -> str:
        """Read the file that Slurm writes it to, if this machine sees it."""
        return read_log(job)

    def cancel(self, job: Job) -> None:
        """``scancel``: TERM, and KILL after the cluster's ``KillWait``."""
        if not self.status(job).is_over:
            self._run(["scancel", job.id])

    def _sbatch(self, request: JobRequest) -> list[str]:
        given = [
            f"--{key}={value}" if value else f"--{key}" for key, value in self._options.items()
        ]
        requeue = [] if "requeue" in self._options else ["--no-requeue"]
        return [
            "sbatch",
            f"--job-name={request.name}",
            f"--output={_as_pattern(request.log)}",
            f"--export={','.join(self._exported) or 'NIL'}",
            "--chdir=/",
            "--nodes=1",
            "--ntasks=1",
            *requeue,
            *_directives(request.resources),
            *given,
        ]

    def _cluster(self) -> dict[str, str]:
        settings = dict(
            re.findall(r"^(\S+)\s*= (.*)$", self._run(["scontrol", "show", "config"]), re.MULTILINE)
        )
        return {
            _CLUSTER: settings.get("ClusterName", ""),
            _CONTROLLER: settings.get("SlurmctldHost[0]", "").partition("(")[0],
        }

    def _check_cluster(self, job: Job) -> None:
        here = self._cluster()
        if any(job.place.get(key) != here[key] for key in here):
            raise EngineUnreachableError(
                f"the job is one of the cluster {job.place.get(_CLUSTER)!r}, this is another"
            )

    def _remembered(self, job: Job) -> JobStatus | None:
        if shutil.which("sacct", path=self._environment.get("PATH")) is None:
            return None
        asked = ["sacct", "-n", "-P", "-X", "-D", "-j", job.id, "-o", "JobName,State,ExitCode"]
        done = self._call(asked)
        for line in reversed(done.stdout.splitlines() if done.returncode == 0 else []):
            name, state, code = [*line.split("|"), "", ""][:3]
            if name == job.name and state:
                return _status(state.split()[0], code, None)
        return None

    def _run(self, argv: Sequence[str], *, script: str | None = None) -> str:
        done = self._call(argv, script=script)
        if done.returncode:
            words = _words(done.stderr)
            kind = EngineUnreachableError if _is_silence(done.stderr) else EngineError
            raise kind(f"{argv[0]} says: {words}")
        return done.stdout

    def _call(
        self, argv: Sequence[str], *, script: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                argv, input=script or "", capture_output=True, text=True, errors="replace",
                env=self._environment, timeout=COMMAND_SECONDS, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise EngineUnreachableError(
                f"there is no {argv[0]} on this machine: it is none of a Slurm cluster's"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineUnreachableError(f"{argv[0]} does not answer: {error}") from error


def _script(request: JobRequest) -> str:
    variables = [f"{name}={value}" for name, value in request.variables.items()]
    return f"#!/bin/sh\nexec {shlex.join(['env', *variables, *request.argv])}\n"


def _directives(asked: Resources) -> list[str]:
    directives = []
    if asked.cpus is not None:
        directives.append(f"--cpus-per-task={asked.cpus}")
    if asked.gpus:
        directives.append(f"--gres=gpu:{asked.gpus}")
    if asked.memory is not None:
        directives.append(f"--mem={math.ceil(asked.memory / (1 << 20))}M")
    if asked.time is not None:
        directives.append(f"--time={math.ceil(asked.time / 60)}")
    return directives


def _status(state: str, exit_code: str, reason: str | None) -> JobStatus:
    known: JobState = "ended"
    if state in _WAITING:
        known = "pending"
    elif state in _AT_WORK:
        known = "running"
    elif state in _SUSPENDED:
        known = "suspended"
    detail = state if reason in (None, "", "None") else f"{state} ({reason})"
    return JobStatus(known, _exit_code(exit_code) if known == "ended" else None, detail)


def _exit_code(text: str) -> int | None:
    code, _, number = text.partition(":")
    if not (code.isdigit() and number.isdigit()):
        return None
    return -int(number) if int(number) else int(code)


def _as_pattern(path: str) -> str:
    """Return a path of which ``sbatch`` fills in nothing."""
    return path.replace("%", "%%")


def _words(text: str) -> str:
    return " ".join(text.split())[:500] or "nothing"


def _is_silence(text: str) -> bool:
    """Tell whether a command failed because nobody answered it, not because of what it asked."""
    lowered = text.lower()
    return any(
        words in lowered
        for words in ("unable to contact", "connection", "timed out", "munge", "s_p_parse_file")
    )
