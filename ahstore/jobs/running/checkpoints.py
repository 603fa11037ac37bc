"""Committing what a run's code hands in while it runs, beside the loop that watches the code.

Each attempt to publish is preceded by a compare-and-swap of the run's record, which says what is
about to be published (``publishing``): so whoever declares the run dead meanwhile knows what to
fence, and a supervisor that was merely paused commits nothing for it afterwards
(docs/format/runs.md, "Checkpoints").
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import AhError, OutcomeUnknownError
from ahstore.hub.hub import Hub
from ahstore.ids import CommitId, check_address
from ahstore.jobs.code.laying_out import patch_file
from ahstore.jobs.observer import branch_had
from ahstore.jobs.progress import Checkpoint, format_step
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running.metadata import METADATA_NAME, encode_metadata, history_of
from ahstore.jobs.running.publication import starting_point
from ahstore.jobs.running.spool import Request, Spool
from ahstore.jobs.running.watch import RunOverError, StopRequestedError, check_goes_on
from ahstore.versions.adding.commits import commit_tree
from ahstore.versions.monitor import Monitor
from ahstore.versions.refs import ref_cell

OnPhase = Callable[[str], None]


class Checkpointer:
    """Commits what is handed in, one after the other, in a thread of its own.

    ``tick`` and ``close`` belong to the thread that watches the code, as the log does; ``metrics``
    returns the last values so far.
    """

    def __init__(
        self,
        hub: Hub,
        records: RunRecords,
        record: RunRecord,
        *,
        branch: str,
        attempt: int,
        spool: Spool,
        metrics: Callable[[], Mapping[str, Any]],
        on_note: Callable[[str], None],
        on_phase: OnPhase,
    ) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._records = records
        self._record = record
        self._branch = branch
        self._attempt = attempt
        self._spool = spool
        self._metrics = metrics
        self._on_note = on_note
        self._on_phase = on_phase
        self._notes: deque[str] = deque()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._started = hub.repo.storage.now()

    def has_work(self) -> bool:
        """Tell whether something was handed in that nobody works at."""
        return not self._is_busy() and bool(self._spool.names())

    def tick(self) -> None:
        """Begin to work at what was handed in; to be called now and then."""
        self._tell()
        if self.has_work() and not self._cancelled.is_set():
            self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
            self._thread.start()

    def close(self, *, cancel: bool) -> None:
        """Commit the rest, when the code has ended; with ``cancel`` give up what is under way."""
        if cancel:
            self._cancelled.set()
        if self._thread is not None:
            self._thread.join()
        self._work()
        self._tell()

    def _is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _tell(self) -> None:
        while self._notes:
            self._on_note(self._notes.popleft())

    def _work(self) -> None:
        while not self._cancelled.is_set() and (names := self._spool.names()):
            self._take(names[0])

    def _take(self, name: str) -> None:
        try:
            request = self._spool.read(name)
            commit = self._commit(request)
        except (StopRequestedError, RunOverError) as error:
            self._cancelled.set()
            self._spool.answer(name, error=str(error))
        except (AhError, OSError) as error:
            said = self._spool.explain(error, name)
            self._notes.append(f"a checkpoint was not committed: {said}")
            self._spool.answer(name, error=said)
        except Exception as error:
            traceback.print_exc()
            said = f"ahstore failed: {type(error).__name__}: {error}"
            self._notes.append(f"a checkpoint was not committed: {said}")
            self._spool.answer(name, error=said)
        else:
            self._spool.answer(name, commit=commit.hex())

    def _commit(self, request: Request) -> CommitId:
        self._on_phase("checkpoint")
        spec, last = self._record.spec, self._record.checkpoint
        self._hub.get_asset_by_id(spec.model)
        number = 1 if last is None else last.number + 1
        try:
            made = commit_tree(
                self._repo,
                spec.model,
                self._branch,
                message=self._message(request.step, number),
                committer=self._record.by,
                # A colon at the end: everything before it is the local path, colons in it or not.
                add=[f"{request.folder}/*:"],
                extra={
                    METADATA_NAME: self._metadata(request.step, number),
                    **patch_file(self._repo, spec.code),
                },
                base=starting_point(self._repo, spec, spec.checkpoint),
                metadata=self._facts(request.step, number),
                guard=lambda commit: self._enter(commit, request.step, number),
                monitor=_CancellingMonitor(self._cancelled),
            )
        except OutcomeUnknownError as error:
            self._settle(error)
        else:
            assert made is not None, "asset-hub.metadata has the time in it"
        self._on_phase("checkpoint-committed")
        return self._keep()

    def _enter(self, commit: CommitId, step: float | None, number: int) -> None:
        """Say in the record what is about to be published: before each attempt to."""
        now_at = self._repo.storage.now()
        publishing = Checkpoint(self._branch, commit, number, self._attempt, now_at, step)

        def edit(now: RunRecord) -> RunRecord:
            check_goes_on(now, self._record)
            return replace(now, publishing=publishing)

        self._on_phase("before-publishing")
        self._record = self._records.change(self._record, edit)
        self._on_phase("publishing")

    def _settle(self, error: OutcomeUnknownError) -> None:
        """Find out whether a checkpoint was published: once its branch is fenced, it is or is not.

        Raises:
            OutcomeUnknownError: it was not.
        """
        commit = CommitId(check_address(bytes.fromhex(str(error.details["commit"]))))
        model = self._record.spec.model
        self._repo.cells.fence(ref_cell(model, self._branch))
        since = self._record.created
        if not branch_had(self._repo, model, self._branch, commit, since=since):
            raise error

    def _keep(self) -> CommitId:
        """Say in the record that what was about to be published is, also if a stop came meanwhile.

        Raises:
            RunOverError: the run was declared over: who did that has said it, or will.
        """

        def edit(now: RunRecord) -> RunRecord | None:
            if now.is_over or now.supervisor != self._record.supervisor:
                return None
            return replace(now, checkpoint=now.publishing, publishing=None)

        now = self._records.change(self._record, edit)
        kept = now.checkpoint
        if now.is_over or now.supervisor != self._record.supervisor or kept is None:
            raise RunOverError(f"run {now.name} was declared {now.status} by someone else")
        self._record = now
        self._notes.append(f"checkpoint: {kept}")
        return kept.commit

    def _message(self, step: float | None, number: int) -> str:
        at = "" if step is None else f" at step {format_step(step)}"
        return f"Checkpoint {number}{at} of {self._record.name}"

    def _facts(self, step: float | None, number: int) -> dict[str, Value]:
        facts: dict[str, Value] = {
            "run": self._record.id,
            "run_name": self._record.name,
            "checkpoint": number,
        }
        if step is not None:
            facts["step"] = step
        return facts

    def _metadata(self, step: float | None, number: int) -> bytes:
        now = self._records.get(self._record.spec.model, self._record.id)
        return encode_metadata(
            now.spec,
            run=now.id,
            name=now.name,
            by=now.by,
            command=now.command,
            started=self._started,
            ended=self._repo.storage.now(),
            environment=now.environment,
            outcome={},
            metrics=dict(self._metrics()) or None,
            history=history_of(now),
            midway={
                "branch": self._branch,
                "number": number,
                "attempt": self._attempt,
                "step": step,
                "time": time.time(),
            },
        )


class _CancellingMonitor(Monitor):
    """Gives up the reading of files once the run is to end."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def advance(self, *, files: int = 0, bytes_: int = 0) -> None:  # noqa: ARG002
        if self._cancelled.is_set():
            raise StopRequestedError("the run ends")
