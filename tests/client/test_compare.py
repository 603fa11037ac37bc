"""Models side by side: which evaluations count, what is shown of them, which is best."""

from __future__ import annotations

import csv
import json
import math
from html.parser import HTMLParser

import pytest

from ahstore.client.store import Store
from ahstore.errors import InvalidInputError, NotFoundError
from ahstore.hub.evaluations import NewEvaluation
from ahstore.hub.measures import best, low_is_good, numbers_of
from ahstore.jobs.provenance import comparison
from ahstore.jobs.provenance.comparison_formats import as_bars, as_csv, as_html, cells, titles
from ahstore.jobs.provenance.origin import find_origin


@pytest.fixture
def zoo(tmp_path) -> Store:
    """Two models in a folder, evaluated on two datasets."""
    store = Store.open(f"memory://compare-{tmp_path.name}", user="ann", create=True)
    folder = store.create_folder("model", "img")
    data = store.create_folder("dataset", "img")
    digits, faces = data.create_asset("digits"), data.create_asset("faces")
    for number, name in enumerate(("big", "small")):
        model = folder.create_asset(name)
        for step in range(3):
            path = tmp_path / f"{name}{step}"
            path.write_text(f"{name} {step}")
            branch = model.get_branch("main")
            branch.create_commit(f"step {step}", add=[str(path)])
            branch.create_evaluation(
                metrics={"accuracy": 0.5 + step / 10 + number / 100, "loss": 1 / (step + 1)},
                dataset=digits,
            )
        branch.create_evaluation(metrics={"accuracy": 0.1}, dataset=faces)
    yield store
    store.close()


def values(found, name: str = "accuracy", *, exact: bool = False) -> list[float]:
    raw = [line.metrics.get(name, math.nan) for line in found.lines]
    return raw if exact else [round(value, 3) for value in raw]


def test_a_line_for_each_commit_and_dataset(zoo: Store) -> None:
    found = zoo.compare(["model/img"])
    assert len(found.lines) == 8
    assert found.metrics == ["accuracy", "loss"]
    on_digits = zoo.compare(["img/big", "img/small"], dataset="img/digits", sort="accuracy")
    assert values(on_digits) == [0.71, 0.7, 0.61, 0.6, 0.51, 0.5]
    by_loss = zoo.compare(["img/big"], dataset="img/digits", sort="loss")
    assert values(by_loss, "loss") == [0.333, 0.5, 1.0]
    head = zoo.compare(["img/small:main"], dataset="img/faces", metrics=["accuracy"])
    assert (values(head), head.metrics) == ([0.1], ["accuracy"])


def test_of_several_measurements_the_newest_counts(zoo: Store) -> None:
    branch = zoo.model("img/big").get_branch("main")
    branch.create_evaluation(metrics={"accuracy": 0.99}, dataset="img/digits")
    assert values(zoo.compare(["img/big:main"], dataset="img/digits")) == [0.99]


def test_along_a_branch(zoo: Store) -> None:
    found = zoo.compare(["img/big:main"], along=True, dataset="img/digits")
    assert values(found) == [0.5, 0.6, 0.7]
    assert values(zoo.compare(["img/big:main~1"], along=True, dataset="img/digits")) == [0.5, 0.6]


def test_lines_without_the_metric_come_last(zoo: Store) -> None:
    branch = zoo.model("img/big").get_branch("main")
    branch.create_evaluation(metrics={"accuracy": math.nan, "other": 1}, dataset="img/digits")
    found = zoo.compare(["model/img"], dataset="img/digits", sort="accuracy")
    assert math.isnan(values(found)[-1])
    assert values(found)[:-1] == [0.71, 0.61, 0.6, 0.51, 0.5]


@pytest.mark.parametrize(
    ("paths", "options", "error"),
    [
        (["img/big"], {"sort": "speed"}, NotFoundError),
        (["img/big"], {"metrics": ["speed"]}, NotFoundError),
        (["img/none"], {}, NotFoundError),
        (["dataset/img"], {}, InvalidInputError),
        (["img/big", "img/small"], {"along": True}, InvalidInputError),
        (["img/big"], {"dataset": "model/img/small"}, InvalidInputError),
    ],
)
def test_what_can_not_be_compared(zoo: Store, paths, options, error) -> None:
    with pytest.raises(error):
        zoo.compare(paths, **options)


def test_best(zoo: Store) -> None:
    model = zoo.model("img/big")
    history = [commit["id"] for commit in model.get_branch("main").list_commit()]
    assert model.version("@best:accuracy,img/digits").commit_id == history[0]
    assert model.version("@lowest:accuracy,img/digits").commit_id == history[2]
    assert model.version("@best:loss").commit_id == history[0]
    assert model.version("@highest:loss").commit_id == history[2]
    assert zoo.version("img/big:@best:loss").ref == f"commit/{history[0]}"
    branch = model.create_branch("from-best", source="@highest:loss")
    assert branch.commit_id == history[2]


