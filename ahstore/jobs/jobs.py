"""Train and evaluate, and the runs they make: start, list, wait, read the logs, stop, delete."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord
from ahstore.jobs.engines.asking import EngineDesk
from ahstore.jobs.engines.choice import THIS_MACHINE, EngineSettings, engine_of
from ahstore.jobs.engines.local import remove_log, signal_process
from ahstore.jobs.logs import METRICS, LogReader, delete_log, recent_lines
from ahstore.jobs.metrics import Point, last_values, parse_points
from ahstore.jobs.observer import Observer
from ahstore.jobs.options import RunOptions
from ahstore.jobs.provenance.provenance import Provenance
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.resuming import submit_resume
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.starting import Starter
from ahstore.jobs.submission import (
    GitArguments,
    Submission,
    submit_evaluate,
    submit_rerun,
    submit_train,
    vary_train,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.3
STOP_SECONDS = 15.0
GRACE_SECONDS = 8.0


class Jobs:
    """The runs of a store. Every look at a run settles it if its supervisor has died.

    Attributes:
        provenance: answers where versions and numbers come from.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        runs_root: str,
        store_url: str,
        notify: Callable[[str], None] = lambda _: None,
        engines: EngineSettings = THIS_MACHINE,
    ) -> None:
        """Take the folder for workspaces and the URL by which a supervisor opens the store.

        ``notify`` hears what whoever starts a run should know of it, each thing once.
        """
        self._hub = hub
        self._storage = hub.repo.storage
        self._notify = notify
        self._told: set[str] = set()
        self._records = RunRecords(hub.repo)
        self._starter = Starter(
            hub, self._records, runs_root=runs_root, store_url=store_url, engines=engines
        )
        desk = EngineDesk(lambda job: engine_of(job, engines))
        self._observer = Observer(hub, self._records, desk=desk)
        self.provenance = Provenance(hub, self._records, look=self._look)

    def train(
        self,
        model: AssetRecord,
        *,
        branch: str,
        dataset: AssetRecord,
        dataset_ref: str = "main",
        checkpoint: tuple[AssetRecord, str] | None = None,
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        **options: Unpack[RunOptions],
    ) -> RunRecord:
        """Start a training and return at once; it goes on without its caller.

        What the code leaves in ``AH_OUTPUT_DIR`` becomes one commit on ``branch``, which is made
        if it is not there. ``volume`` is in bytes or as ``100Mi``.

        Raises:
            InvalidInputError: an argument is malformed, or an asset of the wrong kind.
            NotFoundError: a reference, the repository, its revision, folder or command is not there.
            UnsupportedError: the store can't be opened by another process, or there is no git.
            StorageError: the disk fails, or the supervisor can't be started.
        """
        [run] = self.sweep(
            model,
            [(branch, options.get("params") or {})],
            dataset=dataset,
            dataset_ref=dataset_ref,
            checkpoint=checkpoint,
            volume=volume,
            git_repo=git_repo,
            git_revision=git_revision,
            git_subpath=git_subpath,
            **options,
        )
        return run

    def sweep(
        self,
        model: AssetRecord,
        points: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        dataset: AssetRecord,
        dataset_ref: str = "main",
        checkpoint: tuple[AssetRecord, str] | None = None,
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        **options: Unpack[RunOptions],
    ) -> list[RunRecord]:
        """Start a training for each of ``points``, a branch and its parameters, and return at once.

        References are looked up, and a working copy is read, once for all. Nothing is started before
        everything is checked. Raises what ``train`` does.
        """
        branch, params = points[0]
        first = submit_train(
            self._hub,
            model,
            branch,
            dataset=(dataset, dataset_ref),
            checkpoint=checkpoint,
            volume=volume,
            git=GitArguments(git_repo, git_revision, git_subpath),
            options={**options, "params": params},
        )
        others = [vary_train(self._hub, first, branch, params) for branch, params in points[1:]]
        return [self._start(each, options) for each in (first, *others)]

    def evaluate(
        self,
        model: AssetRecord,
        ref: str,
        *,
        dataset: AssetRecord,
        dataset_ref: str = "main",
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        **options: Unpack[RunOptions],
    ) -> RunRecord:
        """Start an evaluation and return at once; it goes on without its caller.

        Each ``<key>.json`` that the code leaves in ``AH_RESULTS_DIR`` becomes a result of one
        evaluation, which stays with the commits that ``ref`` and ``dataset_ref`` mean now. Raises
        what ``train`` does.
        """
        submission = submit_evaluate(
            self._hub,
            model,
            ref,
            dataset=(dataset, dataset_ref),
            volume=volume,
            git=GitArguments(git_repo, git_revision, git_subpath),
            options=options,
        )
        return self._start(submission, options)

    def rerun(
        self,
        model: AssetRecord,
        ref: str,
        *,
        git_repo: str | None = None,
        python: str | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> RunRecord:
        """Do the training again that made a version, and return at once; it goes on by itself.

        What it makes is compared with the version, and the verdict recorded as an evaluation of it
        (``verdict.py``); no branch moves. ``git_repo`` says where the code is now, ``python``
        names another interpreter, ``env`` gives variables whose values are not recorded.

        Raises:
            InvalidInputError: the version was not made by a training.
            NotFoundError: the version, or something it was made of, is not there any more.
        """
        return self._start(
            submit_rerun(self._hub, model, ref, git_repo=git_repo, python=python, env=env),
            {},
        )

    def resume(
        self,
        run: RunRecord,
        *,
        git_repo: str | None = None,
        volume: str | int | None = None,
        timeout: float | None = None,
        at_once: int | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> RunRecord:
        """Go on with a training that ended without success, in a new run, and return at once.

        It begins with the last checkpoint that was committed for it (``resuming.py``).

        Raises:
            InvalidInputError: the run is no training, or has succeeded.
            ConflictError: it is not over.
            NotFoundError: something that it needs is not there any more.
        """
        submission = submit_resume(
            self._hub,
            self._look(run),
            git_repo=git_repo,
            volume=volume,
            timeout=timeout,
            env=env,
        )
        return self._start(submission, {"at_once": at_once})

    def list(self, model: AssetRecord) -> list[RunRecord]:
        """Return the runs of a model, newest first."""
        return [self._observer.look(record) for record in self._records.list(model.id)]

    def get(self, name_or_id: str) -> RunRecord:
        """Return the run of this name or id, as it is now.

        Raises:
            NotFoundError: there is none.
        """
        return self._observer.look(self._records.get_by_name_or_id(name_or_id))

    def wait(self, run: RunRecord, timeout: float | None = None) -> RunRecord:
        """Return the run's record once it is over, or as it is after ``timeout`` seconds.

        Raises:
            NotFoundError: the run was deleted.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE_SECONDS
        while True:
            record = self._look(run)
            left = float("inf") if deadline is None else deadline - time.monotonic()
            if record.is_over or left <= 0:
                return record
            time.sleep(min(pause, left))
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)

    def logs(self, run: RunRecord, *, follow: bool = False) -> Iterator[str]:
        """Yield the lines that the run has printed; with ``follow`` as they come, to its end."""
        return self._follow(run, "", follow=follow)

    def metrics(self, run: RunRecord, *, follow: bool = False) -> Iterator[Point]:
        """Yield the metrics that the run has logged; with ``follow`` as they come, to its end."""
        return parse_points(self._follow(run, METRICS, follow=follow))

    def recent_metrics(self, run: RunRecord) -> Point:
        """Return the last value of each metric among the last 4 MiB that the run has logged."""
        return last_values(parse_points(recent_lines(self._storage, run.id, stream=METRICS)))

    def _follow(self, run: RunRecord, stream: str, *, follow: bool) -> Iterator[str]:
        reader = LogReader(self._storage, run.id, stream=stream)
        pause = FIRST_PAUSE_SECONDS
        while True:
            # Looked at before the log is read: what came before the end is then read too.
            is_over = not follow or self._look(run).is_over
            for line in reader.new_lines():
                pause = FIRST_PAUSE_SECONDS
                yield line
            if is_over:
                yield from reader.rest()
                return
            time.sleep(pause)
            pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)

    def stop(self, run: RunRecord) -> RunRecord:
        """Ask a run to end, and return its record once it has (or after some seconds as it is).

        Nothing of a stopped run is committed. A run that is over, or is committing already, is
        left as it is.

        Raises:
            NotFoundError: the run was deleted.
        """

        def ask(now: RunRecord) -> RunRecord | None:
            if now.state not in ("Pending", "Running") or now.stop_by is not None:
                return None
            if now.awaits_worker:
                # Over at once, whatever the engine does: a worker that begins finds it so.
                ended = self._storage.now()
                return replace(now, stop_by=self._hub.user, state="Stopped", ended=ended)
            return replace(now, stop_by=self._hub.user)

        record = self._look(self._records.change(run, ask))
        if record.state == "Running" and record.stop_by is not None:
            # One that is still Pending looks before it begins, and takes no signals yet.
            signal_process(record.supervisor, signal.SIGTERM)
        if record.job is None or record.stop_by is None:
            return self.wait(record, STOP_SECONDS)
        # The worker ends by itself what it has begun; else its engine ends it.
        now = self.wait(record, GRACE_SECONDS)
        if now.is_over and now.started is not None:
            return now
        self._observer.desk.cancel(now.job or record.job)
        return self.wait(now, STOP_SECONDS)

    def delete(self, run: RunRecord) -> None:
        """Delete a run's record, its logs and its workspace; what it committed stays.

        Raises:
            NotFoundError: it is deleted already.
            ConflictError: it is not over: stop it first.
        """
        record = self._look(run)
        self._records.delete(record)
        delete_log(self._storage, record.id)
        if record.workspace and record.supervisor.is_here():
            Workspace(record.workspace).remove()
        if record.job is not None:
            remove_log(record.job)

    def _look(self, run: RunRecord) -> RunRecord:
        return self._observer.look(self._records.get(run.spec.model, run.id))

    def _start(self, submission: Submission, options: RunOptions) -> RunRecord:
        for notice in submission.notices:
            if notice not in self._told:
                self._told.add(notice)
                self._notify(notice)
        return self._starter.start(submission, options)
