"""Publishing what a run made: one commit of a training's outputs, one record of an evaluation.

Write order: docs/format/runs.md, "Publishing". Before each attempt the run's record is swapped to
``Committing`` with the id that is about to be published; that swap fails for a run that was
declared over, and the id lets others tell, after a death at any point, what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ahstore.errors import AhError, InvalidInputError, RunFailedError
from ahstore.hub.evaluations import NewEvaluation
from ahstore.hub.hub import Hub
from ahstore.ids import CommitId, EvaluationId
from ahstore.jobs.code.command import program_name
from ahstore.jobs.code.laying_out import patch_file
from ahstore.jobs.progress import ReusedRun
from ahstore.jobs.provenance.verdict import VERDICT_KEY, judge
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.running.metadata import METADATA_NAME, encode_metadata, history_of
from ahstore.jobs.running.outputs import explain, has_files, read_metrics, read_results
from ahstore.jobs.running.reuse import put_on_branch
from ahstore.jobs.running.watch import check_goes_on
from ahstore.jobs.running.workspace import Workspace
from ahstore.jobs.spec import PinnedVersion, RunSpec
from ahstore.versions.adding.commits import MAIN, commit_tree
from ahstore.versions.refs import Refs
from ahstore.versions.repository import Repository


class Publication:
    """The last step of a run, by its supervisor."""

    def __init__(
        self,
        hub: Hub,
        records: RunRecords,
        record: RunRecord,
        workspace: Workspace,
        *,
        command: Sequence[str],
        started: float,
        on_phase: Callable[[str], None],
    ) -> None:
        self._hub = hub
        self._records = records
        self._record = record
        self._spec = record.spec
        self._workspace = workspace
        self._command = tuple(command)
        self._started = started
        self._on_phase = on_phase
        self._reused: ReusedRun | None = None

    def publish(self) -> RunRecord:
        """Publish and return the run's record, which says what was published.

        Raises:
            RunFailedError: the code left nothing, or something that can't be kept.
            StopRequestedError, RunOverError: nothing may be published for the run any more.
            OutcomeUnknownError: it may have been published.
            NotFoundError: the model was deleted meanwhile.
        """
        self._hub.get_asset_by_id(self._spec.model)
        if self._spec.type == "train":
            self._commit_outputs()
        elif self._spec.type == "evaluate":
            self._record_results()
        else:
            self._record_verdict()
        self._on_phase("committed")
        return self._record

    def take(self, earlier: RunRecord) -> RunRecord:
        """Publish what an earlier run made as the result of this one; raises what `publish` does."""
        self._hub.get_asset_by_id(self._spec.model)
        self._reused = earlier.reused_from or ReusedRun(earlier.id, earlier.name)
        if self._spec.type == "train":
            put_on_branch(
                self._hub.repo,
                self._record,
                earlier,
                guard=lambda commit: self._enter(commit=commit),
            )
        else:
            self._enter(evaluation=earlier.evaluation)
        self._on_phase("committed")
        return self._record

    def _commit_outputs(self) -> None:
        spec, output = self._spec, self._workspace.output
        assert spec.branch is not None
        if not has_files(output):
            raise RunFailedError(f"{program_name(self._command)} wrote nothing to AH_OUTPUT_DIR")
        metadata = encode_metadata(
            spec,
            run=self._record.id,
            name=self._record.name,
            by=self._record.by,
            command=self._command,
            started=self._started,
            ended=self._hub.repo.storage.now(),
            environment=self._record.environment,
            outcome=self._record.outcome,
            metrics=self._metrics(),
            history=history_of(self._record),
        )
        try:
            made = commit_tree(
                self._hub.repo,
                spec.model,
                spec.branch,
                message=self._message(),
                committer=self._record.by,
                # A colon at the end: everything before it is the local path, colons in it or not.
                add=[f"{output}/*:"],
                extra={METADATA_NAME: metadata, **patch_file(self._hub.repo, spec.code)},
                base=starting_point(self._hub.repo, spec, spec.start),
                metadata={"run": self._record.id, "run_name": self._record.name},
                guard=lambda commit: self._enter(commit=commit),
            )
        except InvalidInputError as error:
            raise RunFailedError(explain(error, output)) from error
        if made is None:
            raise RunFailedError(f"the outputs are what branch {spec.branch} holds already")

    def _record_results(self) -> None:
        spec = self._spec
        assert spec.checkpoint is not None
        results = read_results(self._workspace.results, program_name(self._command))
        new = NewEvaluation(
            spec.checkpoint.ref,
            spec.dataset.asset,
            spec.dataset.ref,
            results,
            self._record.id,
            model_commit=spec.checkpoint.commit,
            dataset_commit=spec.dataset.commit,
        )
        self._hub.create_evaluations(
            spec.model, [new], guard=lambda ids: self._enter(evaluation=ids[0])
        )

    def _record_verdict(self) -> None:
        spec, output = self._spec, self._workspace.output
        assert spec.verifies is not None
        if not has_files(output):
            raise RunFailedError(f"{program_name(self._command)} wrote nothing to AH_OUTPUT_DIR")
        check_goes_on(self._records.get(spec.model, self._record.id), self._record)
        try:
            verdict = judge(self._hub.repo, self._record, output)
        except InvalidInputError as error:
            raise RunFailedError(explain(error, output)) from error
        self._record = self._records.change(
            self._record,
            lambda now: replace(now, outcome={**now.outcome, "verdict": verdict.words}),
        )
        new = NewEvaluation(
            spec.verifies.ref,
            spec.dataset.asset,
            spec.dataset.ref,
            {VERDICT_KEY: verdict.to_json()},
            self._record.id,
            model_commit=spec.verifies.commit,
            dataset_commit=spec.dataset.commit,
        )
        self._hub.create_evaluations(
            spec.model, [new], guard=lambda ids: self._enter(evaluation=ids[0])
        )

    def _enter(
        self, *, commit: CommitId | None = None, evaluation: EvaluationId | None = None
    ) -> None:
        """Swap the record to Committing: the guard before each attempt to publish."""

        def edit(now: RunRecord) -> RunRecord:
            check_goes_on(now, self._record)
            return replace(
                now,
                state="Committing",
                commit=commit,
                evaluation=evaluation,
                publishing=None,
                reused_from=self._reused,
            )

        self._on_phase("before-committing")
        self._record = self._records.change(self._record, edit)
        self._on_phase("committing")

    def _message(self) -> str:
        code, dataset = self._spec.code, self._spec.dataset
        return f"Train on {dataset} with {code.repo} at {code.commit[:8]} ({self._record.name})"

    def _metrics(self) -> object:
        """Return what a training left in ``AH_METRICS_FILE``; it is no reason to fail."""
        try:
            return read_metrics(self._workspace.results)
        except AhError:
            return None


def starting_point(
    repo: Repository, spec: RunSpec, continued: PinnedVersion | None
) -> CommitId | None:
    """Return the parent for a branch that is new: what is continued if it is the model's own."""
    if continued is not None and continued.asset == spec.model:
        return continued.commit
    main = Refs(repo).find(spec.model, MAIN)
    return None if main is None else main.commit
