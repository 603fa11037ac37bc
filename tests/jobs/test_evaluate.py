from __future__ import annotations

import json

import pytest

from ahstore.versions.adding.commits import commit_files
from ahstore.versions.refs import Refs
from tests.jobs.conftest import House

EVALUATE = """
import json, os
from pathlib import Path
results = Path(os.environ["AH_RESULTS_DIR"])
model = Path(os.environ["AH_CHECKPOINT_DIR"], "model").read_text()
assert "AH_OUTPUT_DIR" not in os.environ
Path(os.environ["AH_METRICS_FILE"]).write_text('{"loss": 1.473171865940094, "accuracy": 0.9883}')
(results / "confusion.json").write_text(json.dumps([[1, 2], [3, float("nan")]]))
(results / "notes.txt").write_text("not a result: " + model)
(results / "folder.json").mkdir()
"""


def put(house: House, text: str, branch: str = "main") -> None:
    file = house.root / "model"
    file.write_text(text)
    commit_files(house.repo, house.model.id, branch, message="m", committer="user", add=[str(file)])


def test_results_become_one_evaluation_pinned_to_its_commits(house: House) -> None:
    put(house, "one")
    main = house.head("main")
    assert main is not None
    Refs(house.repo).create(house.model.id, "epoch-5", "branch", main, by="user", via="main")
    house.make_code({"evaluate.py": "import time; time.sleep(0.7)\n" + EVALUATE})
    run = house.evaluate("import time; time.sleep(0.7)\n" + EVALUATE, "epoch-5")
    # The branch moves on while the evaluation runs: what was asked for is what is measured.
    put(house, "two", "epoch-5")
    done = house.wait(run)
    assert done.status == "Succeeded", house.log(done)
    (evaluation,) = house.hub.list_evaluations(house.model)
    assert evaluation.id == done.evaluation
    assert evaluation.run == run.id
    assert evaluation.model_commit == main
    assert evaluation.model_branch == "epoch-5"
    assert evaluation.dataset_commit == run.spec.dataset.commit
    assert evaluation.results == {
        "metric": '{"loss": 1.473171865940094, "accuracy": 0.9883}',
        "confusion": "[[1, 2], [3, NaN]]",
    }


def test_the_branch_of_an_evaluation_may_be_deleted_meanwhile(house: House) -> None:
    put(house, "one")
    main = house.head("main")
    assert main is not None
    Refs(house.repo).create(house.model.id, "gone", "branch", main, by="user", via="main")
    run = house.evaluate("import time; time.sleep(0.5)\n" + EVALUATE, "gone")
    Refs(house.repo).delete(house.model.id, "gone", "branch")
    done = house.wait(run)
    assert done.status == "Succeeded", done.reason
    (evaluation,) = house.hub.list_evaluations(house.model)
    assert evaluation.model_commit == main


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", "evaluate.py wrote no <key>.json to AH_RESULTS_DIR"),
        ("(out / 'metric.json').write_text('{')", "metric.json is not valid JSON"),
        ("(out / 'metric.json').write_bytes(b'\\xff')", "metric.json is not valid JSON"),
        ("(out / 'metric.json').write_text('[' * 100000)", "metric.json is not valid JSON"),
        ("(out / 'metric.json').write_text('9' * 5000)", "metric.json"),
        ("(out / 'metric.json').write_text(' ' * (2 << 20))", "metric.json has more than"),
        ("os.symlink('/etc/hostname', out / 'metric.json')", "metric.json can't be read"),
        ("os.mkfifo(out / 'metric.json')", "metric.json is not a regular file"),
        ("open(os.fsencode(out) + b'/a\\xff.json', 'w').write('1')", "key of a result"),
        ("(out / 'metric.json').write_text('1'); sys.exit(2)", "evaluate.py exited with status 2"),
    ],
)
def test_results_that_can_not_be_kept(code: str, reason: str, house: House) -> None:
    begin = "import os, sys; from pathlib import Path; out = Path(os.environ['AH_RESULTS_DIR'])\n"
    done = house.wait(house.evaluate(begin + code))
    assert done.status == "Failed"
    assert done.reason is not None
    assert reason in done.reason
    assert house.hub.list_evaluations(house.model) == []


def test_a_training_may_leave_metrics_that_are_no_json(house: House) -> None:
    code = "import os; open(os.environ['AH_METRICS_FILE'], 'w').write('{'); open(os.environ['AH_OUTPUT_DIR'] + '/x', 'w')"
    done = house.wait(house.train(code))
    assert done.commit is not None
    assert "metrics" not in json.loads(house.files(done.commit)["asset-hub.metadata"])