def test_of_equal_ones_the_oldest_is_best(zoo: Store) -> None:
    branch = zoo.model("img/big").get_branch("main")
    for _ in range(3):
        branch.create_evaluation(metrics={"draw": 1}, dataset="img/digits")
    records = zoo.core.hub.list_evaluations(zoo.model("img/big").record)
    oldest = min((r for r in records if "draw" in numbers_of(r)), key=lambda r: r.created)
    assert best(records, "draw") == oldest


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("@best:speed", NotFoundError),
        ("@best:accuracy", InvalidInputError),  # on two datasets, which do not compare
        ("@best:accuracy,img/none", NotFoundError),
        ("@best:accuracy,model/img/big", InvalidInputError),
        ("@best", InvalidInputError),
        ("@best:", InvalidInputError),
        ("@worst:accuracy", InvalidInputError),
        ("@best:a,b,c", InvalidInputError),
    ],
)
def test_what_is_no_best(zoo: Store, ref: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        zoo.version(f"img/big:{ref}")


def test_which_metrics_are_good_when_low() -> None:
    low = ["loss", "val_loss", "train.loss", "error", "rmse", "top-1.err", "Perplexity"]
    high = ["accuracy", "f1", "auc", "lossless", "terror_score", "r2"]
    assert [low_is_good(name) for name in (*low, *high)] == [True] * len(low) + [False] * len(high)


def test_numbers_of_results(zoo: Store) -> None:
    results = {
        "metric": {"a": 1, "deep": {"b": 2.5, "text": "x", "yes": True}},
        "other": {"c": 3},
        "plain": 4,
        "list": [1, 2],
        "words": "x",
    }
    model, data = zoo.model("img/big").record, zoo.asset("dataset/img/digits").record
    made = zoo.core.hub.create_evaluation(model, "main", data, "main", results)
    assert numbers_of(made) == {"a": 1.0, "deep.b": 2.5, "other.c": 3.0, "plain": 4.0}


def test_csv_gives_the_numbers_back(zoo: Store) -> None:
    found = zoo.compare(["model/img"], dataset="img/digits", sort="accuracy")
    rows = list(csv.DictReader(as_csv(found)))
    assert [float(row["accuracy"]) for row in rows] == values(found, exact=True)
    assert {row["model"].rpartition(":")[2] for row in rows} == {"branch/main"}


def test_a_spreadsheet_runs_nothing(zoo: Store) -> None:
    # "=…" in a cell is a formula to a spreadsheet, and a formula may start programs.
    branch = zoo.model("img/big").get_branch("main")
    branch.create_evaluation(metrics={'=cmd|" /C calc"!A0': -1.5}, dataset="img/digits")
    text = "".join(as_csv(zoo.compare(["img/big:main"])))
    for row in csv.reader(text.splitlines()):
        assert not any(cell.startswith(("=", "@")) for cell in row)
    assert "-1.5" in text


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def test_the_page_holds_no_foreign_markup(zoo: Store) -> None:
    branch = zoo.model("img/big").get_branch("main")
    branch.create_evaluation(metrics={'<script>"x"': 1}, dataset="img/digits")
    page = "\n".join(as_html(zoo.compare(["img/big"])))
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert tags.tags.count("tr") == 5
    assert tags.tags.count("svg") == 3
    assert "http" not in page.replace("http-equiv", "")


def test_bars(zoo: Store) -> None:
    found = zoo.compare(["img/big:main"], along=True, dataset="img/digits")
    lines = list(as_bars(found, "accuracy"))
    assert [line.count("█") for line in lines] == [0, 29, 34, 40]
    assert lines[-1].endswith("0.7")


def test_cells_fit_titles(zoo: Store) -> None:
    found = zoo.compare(["model/img"])
    assert titles(found) == ["MODEL", "COMMIT", "DATASET", "accuracy", "loss", "EVALUATION"]
    assert all(len(cells(found, line)) == 6 for line in found.lines)
    assert json.dumps([line.metrics for line in found.lines])


def test_a_training_is_looked_up_once_for_all_that_was_measured(zoo: Store, monkeypatch) -> None:
    # Of 30,000 evaluations many are of one commit: looked up for each line they took four seconds.
    model, data = zoo.model("img/big").record, zoo.asset("dataset/img/faces").record
    new = [NewEvaluation("main", data, "main", {"metric": {"n": n}}) for n in range(50)]
    zoo.core.hub.create_evaluations(model, new)
    looked = []

    def look(repo, commit, body):
        looked.append(commit)
        return find_origin(repo, commit, body)

    monkeypatch.setattr(comparison, "find_origin", look)
    found = zoo.compare(["model/img"])
    assert len(looked) == len(set(looked)) == len({line.commit for line in found.lines})
