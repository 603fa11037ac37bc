"""Evaluations: write-once results of one model commit on one dataset commit.

Owns the tree of each model's evaluations (commit/dataset/evaluation → entry) under one cell, so
that tens of thousands are listed, or added, with a few reads and writes. An evaluation stays with
its commits wherever branches move. Measuring is the business of ``jobs``.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.assets import Assets, evaluations_cell
from ahstore.hub.catalogue import Catalogue, Changes, View
from ahstore.hub.evaluation_rows import EvaluationEntry, EvaluationReader, Side
from ahstore.hub.paths import AssetType, check_ref
from ahstore.hub.payload import make_row, read_row
from ahstore.hub.records import AssetRecord, EvaluationRecord, parse_stored_id
from ahstore.hub.results import write_results
from ahstore.ids import AssetId, CommitId, EntityId, EvaluationId, RunId, parse_entity_id
from ahstore.objects.page import KEY
from ahstore.objects.tree import Row
from ahstore.versions.refs import Ref, Refs
from ahstore.versions.repository import Repository
from ahstore.versions.resolve import Resolved, check_kept, resolve
from ahstore.versions.session import WriteSession

EVALUATIONS_FOLDER = "cells/evaluations/"

_HINT_DIGITS = 6


@dataclass(frozen=True, slots=True)
class NewEvaluation:
    """Results to record. References mean what they mean then, or the commits that are given."""

    model_ref: str
    dataset: AssetRecord | AssetId
    dataset_ref: str
    results: Mapping[str, Any]
    run: RunId | None = None
    model_commit: CommitId | None = None
    dataset_commit: CommitId | None = None


Guard = Callable[[Sequence[EvaluationId]], None]
"""Called with the ids before each attempt to record; stops it by raising."""


class Evaluations:
    """The evaluations of a store's models, recorded by ``user``."""

    def __init__(self, repo: Repository, assets: Assets, user: str) -> None:
        self._repo = repo
        self._assets = assets
        self._user = user

    def create(
        self,
        model: AssetRecord | AssetId,
        new: Sequence[NewEvaluation],
        *,
        guard: Guard | None = None,
    ) -> list[EvaluationRecord]:
        """Record evaluations of one model, all at once or none.

        Raises:
            NotFoundError: the model, a dataset or a reference is not there.
            InvalidInputError: it is no model, no dataset, or the results can't be recorded.
        """
        subject = self._asset(model, "model")
        born: list[EvaluationEntry] = []

        def propose(view: View, session: WriteSession) -> Changes:
            if view.closed:
                raise NotFoundError(f"model {subject.path} was deleted meanwhile", id=subject.id)
            if guard is not None:
                guard([entry.id for entry in born])
            return [(entry.key, make_row(session, entry.key, entry.to_value())) for entry in born]

        if new:
            catalogue = self._catalogue(subject.id)
            with self._repo.session([catalogue.cell]) as session:
                # What is referred to is looked up under the lease: gc then waits, or keeps it.
                sides = _Sides(self._repo, session)
                born += [self._born(subject, item, sides) for item in new]
                catalogue.change(session, propose)
        reader = EvaluationReader(subject, _path_at_birth)
        return [reader.read(entry.key, entry.to_value()) for entry in born]

    def list(
        self,
        model: AssetRecord | AssetId,
        *,
        commit: CommitId | None = None,
        dataset: AssetRecord | AssetId | None = None,
    ) -> list[EvaluationRecord]:
        """Return a model's evaluations, newest first: all, or those of a commit or a dataset.

        Raises:
            NotFoundError: there is no such model.
        """
        subject = self._asset(model, "model")
        on = dataset.id if isinstance(dataset, AssetRecord) else dataset
        prefix = ""
        if commit is not None:
            prefix = f"{commit.hex()}/" if on is None else f"{commit.hex()}/{on}/"
        rows: Iterable[Row] = self._catalogue(subject.id).view().scan(prefix)
        if on is not None and commit is None:
            rows = (row for row in rows if f"/{on}/" in row[KEY])
        reader = EvaluationReader(subject, self._path_now)
        found = [reader.read(row[KEY], read_row(self._repo, row)) for row in rows]
        return sorted(found, key=lambda record: (-record.created, record.id))

    def get(self, evaluation: EvaluationId) -> EvaluationRecord:
        """Return one evaluation.

        Raises:
            NotFoundError: there is none of this id.
        """
        subject, row = self._locate(evaluation)
        reader = EvaluationReader(subject, self._path_now)
        return reader.read(row[KEY], read_row(self._repo, row))

    def delete(self, evaluation: EvaluationId) -> None:
        """Delete one evaluation.

        Raises:
            NotFoundError: there is none of this id.
        """
        subject, found = self._locate(evaluation)

        def propose(view: View, _: WriteSession) -> Changes:
            return [] if view.find(found[KEY]) is None else [(found[KEY], None)]

        self._change(subject.id, propose)

    def _born(self, model: AssetRecord, new: NewEvaluation, sides: _Sides) -> EvaluationEntry:
        dataset = self._asset(new.dataset, "dataset")
        # A run's record needs the commits too, and it is there: the guard has just written it.
        sides.kept_by_run = new.run is not None
        side = sides.get(model, new.model_ref, new.model_commit)
        return EvaluationEntry(
            id=_new_id(model.id, side.commit),
            model=side,
            dataset=dataset.id,
            dataset_side=sides.get(dataset, new.dataset_ref, new.dataset_commit),
            dataset_path=dataset.path,
            results=write_results(new.results),
            created=time.time(),
            run=new.run,
            by=self._user,
        )

    def _asset(self, asset: AssetRecord | AssetId, type_: AssetType) -> AssetRecord:
        found = asset if isinstance(asset, AssetRecord) else self._assets.get_by_id(asset)
        if found.type != type_:
            raise InvalidInputError(f"{found.path} is a {found.type}, a {type_} is needed")
        return found

    def _catalogue(self, model: AssetId) -> Catalogue:
        return Catalogue(self._repo, evaluations_cell(model))

    def _change(self, model: AssetId, propose: Callable[[View, WriteSession], Changes]) -> None:
        catalogue = self._catalogue(model)
        with self._repo.session([catalogue.cell]) as session:
            catalogue.change(session, propose)

    def _locate(self, evaluation: EvaluationId) -> tuple[AssetRecord, Row]:
        """Find an evaluation by its id, whose last digits say where to look (docs: hub.md)."""
        for model in self._models_hinted(evaluation):
            rows = self._catalogue(model).view().scan(evaluation[-_HINT_DIGITS:])
            row = next((row for row in rows if row[KEY].endswith(f"/{evaluation}")), None)
            if row is not None:
                with suppress(NotFoundError):
                    return self._assets.get_by_id(model), row
        raise NotFoundError(f"there is no evaluation with the id {evaluation}", id=evaluation)

    def _models_hinted(self, evaluation: EvaluationId) -> Iterator[AssetId]:
        parse_entity_id(evaluation)
        start = evaluation[-2 * _HINT_DIGITS : -_HINT_DIGITS]
        # One listing, where Cells.list would look into every folder. A UUID is its own escape.
        for name in self._repo.storage.list_folders(EVALUATIONS_FOLDER):
            if name.startswith(start):
                yield AssetId(parse_stored_id(name))

    def _path_now(self, dataset: AssetId, at_birth: str) -> str:
        try:
            return self._assets.get_by_id(dataset).path
        except NotFoundError:
            return at_birth


