"""The examples run by themselves, with nothing but the environment variables of a run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits")
    script = EXAMPLES / "digits" / "make_dataset.py"
    subprocess.run([sys.executable, script, folder], check=True, env=_environment(folder))
    return folder


def _environment(folder: Path, **variables: str | Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "OPENBLAS_CORETYPE") if key in os.environ}
    fixed = {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    fixed["PYTHONPATH"] = str(EXAMPLES.parent)
    return kept | fixed | {key: str(value) for key, value in variables.items()}


class Runner:
    """Runs one example's scripts as a run does: in their folder, told by variables where all is."""

    def __init__(self, example: str, dataset: Path, tmp_path: Path) -> None:
        self.folder = EXAMPLES / example
        self.dataset = dataset
        self.tmp_path = tmp_path

    def train(self, name: str, *, checkpoint: Path | None = None, **params: object) -> Path:
        output = self.tmp_path / name
        output.mkdir()
        more = {"AH_CHECKPOINT_DIR": checkpoint} if checkpoint else {}
        more["AH_METRICS_FILE"] = self.tmp_path / f"{name}.metrics"
        self._run("train.py", AH_OUTPUT_DIR=output, AH_PARAMS=json.dumps(params), **more)
        return output

    def evaluate(self, model: Path) -> dict[str, float]:
        self._run("evaluate.py", AH_CHECKPOINT_DIR=model, AH_RESULTS_DIR=self.tmp_path)
        return json.loads((self.tmp_path / "metric.json").read_text())

    def _run(self, script: str, **variables: str | Path) -> None:
        environment = _environment(self.tmp_path, AH_DATASET_DIR=self.dataset, **variables)
        subprocess.run([sys.executable, script], cwd=self.folder, check=True, env=environment)


@pytest.fixture
def digits(dataset: Path, tmp_path: Path) -> Runner:
    return Runner("digits", dataset, tmp_path)


def test_continued_training_improves_the_model(digits: Runner) -> None:
    first = digits.train("first")
    assert sorted(os.listdir(first)) == ["model.npz"]
    second = digits.train("second", checkpoint=first)
    before, after = digits.evaluate(first), digits.evaluate(second)
    assert set(before) == {"loss", "accuracy"}
    assert before["accuracy"] > 0.8
    assert after["loss"] < before["loss"]
    assert after["accuracy"] > before["accuracy"]


def test_training_depends_on_nothing_but_its_inputs(digits: Runner) -> None:
    # A model that can't be made again from what asset-hub.metadata records would make that file
    # a lie; and continuing must lose nothing of what ten epochs in one go would have given.
    whole = digits.train("whole", epochs=4, seed=7)
    half = digits.train("half", epochs="2", seed="7")
    other = digits.train("other", checkpoint=half, epochs=2, seed=7)
    different = digits.train("different", epochs=4, seed=8)
    model = (whole / "model.npz").read_bytes()
    assert (other / "model.npz").read_bytes() == model
    assert (different / "model.npz").read_bytes() != model


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_the_torch_example(dataset: Path, tmp_path: Path) -> None:
    runner = Runner("torch-cnn", dataset, tmp_path)
    first = runner.train("first", epochs=3)
    second = runner.train("second", checkpoint=first, epochs=3)
    whole = runner.train("whole", epochs=6)
    assert sorted(os.listdir(first)) == ["model_state_dict.pt", "training_state.pt"]
    assert runner.evaluate(second)["loss"] < runner.evaluate(first)["loss"]
    assert runner.evaluate(second)["accuracy"] > 0.9
    # The same training gives the same bytes, in one go or in two.
    for name in os.listdir(whole):
        assert (second / name).read_bytes() == (whole / name).read_bytes(), name
    logged = [json.loads(line) for line in (tmp_path / "second.metrics").read_text().splitlines()]
    assert [point["step"] for point in logged] == [4, 5, 6]
    assert {"loss", "accuracy"} <= set(logged[0])
