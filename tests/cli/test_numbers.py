"""Every number that is shown stands beside a name or an id from which one command leads to its code,
data and checkpoint."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Ah
from tests.cli.test_runs import arguments
from tests.jobs.repositories import make_repository

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TRAIN = """
import os
from ahstore import run
run.log(step=1, loss=run.params()["lr"] * 2)
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "model"), "w").write(str(run.params()))
"""
EVALUATE = """
import os
open(os.path.join(os.environ["AH_RESULTS_DIR"], "metric.json"), "w").write('{"accuracy": 0.9883}')
"""


class Shown:
    """A store with two trainings of a sweep, of which one was evaluated, and how to follow them."""

    def __init__(self, ah: Ah, repo: Path) -> None:
        self.ah = ah
        given = arguments(repo, "code")
        self.sweep = ah("train", "img/net", "-b", "try", "--sweep", "lr=0.1,0.2", "--wait", *given)
        ah("evaluate", "img/net:try-lr-0.1", *given, "--wait")
        self.runs = json.loads(ah("ls", "workflow", "img/net", "--json").out)
        self.trained = next(run for run in self.runs if run["params"] == {"lr": 0.1})
        self.code = self.trained["git_commit"][:12]
        self.data = self.trained["dataset_commit"][:8]

    def leads_home(self, *whats: str) -> None:
        for what in whats:
            told = " ".join(self.ah("why", what).out.split())
            assert f"at commit {self.code}" in told, what
            assert f"img/digits:main @ {self.data}" in told, what
            assert "with lr=" in told, what


@pytest.fixture
def shown(digits: Ah, home: Path) -> Shown:
    files = {"code/train.py": TRAIN, "code/evaluate.py": EVALUATE}
    make_repository(home / "repo", files)
    return Shown(digits, home / "repo")


def test_each_number_leads_to_its_code_data_and_checkpoint(shown: Shown) -> None:
    ah, home = shown.ah, shown.leads_home
    # The table of a sweep: the name of each run.
    title, *rows = shown.sweep.lines
    assert title.split() == ["NAME", "BRANCH", "lr", "STATUS", "loss"]
    assert [row.split()[-1] for row in rows] == ["0.2", "0.4"]
    home(*(row.split()[0] for row in rows))
    # Runs, and what they logged: the name.
    names = [
        line.split()[1] for line in ah("ls", "workflow", "img/net").lines if line[:5] == "NAME:"
    ]
    assert len(names) == 3
    home(*names)
    assert json.loads(ah("logs", "--metrics", shown.trained["name"]).out)["loss"] == 0.2
    # Evaluations: the id, in every form.
    listed = [
        line.split()[1] for line in ah("ls", "evaluation", "img/net").lines if line[:3] == "ID:"
    ]
    [record] = json.loads(ah("ls", "evaluation", "img/net:try-lr-0.1", "--json").out)
    assert listed == [record["id"]]
    home(record["id"])
    shown_one = json.loads(ah("show", "evaluation", record["id"], "--json").out)
    home(shown_one["run"])
    assert ah("show", shown_one["run"]).lines == ah("show", "workflow", shown_one["run"]).lines
    # Comparisons: the evaluation's id stands last in each line of the table, in the CSV and the page.
    title, row = ah("compare", "img/net").lines
    assert title.split()[-2:] == ["accuracy", "EVALUATION"]
    assert row.split()[-2:] == ["0.9883", record["id"]]
    [line] = csv.DictReader(ah("compare", "img/net", "--csv").lines)
    assert (line["accuracy"], line["evaluation"]) == ("0.9883", record["id"])
    assert record["id"] in UUID.findall(ah("compare", "img/net", "--html").out)
    [compared] = json.loads(ah("compare", "img/net", "--json").out)
    assert (compared["metrics"], compared["evaluation"]) == ({"accuracy": 0.9883}, record["id"])
    # Bars, and a metric along a branch: the version.
    for command in (["img/net"], ["img/net:try-lr-0.1", "--along"]):
        bar = ah("compare", *command, "--chart", "accuracy").lines[1]
        assert bar.split()[-1] == "0.9883"
        home(bar.split()[0])
    # Curves: the names of the runs.
    drawn = [run["name"] for run in shown.runs if run["type"] == "train"]
    for form in ([], ["--html"], ["--json"]):
        text = ah("plot", *drawn, *form).out
        assert all(name in text for name in drawn), form
    assert "0.2" in ah("plot", drawn[-1]).out
    # References, histories, lineage.
    home("img/net:@best:accuracy", "img/net:try-lr-0.1")
    [logged] = re.findall(r"run_name: (\S+)", ah("log", "img/net:try-lr-0.1").out)
    home(logged)
    tree = ah("lineage", "img/net:try-lr-0.1").out
    assert f"{record['id']}: metric accuracy=0.9883" in tree
    home(*UUID.findall(tree))
    # The words themselves name what can be followed further.
    home(*UUID.findall(ah("why", "img/net:try-lr-0.1").out))


def test_a_name_or_id_of_nothing_is_told(digits: Ah) -> None:
    for command in ("why", "show"):
        gone = "7b1eaf53-263d-852c-a532-22f955a40819"
        assert digits(command, gone).err == (f"AH ERROR: there is no run or evaluation {gone}\n")
        assert "there is no run 'asset-hub-xxxxx'" in digits(command, "asset-hub-xxxxx").err


def test_evaluations_are_filtered(digits: Ah) -> None:
    digits("create", "dataset", "img/faces")
    for loss, data in ((0.5, "img/digits"), (1.5, "img/digits"), (0.5, "img/faces")):
        digits("create", "evaluation", "img/net", "-d", data, "-m", f"loss={loss}")

    def found(*options: str) -> list[tuple[str, float]]:
        records = json.loads(digits("ls", "evaluation", "img/net", *options, "--json").out)
        return [
            (
                r["datasetRef"].split("/")[-1].split(":")[0],
                json.loads(r["results"]["metric"])["loss"],
            )
            for r in records
        ]

    assert found() == [("faces", 0.5), ("digits", 1.5), ("digits", 0.5)]
    assert found("-d", "img/digits") == [("digits", 1.5), ("digits", 0.5)]
    assert found("-d", "img/digits:main~1") == []
    assert found("-w", "loss<1") == [("faces", 0.5), ("digits", 0.5)]
    assert found("-w", "loss<1", "-d", "img/digits:main") == [("digits", 0.5)]
    assert found("-n", "1") == [("faces", 0.5)]
    assert found("-w", "accuracy") == []
    for wrong in (["-w", "loss<"], ["-d", "img/none"], ["-d", "model/img/net"]):
        assert digits("ls", "evaluation", "img/net", *wrong).err.startswith("AH ERROR: ")
