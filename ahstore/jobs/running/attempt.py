"""One go at a run's code: code and inputs fetched, the command run and judged.

What was made is not its business (``publication.py``), nor how the run's record ends
(``supervision.py``).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ahstore.codec.canonical import Value
from ahstore.errors import NotFoundError, RunFailedError
from ahstore.hub.hub import Hub
from ahstore.hub.sizes import format_size
from ahstore.ids import CommitId
from ahstore.jobs.code.command import choose_command, executable_argv, program_name
from ahstore.jobs.code.git import Git
from ahstore.jobs.code.git_source import GitSource
from ahstore.jobs.code.laying_out import lay_out, read_patch
from ahstore.jobs.environment import caller_environment, run_environment
from ahstore.jobs.logs import LogWriter
from ahstore.jobs.metrics import MetricsTail
from ahstore.jobs.progress import format_step
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running.allotment import Allotment
from ahstore.jobs.running.checkpoints import Checkpointer
from ahstore.jobs.running.preparing import RunPython, prepare_python
from ahstore.jobs.running.reuse import find_same
from ahstore.jobs.running.spool import Spool
from ahstore.jobs.running.surroundings import Inspection, describe
from ahstore.jobs.running.usage import file_bytes, folder_usage
from ahstore.jobs.running.user_process import Ending, Limits, UserProcess
from ahstore.jobs.running.watch import Watch
from ahstore.jobs.running.workspace import Workspace, remove_folder
from ahstore.jobs.spec import params_to_json
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download

USAGE_POLL_SECONDS = 0.5
METRICS_POLL_SECONDS = 0.5

OnPhase = Callable[[str], None]


class CodeFailedError(RunFailedError):
    """The code failed, or took too long: another go at it may do better."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an attempt needs of the supervisor that makes it."""

    hub: Hub
    records: RunRecords
    workspace: Workspace
    source: GitSource
    log: LogWriter
    metrics: MetricsTail
    watch: Watch
    on_phase: OnPhase
    hidden: Mapping[str, str]

    @property
    def repo(self) -> Repository:
        """The store."""
        return self.hub.repo


