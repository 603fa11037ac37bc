"""Lineage: what a version was made of (up), and what was made of it or measured on it (down).

Up follows the commits themselves: the training that made one (``origin.py``), else its parents. Down
looks through the runs of all models, and the evaluations of those that are models: whoever is not
recorded there is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ahstore.errors import NotFoundError
from ahstore.hub.hub import Hub
from ahstore.hub.records import AssetRecord, EvaluationRecord
from ahstore.ids import AssetId, CommitId
from ahstore.jobs.provenance.origin import Origin, find_origin
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.jobs.spec import CodeVersion
from ahstore.objects.commit import Commit

NodeKind = Literal["model", "dataset", "code", "evaluation"]
MAX_NODES = 10_000


@dataclass(frozen=True, slots=True)
class Node:
    """A version, a commit of code, or an evaluation. ``facts`` are texts by name, for people."""

    key: str
    kind: NodeKind
    name: str
    id: str
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """``target`` was made of ``source``; ``relation`` says as what: ``dataset``, ``code``…."""

    source: str
    target: str
    relation: str


@dataclass(slots=True)
class Lineage:
    """A graph around the version ``root``; edges go from what was used to what came of it."""

    root: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[Edge, None] = field(default_factory=dict)
    cut: bool = False
    _above: dict[str, list[Edge]] = field(default_factory=dict)
    _below: dict[str, list[Edge]] = field(default_factory=dict)

    def link(self, source: str, target: str, relation: str) -> None:
        """Add an edge, unless it is there."""
        edge = Edge(source, target, relation)
        if edge not in self.edges:
            self.edges[edge] = None
            self._above.setdefault(target, []).append(edge)
            self._below.setdefault(source, []).append(edge)

    def above(self, key: str) -> list[Edge]:
        """Return the edges to what a node was made of."""
        return self._above.get(key, [])

    def below(self, key: str) -> list[Edge]:
        """Return the edges to what came of a node."""
        return self._below.get(key, [])

    def to_dict(self) -> dict[str, Any]:
        """Return nodes and edges as JSON has them."""
        return {
            "root": self.root,
            "nodes": [
                {"key": n.key, "kind": n.kind, "name": n.name, "id": n.id, **n.facts}
                for n in self.nodes.values()
            ],
            "edges": [
                {"source": e.source, "target": e.target, "relation": e.relation} for e in self.edges
            ],
            "cut": self.cut,
        }


class LineageReader:
    """Reads lineages from a store."""

    def __init__(self, hub: Hub, records: RunRecords) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._records = records

    def read(
        self, asset: AssetRecord, commit: CommitId, *, up: bool = True, down: bool = True
    ) -> Lineage:
        """Return the lineage of a version, at most some thousands of nodes of it.

        Raises:
            NotFoundError: the commit is not in the store.
        """
        self._repo.read_commit(commit)
        lineage = Lineage(_version_key(asset.id, commit))
        self._add_version(lineage, asset.id, commit, asset.path)
        if up:
            self._walk_up(lineage, asset.id, commit)
        if down:
            self._walk_down(lineage, asset.id, commit)
        return lineage

    def origin(self, commit: CommitId) -> Origin | None:
        """Return the training that made a commit, None if none did."""
        return find_origin(self._repo, commit, self._repo.read_commit(commit))

    # Up.

    def _walk_up(self, lineage: Lineage, asset: AssetId, commit: CommitId) -> None:
        pending = [(asset, commit)]
        while pending:
            owner, current = pending.pop()
            key = _version_key(owner, current)
            body = self._find_commit(current)
            if body is None:
                continue
            origin = find_origin(self._repo, current, body)
            if origin is None:
                found = self._made_parents(body, owner)
                links = [(owner, parent, "parent", "") for parent in found]
            else:
                lineage.nodes[key].facts.update(_made_by(origin))
                self._add_code(lineage, origin.code, key)
                links = [
                    (pin.asset, pin.commit, relation, pin.path)
                    for pin, relation in (
                        (origin.dataset, "dataset"),
                        (origin.checkpoint, "checkpoint"),
                    )
                    if pin is not None
                ]
            for source, above, relation, path in links:
                above_key = _version_key(source, above)
                if self._is_full(lineage, above_key):
                    continue
                if above_key not in lineage.nodes:
                    self._add_version(lineage, source, above, path)
                    pending.append((source, above))
                lineage.link(above_key, key, relation)

    def _made_parents(self, body: Commit, asset: AssetId) -> Iterator[CommitId]:
        """Yield parents that say more than that the asset was made, of the same asset."""
        for parent in body.parents:
            above = self._find_commit(parent)
            if above is not None and above.parents and above.asset == asset:
                yield parent

    # Down.

    def _walk_down(self, lineage: Lineage, asset: AssetId, commit: CommitId) -> None:
        uses = _Uses(self._hub, self._records)
        pending = [(asset, commit)]
        seen = set(pending)
        while pending:
            current = pending.pop()
            key = _version_key(*current)
            for record in uses.runs(current):
                assert record.commit is not None
                made = (record.spec.model, record.commit)
                made_key = _version_key(*made)
                if self._is_full(lineage, made_key):
                    continue
                if made_key not in lineage.nodes:
                    self._add_version(lineage, *made, record.spec.model_path)
                    lineage.nodes[made_key].facts["run"] = record.name
                relation = "dataset" if record.spec.dataset.commit == current[1] else "checkpoint"
                lineage.link(key, made_key, relation)
                if made not in seen:
                    seen.add(made)
                    pending.append(made)
            for evaluation in uses.evaluations(current):
                self._add_evaluation(lineage, evaluation)

    # Nodes.

    def _is_full(self, lineage: Lineage, key: str) -> bool:
        lineage.cut = lineage.cut or (key not in lineage.nodes and len(lineage.nodes) >= MAX_NODES)
        return key not in lineage.nodes and len(lineage.nodes) >= MAX_NODES

    def _find_commit(self, commit: CommitId) -> Commit | None:
        try:
            return self._repo.read_commit(commit)
        except NotFoundError:
            return None

    def _add_version(self, lineage: Lineage, asset: AssetId, commit: CommitId, path: str) -> None:
        try:
            path = self._hub.get_asset_by_id(asset).path
        except NotFoundError:
            path = f"{path} (deleted)" if path else f"{asset} (deleted)"
        key = _version_key(asset, commit)
        kind: NodeKind = "dataset" if "/dataset/" in f"/{path}" else "model"
        facts: dict[str, str] = {}
        body = self._find_commit(commit)
        if body is None:
            facts["missing"] = "the commit is not in this store"
        else:
            facts["committer"] = body.committer
            facts["message"] = body.message.partition("\n")[0]
        lineage.nodes[key] = Node(key, kind, path, commit.hex(), facts)

    def _add_code(self, lineage: Lineage, code: CodeVersion, target: str) -> None:
        key = f"code/{code.commit}/{code.subpath}"
        facts = {"revision": code.revision, "subpath": code.subpath}
        if code.changes is not None:
            # Other code than the commit's, and than other changes make of it.
            key = f"{key}/{code.changes.tree}"
            facts["changes"] = f"{code.changes.files} files, tree {code.changes.tree[:12]}"
        lineage.nodes.setdefault(key, Node(key, "code", code.repo, code.commit, facts))
        lineage.link(key, target, "code")

    def _add_evaluation(self, lineage: Lineage, record: EvaluationRecord) -> None:
        key = f"evaluation/{record.id}"
        if self._is_full(lineage, key):
            return
        if key not in lineage.nodes:
            facts = dict(sorted(record.results.items()))
            lineage.nodes[key] = Node(key, "evaluation", record.model_ref, record.id, facts)
        for side, commit in (
            (record.model, record.model_commit),
            (record.dataset, record.dataset_commit),
        ):
            other = _version_key(side, commit)
            if other in lineage.nodes:
                lineage.link(other, key, "evaluation")


class _Uses:
    """Which runs and evaluations used a version; everything is read once."""

    def __init__(self, hub: Hub, records: RunRecords) -> None:
        self._runs: dict[tuple[AssetId, CommitId], list[RunRecord]] = {}
        self._evaluations: dict[tuple[AssetId, CommitId], list[EvaluationRecord]] = {}
        for record in records.all():
            if record.state == "Succeeded" and record.commit is not None:
                for pin in (record.spec.dataset, record.spec.checkpoint):
                    if pin is not None:
                        self._runs.setdefault((pin.asset, pin.commit), []).append(record)
        for folder in hub.list_folders("model"):
            for model in hub.list_assets(folder.id):
                for evaluation in hub.list_evaluations(model):
                    for side in (
                        (evaluation.model, evaluation.model_commit),
                        (evaluation.dataset, evaluation.dataset_commit),
                    ):
                        self._evaluations.setdefault(side, []).append(evaluation)

    def runs(self, version: tuple[AssetId, CommitId]) -> list[RunRecord]:
        """Return the trainings that used a version, oldest first."""
        return sorted(self._runs.get(version, []), key=lambda record: record.created)

    def evaluations(self, version: tuple[AssetId, CommitId]) -> list[EvaluationRecord]:
        """Return the evaluations of, or on, a version, oldest first."""
        return sorted(self._evaluations.get(version, []), key=lambda record: record.created)


def _version_key(asset: AssetId, commit: CommitId) -> str:
    return f"{asset}@{commit.hex()}"


def _made_by(origin: Origin) -> dict[str, str]:
    facts = {"run": origin.run_name, "by": origin.by, "command": " ".join(origin.command)}
    if origin.params:
        facts["params"] = " ".join(f"{name}={value}" for name, value in origin.params.items())
    return facts
