"""What a supervisor does: run the code, commit what it made, say how it went.

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
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ahstore.errors import AhError, NotFoundError, OutcomeUnknownError
from ahstore.hub.hub import Hub
from ahstore.ids import AssetId, RunId, parse_entity_id
from ahstore.jobs.code.git_source import GitSource, secrets_of
from ahstore.jobs.heartbeat import Heart
from ahstore.jobs.logs import METRICS, LogWriter
from ahstore.jobs.metrics import MetricsTail
from ahstore.jobs.observer import Observer
from ahstore.jobs.progress import FailedAttempt
from ahstore.jobs.records import RunRecord, RunRecords, RunState
from ahstore.jobs.running.allotment import Allotment, allot
from ahstore.jobs.running.attempt import Attempt, CodeFailedError, OnPhase, Surroundings
from ahstore.jobs.running.claim import claim, on_this_node
from ahstore.jobs.running.publication import Publication
from ahstore.jobs.running.queueing import QUEUE_FOLDER, Ticket
from ahstore.jobs.running.spawn import Orders
from ahstore.jobs.running.watch import RunOverError, StopRequestedError, Watch, check_goes_on
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.runtime import secret_values
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.repository import Repository

QUEUE_POLL_SECONDS = 0.2
SAVE_TRIES = 5
SAVE_PAUSE_SECONDS = 1.0


def carry_out(run: str, orders_text: str, *, on_phase: OnPhase = lambda _: None) -> bool:
    """Carry out a run to its end, if it is this process's to do; tell if it succeeded or was not.

    ``on_phase`` hears of each step (tests die in them).

    Raises:
        AhError: the store can't be opened, or the run is not there.
    """
    orders = on_this_node(Orders.from_json(orders_text))
    repo = Repository.open(
        orders.store_url,
        cache_root=orders.cache_root,
        storage_options=orders.storage_options,
        cache_size=orders.cache_size,
    )
    try:
        hub = Hub(repo, orders.user)
        records = RunRecords(repo)
        model = AssetId(parse_entity_id(orders.model))
        record = records.get(model, RunId(parse_entity_id(run)))
        if orders.is_elsewhere:
            on_phase("begun")
            record = claim(hub, records, record, orders)
        if record.supervisor != ProcessIdentity.current():
            return True
        supervision = Supervision(
            hub,
            records,
            record,
            orders.secret_url,
            on_phase=on_phase,
            at_once=orders.at_once,
            hidden=orders.hidden,
        )
        return supervision.run() == "Succeeded"
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
        hidden: Mapping[str, str] | None = None,
    ) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._records = records
        self._record = record
        self._spec = record.spec
        self._workspace = Workspace(record.workspace)
        repo = record.spec.code.repo
        source = GitSource(repo, is_local=repo.startswith("/"), secret_url=secret_url)
        secrets = [*secrets_of(source), *secret_values(hidden or {})]
        self._log = LogWriter(self._repo.storage, record.id, secrets=secrets)
        self._watch = Watch(records, record, local=self._is_local_store())
        self._on_phase = on_phase
        self._at_once = at_once
        self._waited_for = ""
        self._metrics = MetricsTail(
            self._workspace.metrics_file,
            LogWriter(self._repo.storage, record.id, stream=METRICS, secrets=secrets),
        )
        self._around = Surroundings(
            hub,
            records,
            self._workspace,
            source,
            self._log,
            self._metrics,
            self._watch,
            on_phase,
            hidden or {},
        )

    def run(self) -> RunState | None:
        """Carry the run out, and return how it ended (None: others said that), as its record says."""
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
        return state

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
                self._wait("")
                time.sleep(QUEUE_POLL_SECONDS)
            yield

    def _wait(self, what: str) -> None:
        """Do what is to be done now and then while the run waits for ``what``, said once."""
        if what and what != self._waited_for:
            self._log.note(what)
            self._waited_for = what
        self._log.tick()
        if self._watch.should_stop():
            self._watch.raise_why()

    def _work_in_turn(self) -> None:
        if self._record.job is not None:
            self._workspace.create()
        with allot(self._record, self._workspace.root, wait=self._wait) as allotment:
            self._claim()
            attempt = self._run_code(allotment)
        self._on_phase("ended")
        publication = Publication(
            self._hub,
            self._records,
            self._record,
            self._workspace,
            command=attempt.command,
            started=attempt.started,
            on_phase=self._on_phase,
        )
        same = attempt.same
        self._record = publication.publish() if same is None else publication.take(same)
        self._log.note(_describe_made(self._record))

    def _run_code(self, allotment: Allotment) -> Attempt:
        """Run the code until it succeeds, as often as the run may be tried again."""
        while True:
            began = self._repo.storage.now()
            attempt = Attempt(self._around, self._record, allotment)
            try:
                attempt.run()
            except CodeFailedError as error:
                self._record = attempt.record
                if self._record.attempt > self._spec.retries.limit:
                    raise
                self._try_again(began, error)
            else:
                self._record = attempt.record
                return attempt

    def _try_again(self, began: float, error: CodeFailedError) -> None:
        """Record that an attempt has failed, wait, and clear up for the next."""
        wait = self._spec.retries.wait_after(self._record.attempt)
        first_line = str(error).partition("\n")[0]
        self._log.note(
            f"attempt {self._record.attempt} of {self._spec.retries.limit + 1} failed:"
            f" {first_line}; tries again in {wait:g} s"
        )
        failed = FailedAttempt(self._record.attempt, began, self._repo.storage.now(), str(error))

        def edit(now: RunRecord) -> RunRecord:
            check_goes_on(now, self._record)
            return replace(now, attempts=(*now.attempts, failed))

        self._record = self._records.change(self._record, edit)
        self._metrics.begin_anew()
        self._log.begin_anew()
        self._on_phase("back-off")
        until = time.monotonic() + wait
        while True:
            self._wait("")
            left = until - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, QUEUE_POLL_SECONDS))
        self._workspace.begin_anew()

    def _claim(self) -> None:
        def edit(now: RunRecord) -> RunRecord | None:
            check_goes_on(now, self._record)
            if now.state == "Running":
                return None
            return replace(now, state="Running", started=self._repo.storage.now())

        self._record = self._records.change(self._record, edit)
        self._on_phase("claimed")

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
                    reused_from=self._record.reused_from,
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
                publishing=None,
                reused_from=None,
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


def _describe_made(record: RunRecord) -> str:
    if record.reused_from is not None and record.commit is not None:
        made, name = record.commit.hex(), record.reused_from.name
        return f"branch {record.spec.branch} has commit {made}, as {name} made it"
    if record.reused_from is not None:
        return f"evaluation {record.evaluation} of {record.reused_from.name} stands"
    if record.commit is not None:
        return f"committed {record.commit.hex()} to branch {record.spec.branch}"
    verdict = record.outcome.get("verdict")
    said = f": {verdict}" if isinstance(verdict, str) else ""
    return f"recorded evaluation {record.evaluation}{said}"