class _Sides:
    """Resolves references, each once, for evaluations that are recorded together."""

    def __init__(self, repo: Repository, session: WriteSession) -> None:
        self._repo = repo
        self._session = session
        self.kept_by_run = False
        self._sides: dict[tuple[AssetId, str, CommitId | None], Side] = {}
        self._tags: dict[AssetId, list[Ref]] = {}

    def get(self, asset: AssetRecord, ref: str, commit: CommitId | None) -> Side:
        key = (asset.id, ref, commit)
        side = self._sides.get(key)
        if side is None:
            side = self._sides[key] = self._resolve(asset, ref, commit)
        return side

    def _resolve(self, asset: AssetRecord, ref: str, commit: CommitId | None) -> Side:
        check_ref(ref)
        found = self._find(asset, ref, commit)
        at = found.commit if commit is None else commit
        branch = found.name if found.kind == "branch" else ""
        if not self.kept_by_run:
            check_kept(self._repo, asset.id, ref, at, self._session)
        return Side(at, ref, branch, self._tags_at(asset, at))

    def _find(self, asset: AssetRecord, ref: str, commit: CommitId | None) -> Resolved:
        if commit is None:
            return resolve(self._repo, asset.id, ref)
        if self._repo.read_commit(commit).asset != asset.id:
            raise NotFoundError(f"{asset.path} has no commit {commit.hex()}", commit=commit.hex())
        try:
            # What the name means by now tells only whether it is a branch.
            return resolve(self._repo, asset.id, ref)
        except (NotFoundError, InvalidInputError):
            return Resolved(commit, "commit", commit.hex())

    def _tags_at(self, asset: AssetRecord, commit: CommitId) -> tuple[str, ...]:
        if asset.id not in self._tags:
            self._tags[asset.id] = Refs(self._repo).list(asset.id, "tag")
        return tuple(tag.name for tag in self._tags[asset.id] if tag.commit == commit)


def _new_id(model: AssetId, commit: CommitId) -> EvaluationId:
    """Return a random UUID (version 8) that ends with digits of the model's id and the commit."""
    hint = int(model[:_HINT_DIGITS] + commit.hex()[:_HINT_DIGITS], 16)
    number = secrets.randbits(80) << 48 | hint
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return EvaluationId(EntityId(str(uuid.UUID(int=number))))


def _path_at_birth(_: AssetId, path: str) -> str:
    return path
