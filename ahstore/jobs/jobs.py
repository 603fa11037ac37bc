"""Train and evaluate, and the runs they make: start, list, wait, read the logs, stop, delete."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ahstore.errors import AhError, InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import CommitId, RunId, new_entity_id
from ahstore.jobs.code.git import Git, check_commit
from ahstore.jobs.code.git_source import parse_git_source
from ahstore.jobs.code.laying_out import PATCH_NAME, lay_out, read_patch
from ahstore.jobs.code.working_copy import Changes
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.logs import METRICS, LogReader, delete_log, recent_lines
from ahstore.jobs.metrics import Point, last_values, parse_points
from ahstore.jobs.observer import Observer
from ahstore.jobs.options import RunOptions
from ahstore.jobs.provenance.explanation import explain
from ahstore.jobs.provenance.lineage import Lineage, LineageReader
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.provenance.tracing import explain_evaluation, explain_run
from ahstore.jobs.records import RunRecord, RunRecords, run_cell
from ahstore.jobs.resuming import submit_resume
from ahstore.jobs.running.spawn import Orders, spawn_supervisor
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.spec import CodeChanges, CodeVersion
from ahstore.jobs.submission import (
    GitArguments,
    Submission,
    submit_evaluate,
    submit_rerun,
    submit_train,
    vary_train,
)
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.adding.commits import store_files
from ahstore.versions.publish import Signature
from ahstore.versions.resolve import check_kept

if TYPE_CHECKING:
    from typing_extensions import Unpack

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.3
STOP_SECONDS = 15.0


class Jobs:
    """The runs of a store. Every look at a run settles it if its supervisor has died."""

    def __init__(
        self,
        hub: Hub,
        *,
        runs_root: str,
        store_url: str,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the folder for workspaces and the URL by which a supervisor opens the store.

        ``notify`` hears what whoever starts a run should know of it, each thing once.
        """
        self._hub = hub
        self._storage = hub.repo.storage
        self._runs_root = runs_root
        self._store_url = store_url
        self._notify = notify
        self._told: set[str] = set()
        self._records = RunRecords(hub.repo)
        self._observer = Observer(hub, self._records)

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
        submission = submit_train(
            self._hub,
            model,
            branch,
            dataset=(dataset, dataset_ref),
            checkpoint=checkpoint,
            volume=volume,
            git=GitArguments(git_repo, git_revision, git_subpath),
            options=options,
        )
        return self._start(submission, at_once=options.get("at_once"))

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
        return [self._start(each, at_once=options.get("at_once")) for each in (first, *others)]

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
        return self._start(submission, at_once=options.get("at_once"))

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
            submit_rerun(self._hub, model, ref, git_repo=git_repo, python=python, env=env)
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
        return self._start(submission, at_once=at_once)

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
            return replace(now, stop_by=self._hub.user)

        record = self._look(self._records.change(run, ask))
        if record.state == "Running" and record.stop_by is not None:
            # One that is still Pending looks before it begins, and takes no signals yet.
            _hurry(record.supervisor)
        return self.wait(record, STOP_SECONDS)

    def delete(self, run: RunRecord) -> None:
        """Delete a run's record, its logs and its workspace; what it committed stays.

        Raises:
            NotFoundError: it is deleted already.
            ConflictError: it is not over: stop it first.
        """
        record = self._look(run)
        self._records.delete(record)
        delete_log(self._storage, record.id)
        if record.supervisor.is_here():
            Workspace(record.workspace).remove()

    def lineage(
        self, asset: AssetRecord, commit: CommitId, *, up: bool = True, down: bool = True
    ) -> Lineage:
        """Return what a version was made of and what came of it.

        Raises:
            NotFoundError: the commit is not in the store.
        """
        return LineageReader(self._hub, self._records).read(asset, commit, up=up, down=down)

    def why(self, asset: AssetRecord, commit: CommitId) -> Sequence[str]:
        """Return in plain words, a paragraph each, where a version comes from and how it did.

        Raises:
            NotFoundError: the commit is not in the store.
        """
        return explain(self._hub, LineageReader(self._hub, self._records), asset, commit)

    def code_of(self, asset: AssetRecord, commit: CommitId) -> CodeVersion:
        """Return the code of the training that made a version.

        Raises:
            NotFoundError: the commit is not in the store.
            InvalidInputError: it was not made by a training.
        """
        origin = find_origin(self._hub.repo, commit, self._hub.repo.read_commit(commit))
        if origin is None:
            raise InvalidInputError(
                f"{asset.path} @ {commit.hex()[:8]} was not made by a training: it has no code",
                commit=commit.hex(),
            )
        return origin.code

    def read_patch(self, code: CodeVersion) -> bytes:
        """Return the uncommitted changes that the code has on its commit; empty if it has none.

        Raises:
            NotFoundError: the store does not have them any more.
        """
        return read_patch(self._hub.repo, code) or b""

    def download_code(self, code: CodeVersion, folder: str, *, git_repo: str | None = None) -> None:
        """Make ``folder``, new or empty, a checkout of the code, its uncommitted changes applied.

        ``git_repo`` says where the code is now. Git asks for its credentials where it always does.

        Raises:
            InvalidInputError: something is in the folder.
            NotFoundError: the repository, its commit or the changes are not there.
            RunFailedError: the changes do not lead to the code that was recorded.
        """
        if os.path.lexists(folder) and not (os.path.isdir(folder) and not os.listdir(folder)):
            raise InvalidInputError(f"{folder} is there already: name a new folder", path=folder)
        source = parse_git_source(git_repo or code.repo, base=os.getcwd())
        lay_out(
            Git(caller_environment()),
            source,
            replace(code, commit=check_commit(code.commit)),
            os.path.abspath(folder),
            patch=read_patch(self._hub.repo, code),
        )

    def why_evaluation(self, evaluation: EvaluationRecord) -> Sequence[str]:
        """Return in plain words where the numbers of an evaluation come from, a paragraph each."""
        reader = LineageReader(self._hub, self._records)
        return explain_evaluation(self._hub, reader, self._records, evaluation)

    def why_run(self, run: RunRecord) -> Sequence[str]:
        """Return in plain words what a run was given and what it made, a paragraph each."""
        return explain_run(self._hub, LineageReader(self._hub, self._records), self._look(run))

    def _look(self, run: RunRecord) -> RunRecord:
        return self._observer.look(self._records.get(run.spec.model, run.id))

    def _start(self, submission: Submission, *, at_once: int | None = None) -> RunRecord:
        """Record the run with a supervisor that waits, then send it off (see ``spawn.py``)."""
        if at_once is not None and at_once < 1:
            raise InvalidInputError(f"at least 1 run must be allowed at once, not {at_once}")
        spec = submission.spec
        for notice in submission.notices:
            if notice not in self._told:
                self._told.add(notice)
                self._notify(notice)
        run = RunId(new_entity_id())
        workspace = Workspace.of(self._runs_root, run)
        workspace.create()
        try:
            with spawn_supervisor(run, workspace) as supervisor:
                record = self._record(
                    RunRecord(
                        id=run,
                        name=self._records.reserve_name(spec.model, run),
                        by=self._hub.user,
                        spec=spec,
                        state="Pending",
                        supervisor=supervisor.identity,
                        workspace=workspace.root,
                        created=self._storage.now(),
                    ),
                    submission.changes,
                )
                supervisor.send(
                    Orders(
                        store_url=self._store_url,
                        cache_root=self._hub.repo.cache_root,
                        cache_size=self._hub.repo.cache_size,
                        user=self._hub.user,
                        model=spec.model,
                        secret_url=submission.source.secret_url,
                        storage_options=self._hub.repo.storage_options,
                        at_once=at_once,
                        hidden=submission.hidden,
                    )
                )
        except BaseException:
            # A record that was written all the same is settled by the first look at it.
            workspace.remove()
            raise
        return record

    def _record(self, record: RunRecord, changes: Changes | None) -> RunRecord:
        """Write a run's first record, and before it, under the same lease, the changes it names."""
        spec = record.spec
        with self._hub.repo.session([run_cell(spec.model, record.id)]) as session:
            if changes is not None:
                held = store_files(
                    self._hub.repo,
                    session,
                    spec.model,
                    {PATCH_NAME: changes.patch},
                    Signature(f"Uncommitted changes of {record.name}", record.by),
                )
                kept = CodeChanges(held, changes.tree, changes.files, len(changes.patch))
                code = replace(spec.code, changes=kept)
                record = replace(record, spec=replace(spec, code=code))
            elif spec.code.changes is not None:
                # Those of another run or version, which may be deleted right now.
                ref = "main" if spec.verifies is None else spec.verifies.ref
                held = spec.code.changes.commit
                check_kept(self._hub.repo, spec.model, ref, held, session)
            return self._records.create(record, session)


def _hurry(supervisor: ProcessIdentity) -> None:
    """Have a supervisor on this machine look at its run's record at once."""
    if not supervisor.is_here():
        return
    with contextlib.suppress(AhError, OSError):
        # The descriptor holds on to the process: its number can't become another's meanwhile.
        descriptor = os.pidfd_open(supervisor.pid)
        try:
            if supervisor.is_alive():
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)
