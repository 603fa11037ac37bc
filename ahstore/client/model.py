"""Models: assets with the runs that made them and what was measured on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ahstore.client import describe
from ahstore.client.asset import Asset
from ahstore.client.core import Core
from ahstore.client.dataset import Dataset, find_dataset, find_dataset_commit
from ahstore.client.run import Run
from ahstore.client.target import find_asset_record
from ahstore.client.version import Version
from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.conditions import those_that_meet
from ahstore.hub.paths import DEFAULT_REF
from ahstore.hub.records import AssetRecord

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ahstore.jobs.options import RunOptions
    from ahstore.jobs.records import RunRecord


class Model(Asset):
    """A model: versions of its files, the runs that made them and what was measured on them."""

    def train(
        self,
        branch: str,
        dataset: Dataset | Version | str,
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        *,
        checkpoint: Version | str | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Start a training and return at once; the run goes on by itself.

        What the code leaves in ``AH_OUTPUT_DIR`` becomes one commit on ``branch``.

        Args:
            branch: target branch, made when the training succeeds if it is not there.
            dataset: a dataset (its ``main``), a version of one, or a path.
            volume: the most that the run's files may take, ``100Mi`` or bytes.
            git_repo: URL or local path of the repository with the code.
            git_revision: branch, tag or commit.
            git_subpath: folder of the code in the repository.
            checkpoint: a model's version to continue from, or its path.
            options: see `RunOptions`.

        Raises:
            InvalidInputError: an argument is malformed.
            NotFoundError: there is no such dataset, checkpoint, repository, revision or folder.
        """
        data, data_ref = find_dataset(self.core, dataset)
        record = self.core.jobs.train(
            self.record,
            branch=branch,
            dataset=data.record,
            dataset_ref=data_ref,
            checkpoint=None if checkpoint is None else self._checkpoint(checkpoint),
            volume=volume,
            git_repo=git_repo,
            git_revision=git_revision,
            git_subpath=git_subpath,
            **options,
        )
        return self._training(record, data)

    def _training(self, record: RunRecord, data: Dataset) -> Run:
        """Return a training that has started, and say so."""
        run, branch = self.run_of(record), record.spec.branch
        what = "Training"
        if run.checkpoint_id:
            what = f"Continue training commit {run.checkpoint_id[:8]}"
        self.core.notify(f"{what} with codes {run.git_repo} and dataset {data.name}")
        self.core.notify(f"Generated model files will be saved to branch {branch} of {self.title}")
        return run

    def sweep(
        self,
        branch: str,
        grid: Mapping[str, Sequence[Any]],
        dataset: Dataset | Version | str,
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        *,
        checkpoint: Version | str | None = None,
        **options: Unpack[RunOptions],
    ) -> list[Run]:
        """Start a training for every combination of the values in ``grid``, a branch for each.

        All have the same commits of code, dataset and checkpoint, whatever moves meanwhile.

        Args:
            branch: what the branches' names begin with: ``sweep`` gives ``sweep-lr-0.1-bs-32``.
            grid: values by parameter, ``{"lr": [0.1, 0.01], "bs": [16, 32]}``.
            dataset: as for `train`, and so are those that follow.
            volume: of each run.
            git_repo: URL or local path of the repository with the code.
            git_revision: branch, tag or commit.
            git_subpath: folder of the code in the repository.
            checkpoint: a model's version to continue from, or its path.
            options: as for `train`; ``params`` are the same for all, ``at_once`` bounds how many
                work at once.

        Raises:
            InvalidInputError: a parameter has no value, or there are too many combinations.
        """
        from ahstore.jobs.sweep import branch_names, combinations  # start-up

        points, params = combinations(grid), options.pop("params", None) or {}
        names = branch_names(branch, points)
        data, data_ref = find_dataset(self.core, dataset)
        records = self.core.jobs.sweep(
            self.record,
            [(name, {**params, **point}) for name, point in zip(names, points, strict=True)],
            dataset=data.record,
            dataset_ref=data_ref,
            checkpoint=None if checkpoint is None else self._checkpoint(checkpoint),
            volume=volume,
            git_repo=git_repo,
            git_revision=git_revision,
            git_subpath=git_subpath,
            **options,
        )
        return [self._training(record, data) for record in records]

    def evaluate_version(
        self,
        version: Version,
        dataset: Dataset | Version | str,
        volume: str | int,
        git_repo: str,
        git_revision: str,
        git_subpath: str = ".",
        **options: Unpack[RunOptions],
    ) -> Run:
        """Start an evaluation of a version of this model; see `Version.evaluate`."""
        data, data_ref = find_dataset(self.core, dataset)
        record = self.core.jobs.evaluate(
            self.record,
            version.ref,
            dataset=data.record,
            dataset_ref=data_ref,
            volume=volume,
            git_repo=git_repo,
            git_revision=git_revision,
            git_subpath=git_subpath,
            **options,
        )
        run = self.run_of(record)
        self.core.notify(
            f"Evaluating commit {run.checkpoint_id[:8]} of {self.title} "
            f"with codes {run.git_repo} and dataset {data.name}"
        )
        return run

    def record_evaluation(
        self,
        version: Version,
        metrics: Mapping[str, Any],
        dataset: Dataset | Version | str,
        *,
        key: str = "metric",
    ) -> dict[str, Any]:
        """Record results of a version of this model; see `Version.create_evaluation`.

        Raises:
            InvalidInputError: there are none.
        """
        data, data_ref = find_dataset(self.core, dataset)
        head = version.head
        if not metrics:
            raise InvalidInputError("an evaluation needs at least one metric")
        record = self.core.hub.create_evaluation(
            self.record, version.ref, data.record, data_ref, {key: dict(metrics)}
        )
        self.core.notify(f"Creating evaluation of commit {head.hex()[:8]} of {self.title}")
        return describe.evaluation(record)

    def _checkpoint(self, checkpoint: Version | str) -> tuple[AssetRecord, str]:
        if isinstance(checkpoint, str):
            record, ref = find_asset_record(self.core.hub, checkpoint, only_type="model")
            return record, ref or DEFAULT_REF
        return checkpoint.asset.as_model().record, checkpoint.ref

    def as_model(self) -> Model:
        """Return itself."""
        return self

    def list_workflow(self) -> list[dict[str, Any]]:
        """Return the train and evaluate runs of this model, newest first."""
        return [run.to_dict() for run in self.runs()]

    def runs(self) -> Iterator[Run]:
        """Yield the runs of this model, newest first."""
        for record in self.core.jobs.list(self.record):
            yield self.run_of(record)

    def list_evaluation(
        self,
        *,
        version: Version | None = None,
        dataset: Dataset | Version | str | None = None,
        where: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Return the evaluations of all commits of this model, newest first.

        Args:
            version: only those of the commit that this names now.
            dataset: only those on it; of a version (``F/A:REF``), on that commit.
            where: only those that meet all of these: ``"accuracy"`` (it was measured),
                ``"accuracy>=0.9"``, ``"loss<1"``.
        """
        on, at = (None, None) if dataset is None else find_dataset_commit(self.core, dataset)
        commit = None if version is None else version.head
        found = self.core.hub.list_evaluations(self.record, commit=commit, dataset=on)
        if at is not None:
            found = [record for record in found if record.dataset_commit == at]
        if where:
            found = those_that_meet(found, where)
        return [describe.evaluation(record) for record in found]

    def get_workflow(self, name: str) -> Run:
        """Return a run of this model by name or id.

        Raises:
            NotFoundError: the model has no such run.
        """
        record = self.core.jobs.get(name)
        if record.spec.model != self.record.id:
            raise NotFoundError(f"there is no run {name!r} of {self.title}", name=name)
        return self.run_of(record)

    def run_of(self, record: RunRecord) -> Run:
        """Return the run that a record tells of."""
        return Run(self.core, record)


def make_asset(core: Core, record: AssetRecord) -> Model | Dataset:
    """Return the model or dataset that a record tells of."""
    return Model(core, record) if record.type == "model" else Dataset(core, record)
