"""What a version was made of, what came of it, and why it is what it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from ahstore.ids import CommitId
from ahstore.jobs.provenance.lineage import Lineage, LineageReader
from ahstore.jobs.provenance.lineage_formats import as_dot, as_mermaid, as_tree
from ahstore.jobs.provenance.origin import find_origin
from ahstore.jobs.records import RunRecord, RunRecords
from ahstore.versions.adding.commits import commit_files, commit_tree
from tests.jobs.conftest import House

TRAIN = """
import os
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "model"), "w").write(os.environ["AH_RUN_ID"])
"""
EVALUATE = """
import os
open(os.path.join(os.environ["AH_RESULTS_DIR"], "metric.json"), "w").write('{"accuracy": 0.75}')
"""


class Family:
    """Two trainings, the second continuing the first, and an evaluation of the second."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.first = self._wait(house.train(TRAIN, params={"rate": 0.5}))
        self.code = house.code
        self.second = self._wait(house.train(branch="c", checkpoint=(house.model, "b")))
        self.evaluated = self._wait(house.evaluate(EVALUATE, "c"))

    def _wait(self, run: RunRecord) -> RunRecord:
        done = self.house.wait(run)
        assert done.status == "Succeeded", self.house.log(done)
        return done

    def read(self, commit: CommitId | None, **directions: bool) -> Lineage:
        assert commit is not None
        records = RunRecords(self.house.repo)
        return LineageReader(self.house.hub, records).read(self.house.model, commit, **directions)


@pytest.fixture
def family(house: House) -> Family:
    return Family(house)


def links(lineage: Lineage) -> set[tuple[str, str, str]]:
    """Return the edges by kind and the first digits of ids."""
    short = {key: f"{node.kind} {node.id[:8]}" for key, node in lineage.nodes.items()}
    return {(short[edge.source], edge.relation, short[edge.target]) for edge in lineage.edges}


def test_the_lineage_of_a_model(family: Family) -> None:
    house = family.house
    first, second = (f"model {run.commit.hex()[:8]}" for run in (family.first, family.second))
    data = f"dataset {family.first.spec.dataset.commit.hex()[:8]}"
    code = f"code {family.first.spec.code.commit[:8]}"
    evaluation = f"evaluation {family.evaluated.evaluation[:8]}"
    above = {
        (data, "dataset", first), (code, "code", first),
        (data, "dataset", second), (code, "code", second), (first, "checkpoint", second),
    }  # fmt: skip
    assert links(family.read(family.second.commit, down=False)) == above
    below = {(second, "evaluation", evaluation)}
    assert links(family.read(family.second.commit, up=False)) == below
    whole = links(family.read(family.second.commit))
    assert whole == above | below | {(data, "evaluation", evaluation)}
    from_data = family.house.jobs.provenance.lineage(
        house.dataset, family.first.spec.dataset.commit, up=False
    )
    assert links(from_data) == {
        (data, "dataset", first), (data, "dataset", second), (first, "checkpoint", second),
        (second, "evaluation", evaluation), (data, "evaluation", evaluation),
    }  # fmt: skip


def test_it_is_told_when_the_runs_are_deleted(family: Family) -> None:
    # In a year the records may have been tidied away; the commit's own file still says it.
    for run in (family.first, family.second, family.evaluated):
        family.house.jobs.delete(run)
    lineage = family.read(family.second.commit, down=False)
    assert len(lineage.nodes) == 4
    [code] = [node for node in lineage.nodes.values() if node.kind == "code"]
    assert code.id == family.first.spec.code.commit
    why = " ".join(family.house.jobs.provenance.why(family.house.model, family.second.commit))
    assert family.first.name in why


def test_a_commit_on_top_of_a_training_is_not_the_trainings(family: Family) -> None:
    # It has the training's file, but its bytes are someone's own.
    house = family.house
    note = house.root / "note"
    note.write_text("edited by hand")
    made = commit_files(
        house.repo, house.model.id, "c", message="edit", committer="eve", add=[str(note)]
    )
    assert made is not None
    body = house.repo.read_commit(made.commit)
    assert find_origin(house.repo, made.commit, body) is None
    lineage = family.read(made.commit, down=False)
    assert {edge.relation for edge in lineage.above(lineage.root)} == {"parent"}
    [edge] = lineage.above(lineage.root)
    assert lineage.nodes[edge.source].facts["run"] == family.second.name


def test_a_file_that_lies_about_its_run_is_not_believed(family: Family) -> None:
    house = family.house
    assert family.second.commit is not None
    document = json.loads(house.files(family.second.commit)["asset-hub.metadata"])
    for lie in (
        {**document, "run": {**document["run"], "id": family.first.id}},
        {},
        [],
        {"run": 1},
    ):
        made = commit_tree(
            house.repo, house.model.id, "lies", message="lie", committer="eve", add=[],
            extra={"asset-hub.metadata": json.dumps(lie).encode()}, base=family.second.commit,
            metadata={"run": family.second.id, "run_name": family.second.name},
        )  # fmt: skip
        assert made is not None
        assert find_origin(house.repo, made.commit, house.repo.read_commit(made.commit)) is None


def test_formats(family: Family) -> None:
    lineage = family.read(family.second.commit)
    root = lineage.nodes[lineage.root]
    lineage.nodes[lineage.root] = replace(root, name='bad"]; <b>\n%% name')
    tree = list(as_tree(lineage))
    assert tree[1] == "made of:"
    assert "accuracy=0.75" in tree[-1]
    assert sum("checkpoint: " in line for line in tree) == 1
    mermaid = list(as_mermaid(lineage))
    assert mermaid[0] == "flowchart LR"
    assert not any('bad"' in line or "<b>" in line or "\n" in line for line in mermaid)
    dot = "\n".join(as_dot(lineage))
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=dot, text=True, check=True, capture_output=True)
    assert dot.count("->") == len(lineage.edges)


def test_why(family: Family) -> None:
    assert family.second.commit is not None
    told = family.house.jobs.provenance.why(family.house.model, family.second.commit)
    assert family.second.name in told[0]
    assert f"of {family.code} at commit {family.second.spec.code.commit[:12]}" in told[0]
    assert "on the dataset user/dataset/image-classification/mnist:main" in told[0]
    assert (
        f"continuing user/model/image-classification/mnist-cnn-keras:b @ {family.first.commit.hex()[:8]}"
        in told[0]
    )
    assert told[1].startswith("Measured on user/dataset/image-classification/mnist:main @")
    assert "accuracy 0.75" in told[1]
    assert family.first.name in told[2]
    assert "with rate=0.5." in told[2]
    assert len(told) == 3
