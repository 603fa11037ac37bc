"""Looking at a run: what its record says, and whether that can still be true.

A supervisor may die at any moment. Whoever looks at its run then settles it, in this order: what
the run left running on this machine is ended; a commit that is on its branch makes it Succeeded;
else Failed is written first and the branch fenced after, so that a supervisor which was merely
paused finds its swap refused and its run over (docs/format/runs.md, "When a supervisor dies").

Of an engine's job the engine is asked, where it answers: before a worker has begun it alone knows.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ahstore.errors import AhError
from ahstore.hub.assets import evaluations_cell
from ahstore.hub.hub import Hub
from ahstore.ids import AssetId, CommitId, EvaluationId
from ahstore.jobs.engines.asking import EngineDesk
from ahstore.jobs.heartbeat import is_silent
from ahstore.jobs.logs import REASON_BYTES, REASON_LINES, LogWriter
from ahstore.jobs.progress import Checkpoint
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running.processes import end_leftovers
from ahstore.storage.lease_record import SILENCE_SECONDS
from ahstore.versions.refs import Refs, ref_cell
from ahstore.versions.repository import Repository

_PHASES = {
    "Pending": "before the run began",
    "Running": "while the run was under way",
    "Committing": "while it committed what the run had made; nothing was committed",
}
_CLOCK_TOLERANCE_SECONDS = 3600.0


class Observer:
    """Looks at runs and settles those whose supervisor is dead."""

    def __init__(
        self,
        hub: Hub,
        records: RunRecords,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        desk: EngineDesk | None = None,
    ) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._records = records
        self._silence_seconds = silence_seconds
        self._desk = desk or EngineDesk()

    def look(self, record: RunRecord) -> RunRecord:
        """Return the run's record as it is, after settling what a dead supervisor left open."""
        if record.is_over:
            return self._fence(record) if record.fence_due else record
        cause = self._cause_of_death(record)
        if cause is None:
            return record
        # It may have ended well between the reading of the record and the look at the process, or
        # a worker have begun.
        now = self._records.get(record.spec.model, record.id)
        return self._bury(now, cause) if _is_as(now, record) else self.look(now)

    @property
    def desk(self) -> EngineDesk:
        """Where engines are asked."""
        return self._desk

    def is_published(self, record: RunRecord) -> bool:
        """Tell whether what the run committed, or was about to commit, is where it belongs."""
        if record.spec.type == "train":
            return self._branch_had(record)
        return record.evaluation is not None and self._has_evaluation(record, record.evaluation)

    def _cause_of_death(self, record: RunRecord) -> str | None:
        if record.awaits_worker:
            return self._cause_of_no_beginning(record)
        if record.supervisor.is_here():
            return None if record.supervisor.is_alive() else "its supervisor died"
        status = None if record.job is None else self.desk.status(record.job)
        if status is not None and status.state == "suspended":
            return None
        if status is not None and status.state == "ended":
            return f"its {_name(record)} ended ({status.detail})"
        silent = is_silent(
            self._repo.storage, record.id, record.written, silence_seconds=self._silence_seconds
        )
        return "nothing more was heard from its supervisor on another machine" if silent else None

    def _cause_of_no_beginning(self, record: RunRecord) -> str | None:
        """Tell why no worker will ever begin a run; None if one still may, as far as one knows."""
        assert record.job is not None
        if not record.job.id:
            return self._cause_of_no_job(record)
        status = self.desk.status(record.job)
        if status is None or not status.is_over:
            return None
        code = "" if status.exit_code is None else f", exit code {status.exit_code}"
        return f"its {_name(record)} ended ({status.detail}{code})"

    def _cause_of_no_job(self, record: RunRecord) -> str | None:
        """Look after a run whose submission was not seen to end."""
        assert record.job is not None
        submitter = record.supervisor
        if submitter.is_here():
            if submitter.is_alive():
                return None
        elif self._repo.storage.now() - record.written <= self._silence_seconds:
            return None
        answers, found = self.desk.find(record.job)
        if not answers:
            return None
        if found is None:
            return "whoever submitted it died"
        self._records.change(
            record, lambda now: replace(now, job=found) if _is_as(now, record) else None
        )
        return None

    def _bury(self, record: RunRecord, cause: str) -> RunRecord:
        if record.supervisor.is_here():
            end_leftovers(record.id)
        if record.state == "Committing" and self.is_published(record):
            return self._records.change(record, self._succeeded)

        log = ""
        if record.awaits_worker and record.job is not None and record.job.id:
            log = self.desk.log(record.job)
        lines = [line.rstrip() for line in log.splitlines() if line.strip()][-REASON_LINES:]
        said = "".join(f"\n{line}" for line in lines)[:REASON_BYTES]

        def declare(now: RunRecord) -> RunRecord | None:
            if now.is_over or now.supervisor != record.supervisor:
                return None
            if now.job is not None and now.stop_by is not None and now.state != "Committing":
                return replace(
                    now,
                    state="Stopped",
                    ended=self._repo.storage.now(),
                    fence_due=now.publishing is not None,
                )
            return replace(
                now,
                state="Failed",
                reason=f"{cause} {_PHASES[now.state]}{said}",
                ended=self._repo.storage.now(),
                fence_due=now.state == "Committing" or now.publishing is not None,
            )

        buried = self._records.change(record, declare)
        if not buried.is_over:
            return self.look(buried)
        if log and buried.reason is not None and buried.supervisor == record.supervisor:
            self._keep_log(record, log)
        return self.look(buried)

    def _keep_log(self, record: RunRecord, log: str) -> None:
        """Keep what a job printed that never came to be a run's: the run has no other log."""
        with contextlib.suppress(AhError):
            writer = LogWriter(self._repo.storage, record.id)
            writer.note(f"the log of its {_name(record)}:")
            writer.write(log.encode("utf-8", "replace"))
            writer.close()

    def _fence(self, record: RunRecord) -> RunRecord:
        """Fence where a paused supervisor would publish, then look once more whether it had."""
        if record.publishing is not None:
            return self._fence_checkpoint(record, record.publishing)
        if record.spec.type == "train":
            assert record.spec.branch is not None
            self._repo.cells.fence(ref_cell(record.spec.model, record.spec.branch))
        else:
            self._repo.cells.fence(evaluations_cell(record.spec.model))
        published = self.is_published(record)

        def finish(now: RunRecord) -> RunRecord | None:
            if not now.fence_due:
                return None
            if published:
                return self._succeeded(now)
            return replace(now, fence_due=False, commit=None, evaluation=None, reused_from=None)

        return self._records.change(record, finish)

    def _fence_checkpoint(self, record: RunRecord, checkpoint: Checkpoint) -> RunRecord:
        model = record.spec.model
        self._repo.cells.fence(ref_cell(model, checkpoint.branch))
        is_there = branch_had(
            self._repo, model, checkpoint.branch, checkpoint.commit, since=record.created
        )

        def finish(now: RunRecord) -> RunRecord | None:
            if not now.fence_due:
                return None
            last = checkpoint if is_there else now.checkpoint
            return replace(now, fence_due=False, publishing=None, checkpoint=last)

        return self._records.change(record, finish)

    def _succeeded(self, now: RunRecord) -> RunRecord | None:
        if now.state in ("Succeeded", "Stopped"):
            return None
        return replace(
            now,
            state="Succeeded",
            reason=None,
            fence_due=False,
            ended=now.ended if now.ended is not None else self._repo.storage.now(),
        )

    def _branch_had(self, record: RunRecord) -> bool:
        """Tell whether the branch ever pointed to the run's commit, moved on or not since."""
        if record.commit is None or record.spec.branch is None:
            return False
        if record.reused_from is not None:
            # An older commit: the branch may have had it before, and lost it since.
            return Refs(self._repo).is_under(record.spec.model, record.commit, [record.spec.branch])
        return branch_had(
            self._repo,
            record.spec.model,
            record.spec.branch,
            record.commit,
            since=record.created,
        )

    def _has_evaluation(self, record: RunRecord, evaluation: EvaluationId) -> bool:
        commit = record.spec.checkpoint.commit if record.spec.checkpoint else None
        found = self._hub.list_evaluations(record.spec.model, commit=commit)
        return any(item.id == evaluation for item in found)


def branch_had(
    repo: Repository, model: AssetId, branch: str, commit: CommitId, *, since: float
) -> bool:
    """Tell whether a branch pointed to a commit at any time from ``since`` on."""
    for ref in Refs(repo).history(model, branch):
        if ref.commit == commit:
            return True
        if ref.time < since - _CLOCK_TOLERANCE_SECONDS:
            return False
    return False


def _is_as(now: RunRecord, seen: RunRecord) -> bool:
    """Tell whether what was found out about a run when it was ``seen`` holds of it ``now``."""
    return (
        not now.is_over
        and now.supervisor == seen.supervisor
        and now.awaits_worker == seen.awaits_worker
        and now.job == seen.job
    )


def _name(record: RunRecord) -> str:
    assert record.job is not None
    return f"job {record.job.id or record.job.name} of {record.job.engine}"
