"""Where versions and numbers come from: the questions that are asked of what runs have recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from ahstore.errors import InvalidInputError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import CommitId
from ahstore.jobs.code.git import Git, check_commit
from ahstore.jobs.code.git_source import parse_git_source
from ahstore.jobs.code.laying_out import lay_out, read_patch
from ahstore.jobs.environment import caller_environment
from ahstore.jobs.provenance.explanation import explain
from ahstore.jobs.provenance.lineage import Lineage, LineageReader
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.provenance.tracing import explain_evaluation, explain_run
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.spec import CodeVersion


class Provenance:
    """Answers for one store. ``look`` returns a run's record as it is now."""

    def __init__(
        self, hub: Hub, records: RunRecords, *, look: Callable[[RunRecord], RunRecord]
    ) -> None:
        self._hub = hub
        self._records = records
        self._look = look

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