class Attempt:
    """One go at a run. ``record`` is the run's as this has last written it.

    ``command`` is what was run, ``started`` when, by the storage's clock; ``same`` the earlier run
    whose result will do, if it was asked for and there is one: then nothing was run.
    """

    def __init__(self, around: Surroundings, record: RunRecord, allotment: Allotment) -> None:
        self.record = record
        self._allotment = allotment
        self.command: tuple[str, ...] = ()
        self.started = 0.0
        self.same: RunRecord | None = None
        self._around = around
        self._spec = record.spec
        self._workspace = around.workspace
        self._log = around.log
        self._environment: dict[str, Value] = {}
        self._python = RunPython()
        self._bytes_in = 0
        self._checkpointer: Checkpointer | None = None
        self._resumed = record.checkpoint

    def run(self) -> None:
        """Fetch, run, and judge how it ended.

        Raises:
            CodeFailedError: the code failed or took too long.
            RunFailedError: it did not do what counts as success.
            StopRequestedError, RunOverError: the run is not to go on.
            AhError: code or inputs can't be had.
        """
        with contextlib.ExitStack() as held:
            folder, inspection = self._fetch_code(held)
            if self._spec.reuse and self.record.attempt == 1 and self._finds_same(inspection):
                return
            self._fetch_inputs()
            if not self._environment:
                self._environment = self._describe(inspection)
            self._around.on_phase("inputs")
            self.started = self._around.repo.storage.now()
            ending = self._execute(folder)
            self._note_outcome(ending)
            self._judge(ending)

    def _fetch_code(self, held: contextlib.ExitStack) -> tuple[str, Inspection]:
        """Bring the code, and return the folder to run in, with the interpreter being asked.

        What must stay for the code until it has ended is kept by ``held``.
        """
        code, workspace = self._spec.code, self._workspace
        self._log.note(f"code: {code.repo} {code.revision} ({code.commit[:8]}) {code.subpath}")
        git = Git(caller_environment(), poll=self._poll)
        if code.changes is not None:
            self._log.note(f"with the uncommitted changes of {code.changes.files} files")
        patch = read_patch(self._around.repo, code)
        lay_out(git, self._around.source, code, workspace.code, patch=patch)
        folder = workspace.code_folder(code.subpath)
        self.command = choose_command(
            self._spec.type, os.listdir(folder), lambda name: _read(folder, name)
        )
        self._poll()
        self._around.on_phase("code")
        self._python = prepare_python(
            self._spec,
            workspace,
            caller_environment(),
            run=self.record.id,
            held=held,
            log=self._log,
            watch=self._around.watch,
            poll=self._poll,
        )
        self._around.on_phase("environment")
        inspection = Inspection(self._python.path, self._run_environment(), workspace.tmp)
        return folder, inspection

    def _describe(self, inspection: Inspection) -> dict[str, Value]:
        found = describe(
            inspection.result(),
            self._run_environment(),
            self._spec.params,
            engine=self.record.engine,
        )
        if self._python.about is not None:
            found["venv"] = dict(self._python.about)
        return found

    def _finds_same(self, inspection: Inspection) -> bool:
        """Look for an earlier run that did the same."""
        environment, command = self._describe(inspection), self.command
        self._environment = environment
        self.same = find_same(
            self._around.hub, self._around.records, self._spec, command, environment
        )
        if self.same is None:
            self._log.note("no earlier run did the same: runs")
            return False
        self._log.note(f"run {self.same.name} did the same: its result is taken")
        self.record = self._around.records.change(
            self.record, lambda now: replace(now, command=command, environment=environment)
        )
        self._around.on_phase("same")
        return True

    def _fetch_inputs(self) -> None:
        self._log.note(f"dataset: {self._spec.dataset} ({self._spec.dataset.commit.hex()[:8]})")
        self._download(self._spec.dataset.commit, self._workspace.dataset)
        self._fetch_checkpoint()

    def _fetch_checkpoint(self) -> None:
        """Bring what the code goes on from: the last that it handed in, else what it was given."""
        given, last = self._spec.checkpoint, self._resumed
        if last is not None:
            try:
                self._log.note(f"goes on from checkpoint {last}")
                self._download(last.commit, self._workspace.checkpoint)
            except NotFoundError:
                self._log.note("that checkpoint is not there any more: begins anew")
                self._resumed = None
                remove_folder(self._workspace.checkpoint)
            else:
                return
        if given is not None:
            self._log.note(f"checkpoint: {given} ({given.commit.hex()[:8]})")
            self._download(given.commit, self._workspace.checkpoint)

    def _download(self, commit: CommitId, target: str) -> None:
        if os.path.isdir(target):  # by an attempt before this one
            self._bytes_in += self._around.repo.files(commit).weight()
            return
        os.makedirs(target, mode=0o700)
        monitor = _PollingMonitor(self._poll)
        done = download(self._around.repo, commit, target=target, read_only=True, monitor=monitor)
        self._bytes_in += done.size_bytes

    def _execute(self, folder: str) -> Ending:
        command, environment = self.command, self._environment
        self.record = self._around.records.change(
            self.record, lambda now: replace(now, command=command, environment=environment)
        )
        self._log.note(f"command: {' '.join(command)}")
        self._checkpointer = self._make_checkpointer()
        self._around.on_phase("executing")
        is_wanted = False
        try:
            ending = UserProcess(
                executable_argv(command, python=self._python.path),
                folder=folder,
                environment=self._run_environment(),
                limits=self._limits(),
                on_output=self._log.write,
                should_stop=self._around.watch.should_stop,
                on_tick=self._tick,
            ).run()
            is_wanted = ending.by != "stop"
        finally:
            # Nothing may be committed beside what follows, however this ends.
            if self._checkpointer is not None:
                self._around.metrics.tick()
                self._checkpointer.close(cancel=not is_wanted)
        return ending

    def _make_checkpointer(self) -> Checkpointer | None:
        branch = self._spec.checkpoint_branch(self.record.name)
        if branch is None:
            return None
        return Checkpointer(
            self._around.hub,
            self._around.records,
            self.record,
            branch=branch,
            attempt=self.record.attempt,
            spool=Spool(self._workspace.spool),
            metrics=lambda: self._around.metrics.last,
            on_note=self._log.note,
            on_phase=self._around.on_phase,
        )

    def _limits(self) -> Limits:
        return Limits(
            self._spec.volume,
            self._workspace.limited,
            self._allotment.seconds_left(self.record),
            memory=self._spec.resources.memory,
            cpus=self._allotment.cpus,
        )

    def _tick(self) -> None:
        self._log.tick()
        checkpointer = self._checkpointer
        has_work = checkpointer is not None and checkpointer.has_work()
        # What the code logged before it handed a checkpoint in is to be known with that.
        if self._around.watch.is_due("metrics", METRICS_POLL_SECONDS) or has_work:
            self._around.metrics.tick()
        if checkpointer is not None:
            checkpointer.tick()

    def _note_outcome(self, ending: Ending) -> None:
        workspace = self._workspace
        outcome: dict[str, Value] = {
            "exit_status": ending.status,
            "ended_by": ending.by,
            "peak_memory_bytes": ending.peak_memory,
            "bytes_in": self._bytes_in,
            "bytes_out": file_bytes(workspace.output if self._spec.trains else workspace.results),
            "bytes_left": ending.usage,
            "code_started": self.started,
            "code_ended": self._around.repo.storage.now(),
        }
        self.record = self._around.records.change(
            self.record, lambda now: None if now.is_over else replace(now, outcome=outcome)
        )

    def _run_environment(self) -> dict[str, str]:
        return run_environment(
            caller_environment(),
            home=self._workspace.home,
            tmp=self._workspace.tmp,
            programs=self._workspace.programs,
            packages=[self._workspace.packages, *self._python.import_paths],
            variables=self._variables(),
            python=self._python.path,
            venv=self._python.venv,
            given=self._given_variables(),
        )

    def _given_variables(self) -> dict[str, str]:
        """Return the variables that the user named, whether their values are recorded or not."""
        hidden = self._around.hidden
        found = {
            name: hidden.get(name) if value is None else value
            for name, value in self._spec.runtime.env.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def _variables(self) -> dict[str, str]:
        workspace = self._workspace
        variables = {
            "AH_ATTEMPT": str(self.record.attempt),
            **self._allotment.variables,
            "AH_DATASET_DIR": workspace.dataset,
            "AH_METRICS_FILE": workspace.metrics_file,
            "AH_PARAMS": params_to_json(self._spec.params),
            "AH_RUN_ID": self.record.id,
            "AH_RUN_NAME": self.record.name,
        }
        if self._spec.checkpoint_branch(self.record.name) is not None:
            variables["AH_CHECKPOINT_SPOOL"] = workspace.spool
        if self._resumed is not None or self._spec.checkpoint is not None:
            variables["AH_CHECKPOINT_DIR"] = workspace.checkpoint
        step = self._resumed_step()
        if step is not None:
            variables["AH_RESUMED_STEP"] = format_step(step)
        if self._spec.trains:
            variables["AH_OUTPUT_DIR"] = workspace.output
        else:
            variables["AH_RESULTS_DIR"] = workspace.results
        return variables

    def _resumed_step(self) -> float | None:
        """Return the step of what the code goes on from, None if it has none."""
        if self._resumed is not None:
            return self._resumed.step
        return None if self._spec.resumes is None else self._spec.resumes.step

    def _judge(self, ending: Ending) -> None:
        program = program_name(self.command)
        if ending.by == "stop":
            self._around.watch.raise_why()
        if not ending.clean:
            raise RunFailedError(f"{program} left processes behind that can't be ended")
        if ending.by == "volume":
            raise RunFailedError(
                f"{program} outgrew its volume of {format_size(self._spec.volume)}:"
                " give the run a larger one"
            )
        if ending.by == "timeout":
            raise self._out_of_time(program)
        if ending.by == "memory":
            assert self._spec.resources.memory is not None
            raise RunFailedError(
                f"{program} outgrew its memory of {format_size(self._spec.resources.memory)}:"
                " give the run more"
            )
        if ending.status != 0:
            # An engine that ends a job signals all its processes: the code's end came of that.
            self._around.watch.look_again()
            said = self._log.last_lines()
            raise CodeFailedError(
                f"{program} {_describe_status(ending.status)}" + (f"\n{said}" if said else "")
            )

    def _out_of_time(self, program: str) -> RunFailedError:
        """Return what a time-out means: the next attempt has its own, but not a time of its own."""
        if self._allotment.is_used_up(self.record):
            return RunFailedError(f"the run did not end within {self._spec.resources.time:g} s")
        return CodeFailedError(f"{program} did not end within {self._spec.timeout:g} s")

    def _poll(self) -> None:
        """Raise when the run is to end while its code and inputs are fetched."""
        self._log.tick()
        if self._around.watch.should_stop():
            self._around.watch.raise_why()
        if self._around.watch.is_due("usage", USAGE_POLL_SECONDS):
            usage = folder_usage(self._workspace.limited, stop_above=self._spec.volume)
            if usage > self._spec.volume:
                raise RunFailedError(
                    f"the code in {self._spec.code.repo} outgrew the run's volume of"
                    f" {format_size(self._spec.volume)}: give the run a larger one"
                )


class _PollingMonitor(Monitor):
    """Hears of every file that is downloaded, and asks whether to go on."""

    def __init__(self, poll: Callable[[], None]) -> None:
        self._poll = poll

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:  # noqa: ARG002
        self._poll()


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (too much memory, perhaps)" if -status == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"


def _read(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()
