"""How an evaluation is written in the tree of its model, and read back, many at a time.

Implements "Evaluation" of docs/format/hub.md. Every field is checked on the way in. Rows are flat
lists, and checked as wholes: listing 30,000 must not take a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import (
    ADDRESS_BYTES,
    Address,
    AssetId,
    CommitId,
    EntityId,
    EvaluationId,
    RunId,
    parse_address,
    parse_entity_id,
)

FIELDS = 12
"""Elements before the results in what is written now."""

_TYPES: list[type] = [int, float, str, str, str, str, str, bytes, str, str, str, str]
_STRINGS = frozenset([str])
_DATASET_COMMIT = 7
_KEY_PARTS = 3

PathOf = Callable[[AssetId, str], str]
"""The path of a dataset now, given its id and its path when the evaluation was recorded."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two commits of an evaluation and how it was named; ``ref`` without the path."""

    commit: CommitId
    ref: str
    branch: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EvaluationEntry:
    """What is written of an evaluation. ``dataset_path`` is that of its birth."""

    id: EvaluationId
    model: Side
    dataset: AssetId
    dataset_side: Side
    dataset_path: str
    results: dict[str, str]
    created: float
    run: RunId | None
    by: str

    @property
    def key(self) -> str:
        """``commit/dataset/evaluation``."""
        return f"{self.model.commit.hex()}/{self.dataset}/{self.id}"

    def to_value(self) -> list[Value]:
        """Return the list that stands in the row. The commit and the ids are in the key."""
        results: list[Value] = [text for pair in sorted(self.results.items()) for text in pair]
        return [
            FIELDS,
            self.created,
            self.by,
            self.run or "",
            self.model.ref,
            self.model.branch,
            " ".join(self.model.tags),
            bytes(self.dataset_side.commit),
            self.dataset_side.ref,
            self.dataset_side.branch,
            " ".join(self.dataset_side.tags),
            self.dataset_path,
            *results,
        ]


class EvaluationReader:
    """Turns rows of one model's tree into records; ids that repeat are checked once."""

    def __init__(self, model: AssetRecord, path_of: PathOf) -> None:
        self._model = model
        self._path_of = path_of
        self._commits: dict[str, CommitId] = {}
        self._datasets: dict[str, AssetId] = {}
        self._paths: dict[AssetId, str] = {}

    def read(self, key: str, value: Value) -> EvaluationRecord:
        """Return the evaluation of a row.

        Raises:
            CorruptError: it is no such row.
        """
        commit, dataset, evaluation = self._parse_key(key)
        fields, results = _split(key, value)
        _, created, by, run, ref, branch, tags, dataset_commit = fields[:8]
        dataset_ref, dataset_branch, dataset_tags, dataset_path = fields[8:FIELDS]
        path = self._paths.get(dataset)
        if path is None:
            path = self._paths[dataset] = self._path_of(dataset, dataset_path)
        return EvaluationRecord(
            id=evaluation,
            model=self._model.id,
            model_commit=commit,
            model_ref=f"{self._model.path}:{ref}",
            model_branch=branch,
            model_tags=tuple(tags.split()),
            dataset=dataset,
            dataset_commit=CommitId(Address(dataset_commit)),
            dataset_ref=f"{path}:{dataset_ref}",
            dataset_branch=dataset_branch,
            dataset_tags=tuple(dataset_tags.split()),
            results=results,
            created=created,
            run=RunId(_checked_id(key, run)) if run else None,
            by=by,
        )

    def _parse_key(self, key: str) -> tuple[CommitId, AssetId, EvaluationId]:
        parts = key.split("/")
        if len(parts) != _KEY_PARTS:
            raise _not_an_evaluation(key)
        commit = self._commits.get(parts[0])
        dataset = self._datasets.get(parts[1])
        if commit is None or dataset is None:
            try:
                commit = self._commits[parts[0]] = CommitId(parse_address(parts[0]))
            except InvalidInputError:
                raise _not_an_evaluation(key) from None
            dataset = self._datasets[parts[1]] = AssetId(_checked_id(key, parts[1]))
        return commit, dataset, EvaluationId(_checked_id(key, parts[2]))


def evaluation_commits(key: str, value: Value) -> tuple[CommitId, CommitId]:
    """Return the model's and the dataset's commit that an evaluation pins.

    Raises:
        CorruptError: the row is not an evaluation's.
    """
    fields, _ = _split(key, value)
    try:
        model = CommitId(parse_address(key.split("/")[0]))
    except InvalidInputError:
        raise _not_an_evaluation(key) from None
    return model, CommitId(Address(fields[_DATASET_COMMIT]))


def _split(key: str, value: Any) -> tuple[list[Any], dict[str, str]]:
    """Return the fields, of which those known have the right types, and the results."""
    if type(value) is not list or [*map(type, value[:FIELDS])] != _TYPES:
        raise _not_an_evaluation(key)
    texts = value[value[0] :]
    if (
        not FIELDS <= value[0] <= len(value)
        or len(texts) % 2
        or not _STRINGS.issuperset(map(type, texts))
    ):
        raise _not_an_evaluation(key)
    if len(value[_DATASET_COMMIT]) != ADDRESS_BYTES:
        raise _not_an_evaluation(key)
    return value, dict(zip(texts[::2], texts[1::2], strict=True))


def _checked_id(key: str, text: str) -> EntityId:
    try:
        return parse_entity_id(text)
    except InvalidInputError:
        raise _not_an_evaluation(key) from None


def _not_an_evaluation(key: str) -> CorruptError:
    return CorruptError(f"the row {key[:200]!r} is not an evaluation", key=key)
