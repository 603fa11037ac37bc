"""What a supervisor does: fetch code and inputs, run the code, commit what it made, say how it went.

One process, one run. It polls the run's record for a request to stop, and before each attempt to
publish it makes sure, by a compare-and-swap to ``Committing``, that nobody has declared its run
over (docs/format/runs.md has the order of the writes).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

from ahstore.codec.canonical import Value
from ahstore.errors import AhError, NotFoundError, OutcomeUnknownError, RunFailedError
from ahstore.hub.hub import Hub
from ahstore.hub.sizes import format_size
from ahstore.ids import AssetId, CommitId, RunId, parse_entity_id
from ahstore.jobs.code.command import choose_command, executable_argv, program_name
from ahstore.jobs.code.git import Git
from ahstore.jobs.code.git_source import GitSource, secrets_of
from ahstore.jobs.environment import caller_environment, run_environment
from ahstore.jobs.heartbeat import Heart
from ahstore.jobs.logs import METRICS, LogWriter
from ahstore.jobs.metrics import MetricsTail
from ahstore.jobs.observer import Observer
from ahstore.jobs.records import RunRecord, RunRecords, RunState
from ahstore.jobs.running.publication import Publication
from ahstore.jobs.running.queueing import QUEUE_FOLDER, Ticket
from ahstore.jobs.running.spawn import Orders
from ahstore.jobs.running.surroundings import Inspection, describe
from ahstore.jobs.running.usage import folder_usage
from ahstore.jobs.running.user_process import Ending, Limits, UserProcess
from ahstore.jobs.running.watch import RunOverError, StopRequestedError, Watch, check_goes_on
from ahstore.jobs.running.workspace import PYTHONS, Workspace
from ahstore.jobs.spec import params_to_json
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.monitor import Monitor
from ahstore.versions.repository import Repository
from ahstore.versions.restoring.checkout import download

USAGE_POLL_SECONDS = 0.5
METRICS_POLL_SECONDS = 0.5
QUEUE_POLL_SECONDS = 0.2
SAVE_TRIES = 5
SAVE_PAUSE_SECONDS = 1.0

OnPhase = Callable[[str], None]


def carry_out(run: str, orders_text: str, *, on_phase: OnPhase = lambda _: None) -> None:
    """Carry out a run to its end, if its record names this process as supervisor.

    ``on_phase`` hears of each step (tests die in them).
    """
    orders = Orders.from_json(orders_text)
    repo = Repository.open(
        orders.store_url, cache_root=orders.cache_root, storage_options=orders.storage_options
    )
    try:
        hub = Hub(repo, orders.user)
        records = RunRecords(repo)
        model = AssetId(parse_entity_id(orders.model))
        record = records.get(model, RunId(parse_entity_id(run)))
        if record.supervisor == ProcessIdentity.current():
            supervision = Supervision(
                hub, records, record, orders.secret_url, on_phase=on_phase, at_once=orders.at_once
            )
            supervision.run()
    finally:
        repo.close()


class Supervision:
    """One run being carried out, by the process that its record names as supervisor."""

    def __init__(
        self,
        hub: Hub,
        records: RunRecords,
        record: RunRecord,
        secret_url: str | None,
        *,
        on_phase: OnPhase,
        at_once: int | None = None,
    ) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._records = records
        self._record = record
        self._spec = record.spec
        self._workspace = Workspace(record.workspace)
        repo = record.spec.code.repo
        self._source = GitSource(repo, is_local=repo.startswith("/"), secret_url=secret_url)
        secrets = secrets_of(self._source)
        self._log = LogWriter(self._repo.storage, record.id, secrets=secrets)
        self._watch = Watch(records, record, local=self._is_local_store())
        self._on_phase = on_phase
        self._at_once = at_once
        self._command: tuple[str, ...] = ()
        self._metrics = MetricsTail(
            self._workspace.metrics_file,
            LogWriter(self._repo.storage, record.id, stream=METRICS, secrets=secrets),
        )
        self._environment: dict[str, Value] = {}
        self._bytes_in = 0

    def run(self) -> None:
        """Carry the run out; however it goes, its record says so in the end."""
        signal.signal(signal.SIGTERM, lambda *_: self._watch.wake())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Heart(self._repo.storage, self._record.id):
            state, reason = self._carry_out()
            with contextlib.suppress(AhError, OSError):
                self._metrics.close()
            with contextlib.suppress(AhError, OSError):
                self._log.close()
            self._on_phase("closing")
            if state is not None:
                self._save_end(state, reason)
            if state == "Succeeded":
                self._workspace.remove()
            else:
                self._workspace.remove_inputs()

    def _carry_out(self) -> tuple[RunState | None, str | None]:
        """Return the state to record and the reason; None: what the record says is to stay."""
        try:
            self._work()
        except RunOverError:
            return None, None
        except StopRequestedError as stop:
            self._log.note(f"stopped: {stop}")
            return "Stopped", None
        except OutcomeUnknownError as error:
            # What can't be told now is settled by those who look at the run later.
            self._log.note(str(error))
            return ("Succeeded", None) if self._was_published() else (None, None)
        except (AhError, OSError) as error:
            return self._failed(str(error))
        except Exception as error:
            traceback.print_exc()
            return self._failed(f"ahstore failed: {type(error).__name__}: {error}")
        return "Succeeded", None

    def _was_published(self) -> bool:
        """Tell whether what the run was committing is there, whatever error came after."""
        try:
            now = self._watch.read()
            if now.state == "Committing" and Observer(self._hub, self._records).is_published(now):
                self._record = now
                return True
        except (AhError, OSError):
            traceback.print_exc()
        return False

    def _failed(self, reason: str) -> tuple[RunState, str | None]:
        if self._was_published():
            return "Succeeded", None
        with contextlib.suppress(AhError, OSError):
            self._log.note(f"failed: {reason.splitlines()[0] if reason else 'no reason given'}")
        return "Failed", reason

    def _work(self) -> None:
        with self._turn():
            self._work_in_turn()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait, if the run was queued, until it is its turn."""
        if self._at_once is None:
            yield
            return
        folder = os.path.join(os.path.dirname(self._workspace.root), QUEUE_FOLDER)
        with Ticket(folder, self._record.id, self._record.created) as ticket:
            if not ticket.is_turn(self._at_once):
                self._log.note(f"waits: {self._at_once} runs may go on at once")
                self._on_phase("queued")
            while not ticket.is_turn(self._at_once):
                self._log.tick()
                if self._watch.should_stop():
                    self._watch.raise_why()
                time.sleep(QUEUE_POLL_SECONDS)
            yield

    def _work_in_turn(self) -> None:
        self._claim()
        folder = self._fetch()
        started = self._repo.storage.now()
        ending = self._execute(folder)
        self._note_outcome(ending, started)
        self._judge(ending)
        self._on_phase("ended")
        publication = Publication(
            self._hub,
            self._records,
            self._record,
            self._workspace,
            command=self._command,
            started=started,
            on_phase=self._on_phase,
        )
        self._record = publication.publish()
        self._log.note(_describe_made(self._record))

    def _claim(self) -> None:
        def edit(now: RunRecord) -> RunRecord:
            check_goes_on(now, self._record)
            return replace(now, state="Running", started=self._repo.storage.now())

        self._record = self._records.change(self._record, edit)
        self._on_phase("claimed")

    def _fetch(self) -> str:
        """Bring the code and the inputs, and return the folder to run in."""
        code, workspace = self._spec.code, self._workspace
        self._log.note(f"code: {code.repo} {code.revision} ({code.commit[:8]}) {code.subpath}")
        git = Git(caller_environment(), poll=self._poll)
        git.check_out(self._source, code.commit, workspace.code)
        folder = workspace.code_folder(code.subpath)
        self._command = choose_command(
            self._spec.type, os.listdir(folder), lambda name: _read(folder, name)
        )
        self._poll()
        self._on_phase("code")
        inspection = Inspection(
            executable_argv(PYTHONS)[0], self._run_environment(), self._workspace.tmp
        )
        self._log.note(f"dataset: {self._spec.dataset} ({self._spec.dataset.commit.hex()[:8]})")
        self._download(self._spec.dataset.commit, workspace.dataset)
        checkpoint = self._spec.checkpoint
        if checkpoint is not None:
            self._log.note(f"checkpoint: {checkpoint} ({checkpoint.commit.hex()[:8]})")
            self._download(checkpoint.commit, workspace.checkpoint)
        self._environment = describe(
            inspection.result(), self._run_environment(), self._spec.params
        )
        self._on_phase("inputs")
        return folder

    def _download(self, commit: CommitId, target: str) -> None:
        os.makedirs(target, mode=0o700)
        monitor = _PollingMonitor(self._poll)
        done = download(self._repo, commit, target=target, read_only=True, monitor=monitor)
        self._bytes_in += done.size_bytes

    def _execute(self, folder: str) -> Ending:
        command, environment = self._command, self._environment
        self._record = self._records.change(
            self._record, lambda now: replace(now, command=command, environment=environment)
        )
        self._log.note(f"command: {' '.join(command)}")
        self._on_phase("executing")
        return UserProcess(
            executable_argv(command),
            folder=folder,
            environment=self._run_environment(),
            limits=Limits(self._spec.volume, self._workspace.limited, self._spec.timeout),
            on_output=self._log.write,
            should_stop=self._watch.should_stop,
            on_tick=self._tick,
        ).run()

    def _tick(self) -> None:
        self._log.tick()
        if self._watch.is_due("metrics", METRICS_POLL_SECONDS):
            self._metrics.tick()

    def _note_outcome(self, ending: Ending, started: float) -> None:
        outcome: dict[str, Value] = {
            "exit_status": ending.status,
            "ended_by": ending.by,
            "peak_memory_bytes": ending.peak_memory,
            "bytes_in": self._bytes_in,
            "bytes_left": ending.usage,
            "code_started": started,
            "code_ended": self._repo.storage.now(),
        }
        self._record = self._records.change(
            self._record, lambda now: None if now.is_over else replace(now, outcome=outcome)
        )

    def _run_environment(self) -> dict[str, str]:
        return run_environment(
            caller_environment(),
            home=self._workspace.home,
            tmp=self._workspace.tmp,
            programs=self._workspace.programs,
            variables=self._variables(),
        )

    def _variables(self) -> dict[str, str]:
        workspace = self._workspace
        variables = {
            "AH_DATASET_DIR": workspace.dataset,
            "AH_METRICS_FILE": workspace.metrics_file,
            "AH_PARAMS": params_to_json(self._spec.params),
            "AH_RUN_ID": self._record.id,
            "AH_RUN_NAME": self._record.name,
        }
        if self._spec.checkpoint is not None:
            variables["AH_CHECKPOINT_DIR"] = workspace.checkpoint
        if self._spec.trains:
            variables["AH_OUTPUT_DIR"] = workspace.output
        else:
            variables["AH_RESULTS_DIR"] = workspace.results
        return variables

    def _judge(self, ending: Ending) -> None:
        program = program_name(self._command)
        if ending.by == "stop":
            self._watch.raise_why()
        if not ending.clean:
            raise RunFailedError(f"{program} left processes behind that can't be ended")
        if ending.by == "volume":
            raise RunFailedError(
                f"{program} outgrew its volume of {format_size(self._spec.volume)}:"
                " give the run a larger one"
            )
        if ending.by == "timeout":
            raise RunFailedError(f"{program} did not end within {self._spec.timeout:g} s")
        if ending.status != 0:
            said = self._log.last_lines()
            raise RunFailedError(
                f"{program} {_describe_status(ending.status)}" + (f"\n{said}" if said else "")
            )

    def _poll(self) -> None:
        """Raise when the run is to end while its code and inputs are fetched."""
        self._log.tick()
        if self._watch.should_stop():
            self._watch.raise_why()
        if self._watch.is_due("usage", USAGE_POLL_SECONDS):
            usage = folder_usage(self._workspace.limited, stop_above=self._spec.volume)
            if usage > self._spec.volume:
                raise RunFailedError(
                    f"the code in {self._spec.code.repo} outgrew the run's volume of"
                    f" {format_size(self._spec.volume)}: give the run a larger one"
                )

    def _save_end(self, state: RunState, reason: str | None) -> None:
        def edit(now: RunRecord) -> RunRecord | None:
            if state == "Succeeded":
                # It is on its branch: true whoever held this run for dead meanwhile.
                return replace(
                    now,
                    state=state,
                    reason=None,
                    fence_due=False,
                    commit=self._record.commit,
                    evaluation=self._record.evaluation,
                    ended=self._repo.storage.now(),
                )
            if now.is_over or now.supervisor != self._record.supervisor:
                return None
            return replace(
                now,
                state=state,
                reason=reason,
                commit=None,
                evaluation=None,
                ended=self._repo.storage.now(),
            )

        for left in reversed(range(SAVE_TRIES)):
            try:
                self._records.change(self._record, edit)
            except NotFoundError:
                return
            except (AhError, OSError):
                traceback.print_exc()
                if not left:
                    sys.exit(1)
                time.sleep(SAVE_PAUSE_SECONDS)
            else:
                return

    def _is_local_store(self) -> bool:
        return self._repo.storage.capabilities.local_path is not None


class _PollingMonitor(Monitor):
    """Hears of every file that is downloaded, and asks whether to go on."""

    def __init__(self, poll: Callable[[], None]) -> None:
        self._poll = poll

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:  # noqa: ARG002
        self._poll()


def _describe_made(record: RunRecord) -> str:
    if record.commit is not None:
        return f"committed {record.commit.hex()} to branch {record.spec.branch}"
    verdict = record.outcome.get("verdict")
    said = f": {verdict}" if isinstance(verdict, str) else ""
    return f"recorded evaluation {record.evaluation}{said}"


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
