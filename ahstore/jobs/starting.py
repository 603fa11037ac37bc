"""Starting a run: its record is written, naming what will carry it out, before that can begin.

Here: the worker waits for a word while the record is written. Beyond this machine: the record says
which engine's job it will be, the job is submitted, its number is added. Whoever dies in between
leaves a run that the first to look at it settles (docs/format/runs.md, "Submitting").
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from ahstore.errors import AhError, EngineError, InvalidInputError, StorageError, UnsupportedError
from ahstore.hub.hub import Hub
from ahstore.ids import RunId, new_entity_id
from ahstore.jobs.code.laying_out import PATCH_NAME
from ahstore.jobs.code.working_copy import Changes
from ahstore.jobs.engines.choice import LOCAL, Choice, EngineSettings, check_engine, choose
from ahstore.jobs.engines.contract import Job
from ahstore.jobs.engines.local import LocalEngine
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.options import RunOptions
from ahstore.jobs.records import RunRecord, RunRecords, run_cell
from ahstore.jobs.running.devices import count_gpus
from ahstore.jobs.running.spawn import Orders, job_name, request_elsewhere, request_here
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.spec import CodeChanges
from ahstore.jobs.submission import Submission
from ahstore.storage.process import ProcessIdentity
from ahstore.versions.adding.commits import store_files
from ahstore.versions.publish import Signature
from ahstore.versions.resolve import check_kept
from ahstore.versions.session import WriteSession


class Starter:
    """Starts runs of a store."""

    def __init__(
        self,
        hub: Hub,
        records: RunRecords,
        *,
        runs_root: str,
        store_url: str,
        engines: EngineSettings,
    ) -> None:
        self._hub = hub
        self._records = records
        self._runs_root = runs_root
        self._store_url = store_url
        self._engines = engines

    def start(self, submission: Submission, options: RunOptions) -> RunRecord:
        """Record the run and send it off.

        Raises:
            InvalidInputError: an option is malformed, or asks for what is not there.
            EngineError: the engine refuses the run, or does not answer.
            StorageError: the disk fails, or the worker can't be started.
        """
        at_once = options.get("at_once")
        if at_once is not None and at_once < 1:
            raise InvalidInputError(f"at least 1 run must be allowed at once, not {at_once}")
        name = check_engine(options.get("engine") or self._engines.default)
        given = dict(options.get("engine_options") or {})
        if name == LOCAL:
            if given:
                raise InvalidInputError("the engine local has no options")
            return self._start_here(submission, at_once)
        if at_once is not None:
            raise InvalidInputError(f"{name} has a queue of its own: at_once is for this machine")
        self._check_no_secrets(submission, name)
        return self._start_elsewhere(
            submission, name, {**self._engines.options.get(name, {}), **given}
        )

    def _start_here(self, submission: Submission, at_once: int | None) -> RunRecord:
        spec = submission.spec
        run = RunId(new_entity_id())
        workspace = Workspace.of(self._runs_root, run)
        orders = Orders(
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
        engine = LocalEngine(caller_environment(), count_gpus)
        engine.check_resources(spec.resources)
        workspace.create()
        announced = _Announced()
        try:
            engine.submit(
                request_here(run, workspace, orders, spec.resources),
                lambda job: announced.keep(
                    self._record(run, submission, _process(job), workspace=workspace.root)
                ),
            )
        except BaseException:
            # A record that was written all the same is settled by the first look at it.
            workspace.remove()
            raise
        return announced.record

    def _start_elsewhere(
        self, submission: Submission, name: str, options: Mapping[str, str]
    ) -> RunRecord:
        spec = submission.spec
        run = RunId(new_entity_id())
        choice = choose(
            name,
            options,
            runs_root=self._runs_root,
            job_name=job_name(run),
            store_url=self._store_url,
        )
        orders = Orders(
            store_url=self._store_url,
            cache_root=choice.cache_dir,
            cache_size=self._hub.repo.cache_size,
            user=self._hub.user,
            model=spec.model,
            secret_url=None,
            is_elsewhere=True,
            runs_root=choice.runs_dir,
        )
        request = request_elsewhere(
            run, orders, spec.resources, python=choice.python, log=choice.log
        )
        me = ProcessIdentity.current()
        announced = _Announced()
        try:
            job = choice.engine.submit(
                request, lambda job: announced.keep(self._record(run, submission, me, job=job))
            )
            return self._note_job(choice, announced.record, job)
        except BaseException as error:
            if announced.found is not None:
                self._give_up(announced.found, error)
            raise

    def _note_job(self, choice: Choice, record: RunRecord, job: Job) -> RunRecord:
        """Add the job's number, which some engines only tell once it is submitted."""
        if record.job == job:
            return record
        record = self._records.change(
            record, lambda now: None if now.job and now.job.id else replace(now, job=job)
        )
        if record.is_over:
            # It was stopped before the number was known to who stopped it.
            with contextlib.suppress(EngineError):
                choice.engine.cancel(job)
        return record

    def _give_up(self, record: RunRecord, error: BaseException) -> None:
        """Declare a run over that may not have been submitted: a job that begins finds it so."""

        def edit(now: RunRecord) -> RunRecord | None:
            if not now.awaits_worker:
                return None
            reason = f"it could not be submitted: {error or type(error).__name__}"
            return replace(now, state="Failed", reason=reason, ended=self._hub.repo.storage.now())

        with contextlib.suppress(AhError, OSError):
            self._records.change(record, edit)

    def _record(
        self,
        run: RunId,
        submission: Submission,
        supervisor: ProcessIdentity,
        *,
        workspace: str = "",
        job: Job | None = None,
    ) -> RunRecord:
        spec = submission.spec
        record = RunRecord(
            id=run,
            name=self._records.reserve_name(spec.model, run),
            by=self._hub.user,
            spec=spec,
            state="Pending",
            supervisor=supervisor,
            workspace=workspace,
            created=self._hub.repo.storage.now(),
            job=job,
        )
        with self._hub.repo.session([run_cell(spec.model, run)]) as session:
            if submission.changes is not None:
                record = self._keep_changes(record, submission.changes, session)
            elif spec.code.changes is not None:
                # Those of another run or version, which may be deleted right now.
                ref = "main" if spec.verifies is None else spec.verifies.ref
                held = spec.code.changes.commit
                check_kept(self._hub.repo, spec.model, ref, held, session)
            return self._records.create(record, session)

    def _keep_changes(
        self, record: RunRecord, changes: Changes, session: WriteSession
    ) -> RunRecord:
        """Write, before a run's first record and under the same lease, the changes it names."""
        spec = record.spec
        held = store_files(
            self._hub.repo,
            session,
            spec.model,
            {PATCH_NAME: changes.patch},
            Signature(f"Uncommitted changes of {record.name}", record.by),
        )
        kept = CodeChanges(held, changes.tree, changes.files, len(changes.patch))
        return replace(record, spec=replace(spec, code=replace(spec.code, changes=kept)))

    def _check_no_secrets(self, submission: Submission, name: str) -> None:
        if submission.source.secret_url is not None:
            raise InvalidInputError(
                f"the secret in the repository's URL can't be handed on to {name}: have a"
                " credential helper or a key on its nodes"
            )
        if submission.hidden:
            names = ", ".join(sorted(submission.hidden))
            raise InvalidInputError(
                f"the value of {names} is recorded nowhere and can't be handed on to {name}: have"
                " it on its nodes"
            )
        if self._hub.repo.storage_options:
            raise UnsupportedError(
                f"storage_options can't be handed on to {name}: its nodes need credentials of"
                " their own (AWS's variables, profiles, roles)"
            )


class _Announced:
    """Keeps the record that is written while a job is submitted."""

    def __init__(self) -> None:
        self.found: RunRecord | None = None

    def keep(self, record: RunRecord) -> None:
        """Take the record."""
        self.found = record

    @property
    def record(self) -> RunRecord:
        """The record, which has been written."""
        assert self.found is not None
        return self.found


def _process(job: Job) -> ProcessIdentity:
    if job.process is None:
        raise StorageError("the run's supervisor did not start")
    return job.process
