"""The training pages: their code is code, and where the libraries are installed it trains."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__)
HOW_TO = HERE.parents[2] / "docs" / "how-to"
PAGES = {
    "train-with-pytorch.md": ("numpy", "torch"),
    "train-with-keras.md": ("numpy", "keras", "torch"),
    "train-with-scikit-learn.md": ("numpy", "sklearn", "joblib"),
    "train-with-hugging-face.md": ("numpy", "torch", "transformers", "safetensors"),
}
"""With what must be installed to run their code."""
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def scripts(page: str) -> dict[str, str]:
    return dict(BLOCK.findall((HOW_TO / page).read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_is_code(page: str) -> None:
    found = scripts(page)
    assert set(found) == {"train.py", "evaluate.py"}
    for name, text in found.items():
        compile(text, name, "exec")


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_trains(page: str, tmp_path: Path) -> None:
    missing = [name for name in PAGES[page] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    work = Work(tmp_path, scripts(page))
    first, again = work.train("first"), work.train("again")
    assert first
    # What a page teaches must be what a rerun can make again.
    assert first == again
    if "AH_CHECKPOINT_DIR" in scripts(page)["train.py"]:
        assert work.train("continued", checkpoint="first") != first
    measured = work.evaluate("first")
    assert 0.0 <= measured["accuracy"] <= 1.0


class Work:
    """A small dataset, a page's scripts, and the variables of a run."""

    def __init__(self, root: Path, found: dict[str, str]) -> None:
        import numpy as np  # only where it is installed

        self.root = root
        for name, text in found.items():
            (root / name).write_text(text)
        random = np.random.default_rng(0)
        for split, count in (("train", 200), ("test", 50)):
            folder = root / "data" / split
            folder.mkdir(parents=True)
            labels = random.integers(0, 10, count).astype(np.uint8)
            images = random.integers(0, 9, (count, 8, 8)).astype(np.uint8)
            images[np.arange(count), labels % 8, labels // 8] = 16
            np.save(folder / "images.npy", images)
            np.save(folder / "labels.npy", labels)

    def train(self, name: str, *, checkpoint: str | None = None) -> dict[str, bytes]:
        out = self.root / name
        out.mkdir()
        more = {"AH_CHECKPOINT_DIR": str(self.root / checkpoint)} if checkpoint else {}
        self._run("train.py", AH_OUTPUT_DIR=str(out), **more)
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file()
        }

    def evaluate(self, model: str) -> dict[str, float]:
        results = self.root / "results"
        results.mkdir()
        self._run(
            "evaluate.py",
            AH_RESULTS_DIR=str(results),
            AH_CHECKPOINT_DIR=str(self.root / model),
            AH_METRICS_FILE=str(results / "metric.json"),
        )
        return json.loads((results / "metric.json").read_text())

    def _run(self, script: str, **variables: str) -> None:
        kept = {
            name: os.environ[name] for name in ("PATH", "OPENBLAS_CORETYPE") if name in os.environ
        }
        temporary = self.root / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {
            **kept, "HOME": str(temporary), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(HERE.parents[2]), "AH_DATASET_DIR": str(self.root / "data"),
            "AH_PARAMS": "{}", "HF_HUB_OFFLINE": "1", **variables,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, script], cwd=self.root, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
