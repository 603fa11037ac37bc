"""A train or evaluate run as people see it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ahstore.client.core import Core
from ahstore.client.times import iso_seconds

if TYPE_CHECKING:
    from ahstore.jobs.curves import Curve
    from ahstore.jobs.progress import Checkpoint
    from ahstore.jobs.records import RunRecord


class Run:
    """A workflow run. Its state is that of the last look; `refresh` looks again."""

    def __init__(self, core: Core, record: RunRecord) -> None:
        self._core = core
        self.record = record

    @property
    def id(self) -> str:
        """The run's UUID."""
        return str(self.record.id)

    @property
    def name(self) -> str:
        """``asset-hub-xxxxx``, unique in the store."""
        return self.record.name

    @property
    def type(self) -> str:
        """``train``, ``evaluate`` or ``rerun``."""
        return self.record.spec.type

    @property
    def status(self) -> str:
        """``Pending``, ``Running``, ``Succeeded``, ``Failed`` or ``Stopped``."""
        return self.record.status

    @property
    def reason(self) -> str:
        """Why the run failed, "" if it did not."""
        return self.record.reason or ""

    @property
    def git_repo(self) -> str:
        """The code's repository, without a password that the URL may have had."""
        return self.record.spec.code.repo

    @property
    def engine(self) -> str:
        """What carries it out: ``local``, ``slurm`` or ``ray``."""
        return self.record.engine

    @property
    def checkpoint_id(self) -> str:
        """The commit that was continued or evaluated, "" for a training from nothing."""
        checkpoint = self.record.spec.checkpoint
        return checkpoint.commit.hex() if checkpoint else ""

    def refresh(self) -> Run:
        """Look at the run again and return it."""
        self.record = self._core.jobs.get(self.id)
        return self

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until the run has ended, at most ``timeout`` seconds, and return it."""
        self.record = self._core.jobs.wait(self.record, timeout=timeout)
        return self

    def logs(self, follow: bool = False) -> Iterator[str]:
        """Yield what the run printed; with ``follow`` until it has ended."""
        return self._core.jobs.logs(self.record, follow=follow)

    def metrics(self, follow: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics that the run has logged: numbers by name, and ``time``.

        With ``follow`` as they come, until it has ended. Source: ``AH_METRICS_FILE``.
        """
        return self._core.jobs.metrics(self.record, follow=follow)

    def last_metrics(self) -> dict[str, Any]:
        """Return the last value of each metric that the run has logged so far."""
        from ahstore.jobs.metrics import last_values  # start-up

        return last_values(self.metrics())

    def recent_metrics(self) -> dict[str, Any]:
        """Return the last value of each metric among the last 4 MiB that the run has logged."""
        return self._core.jobs.recent_metrics(self.record)

    def curves(self, metrics: Sequence[str] = ()) -> dict[str, Curve]:
        """Return each metric by step, thinned out so that no peak and no end is lost.

        Args:
            metrics: only these.
        """
        from ahstore.jobs.curves import read_curves  # start-up

        return read_curves(self.metrics(), only=metrics)

    def why(self) -> str:
        """Return in plain words what the run was given, and what is known of what it made of it."""
        return "\n\n".join(self._core.jobs.provenance.why_run(self.record))

    def verdict(self) -> dict[str, Any] | None:
        """Return what a rerun has shown, None for other runs and those that have not succeeded.

        ``verdict`` ("same bytes" or "differs"), ``files`` that differ, the first ``differences``,
        the ``branch`` with the rerun's files, and what of the ``surroundings`` has changed.
        """
        if self.record.spec.type != "rerun" or self.status != "Succeeded":
            return None
        from ahstore.jobs.provenance.verdict import VERDICT_KEY  # start-up

        assert self.record.evaluation is not None
        results = self._core.hub.get_evaluation(self.record.evaluation).results
        verdict: dict[str, Any] = json.loads(results[VERDICT_KEY])
        return verdict

    def patch(self) -> bytes:
        """Return the uncommitted changes that the run's code has, as `git diff --binary` does.

        Empty if it is exactly the recorded commit.
        """
        return self._core.jobs.provenance.read_patch(self.record.spec.code)

    def download_code(
        self, save_dir: str | os.PathLike[str], *, git_repo: str | None = None
    ) -> None:
        """Make a new folder a checkout of the run's code, its uncommitted changes applied.

        Args:
            save_dir: the folder; it may be there if it is empty.
            git_repo: where the code is now, if it is no longer where the run had it.

        Raises:
            InvalidInputError: something is in the folder.
            NotFoundError: the repository or its commit is not there.
        """
        code, folder = self.record.spec.code, os.fspath(save_dir)
        self._core.jobs.provenance.download_code(code, folder, git_repo=git_repo)
        self._core.notify(f"Wrote the code of run {self.name} to {folder}")

    def stop(self) -> Run:
        """Ask the run to stop, wait some seconds for it, and return it; nothing is committed."""
        if not self.refresh().record.is_over:
            self._core.notify(f"Stopping run {self.name}")
            self.record = self._core.jobs.stop(self.record)
        self._core.notify(f"Run {self.name} is {self.status.lower()}")
        return self

    def resume(
        self,
        *,
        git_repo: str | None = None,
        volume: str | int | None = None,
        timeout: float | None = None,
        at_once: int | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Run:
        """Go on with a training that failed or was stopped, in a new run, and return that at once.

        It does what this run did, from the last checkpoint that its code handed in, if there is one.

        Args:
            git_repo: where the code is now, if it is no longer where this run had it.
            volume: another size limit than this run had.
            timeout: another time-out in seconds.
            at_once: as in `RunOptions`.
            env: variables whose values were not recorded; None for a value is the caller's.

        Raises:
            InvalidInputError: the run is no training, or has succeeded, or a variable is missing.
            ConflictError: it is not over.
            NotFoundError: something that it needs is not there any more.
        """
        from ahstore.jobs.resuming import describe_start  # start-up

        record = self._core.jobs.resume(
            self.record,
            git_repo=git_repo,
            volume=volume,
            timeout=timeout,
            at_once=at_once,
            env=env,
        )
        start = describe_start(record.spec)
        self._core.notify(f"Run {record.name} goes on with {self.name} {start}")
        return Run(self._core, record)

    def delete(self) -> None:
        """Delete the run's record and logs; what it committed stays."""
        self._core.jobs.delete(self.record)
        self._core.notify(f"Deleting run {self.name}")

    def to_dict(self) -> dict[str, Any]:
        """Return the run as `Model.list_workflow` has it."""
        record, spec = self.record, self.record.spec
        succeeded = record.status == "Succeeded"
        return {
            "attempt": record.attempt,
            "branch": spec.branch,
            "checkpoint": None if spec.checkpoint is None else str(spec.checkpoint),
            "checkpoint_commit": self.checkpoint_id or None,
            "command": list(record.command),
            "commit": record.commit.hex() if record.commit and succeeded else None,
            "dataset": str(spec.dataset),
            "dataset_commit": spec.dataset.commit.hex(),
            "end_time": None if record.ended is None else iso_seconds(record.ended),
            "engine": record.engine,
            "environment": dict(record.environment),
            "evaluation": record.evaluation if succeeded else None,
            "failed_attempts": [
                {
                    "number": attempt.number,
                    "start_time": iso_seconds(attempt.started),
                    "end_time": iso_seconds(attempt.ended),
                    "reason": attempt.reason,
                }
                for attempt in record.attempts
            ],
            "git_changes": None if spec.code.changes is None else spec.code.changes.to_value(),
            "git_commit": spec.code.commit,
            "git_repo": spec.code.repo,
            "git_revision": spec.code.revision,
            "git_subpath": spec.code.subpath,
            "id": self.id,
            "last_checkpoint": None
            if record.checkpoint is None
            else _checkpoint(record.checkpoint),
            "job": None if record.job is None else record.job.to_value(),
            "model": spec.model_path,
            "name": self.name,
            "outcome": dict(record.outcome),
            "params": dict(spec.params),
            "reason": self.reason,
            "resumes": None if spec.resumes is None else spec.resumes.name,
            "retries": spec.retries.limit,
            "reused_from": None if record.reused_from is None else record.reused_from.name,
            "resources": spec.resources.to_value(),
            "start_time": iso_seconds(record.started or record.created),
            "status": self.status,
            "runtime": spec.runtime.to_value(),
            "timeout_seconds": spec.timeout,
            "type": spec.type,
            "user": record.by,
            "verifies": None if spec.verifies is None else str(spec.verifies),
            "volume_bytes": spec.volume,
            "workspace": record.workspace,
        }

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {self.type!r}, {self.status!r})"


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "branch": checkpoint.branch,
        "commit": checkpoint.commit.hex(),
        "number": checkpoint.number,
        "attempt": checkpoint.attempt,
        "step": checkpoint.step,
        "time": iso_seconds(checkpoint.time),
    }
