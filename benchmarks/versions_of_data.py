"""Pairs of versions of data that are made: checkpoints of a training, tables, a moved dataset."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAYERS, WIDTH = 12, 768
HIDDEN = (1024, 1024)
ROWS = 400_000
MOVED_FILES = 2000
SEED = 20_261_122


def training(before: Path, after: Path) -> None:
    """An MLP on handwritten digits, saved after two epochs one after the other: all weights change."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    model = MLPClassifier(HIDDEN, random_state=0)
    for epoch, folder in enumerate((None, None, before, after)):
        model.partial_fit(images / 16, labels, classes=np.unique(labels) if epoch == 0 else None)
        if folder is not None:
            arrays = {f"w{n}": each.astype("f4") for n, each in enumerate(model.coefs_)}
            np.savez(folder / "model.npz", **arrays)


def optimizer(before: Path, after: Path) -> None:
    """A model and its optimizer's two moments, in one file; the last two layers are trained on."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    state: dict[str, Any] = {}
    for layer in range(LAYERS):
        for name in ("weight", "exp_avg", "exp_avg_sq"):
            state[f"layers.{layer}.{name}"] = rng.standard_normal((WIDTH, WIDTH), "f4") * 0.02
    state["step"] = np.array([1000], "i8")
    _save(before / "state.safetensors", state)
    for layer in (LAYERS - 2, LAYERS - 1):
        state[f"layers.{layer}.weight"] += rng.standard_normal((WIDTH, WIDTH), "f4") * 1e-4
        for name in ("exp_avg", "exp_avg_sq"):
            state[f"layers.{layer}.{name}"] *= np.float32(0.9)
    state["step"] += 1
    _save(after / "state.safetensors", state)


def adapters(before: Path, after: Path) -> None:
    """A whole model in which every layer's small adapter and bias were trained on, the rest frozen."""
    import numpy as np

    rng = np.random.default_rng(SEED + 1)
    state: dict[str, Any] = {}
    for layer in range(LAYERS):
        state[f"layers.{layer}.weight"] = rng.standard_normal((WIDTH, WIDTH), "f4")
        state[f"layers.{layer}.bias"] = rng.standard_normal(WIDTH, "f4")
        state[f"layers.{layer}.adapter"] = rng.standard_normal((8, WIDTH), "f4")
    _save(before / "model.safetensors", state)
    for name in state:
        if not name.endswith("weight"):
            state[name] += rng.standard_normal(state[name].shape, "f4") * 0.01
    _save(after / "model.safetensors", state)


def growing(before: Path, after: Path) -> None:
    """A table to which 5 % of rows are appended."""
    rows = _rows(ROWS + ROWS // 20)
    (before / "table.csv").write_text("\n".join(rows[:ROWS]) + "\n")
    (after / "table.csv").write_text("\n".join(rows) + "\n")


def edited(before: Path, after: Path) -> None:
    """A sorted table into which one row in 2,000 is inserted."""
    rows = _rows(ROWS)
    (before / "table.csv").write_text("\n".join(rows) + "\n")
    rng = random.Random(SEED)
    for _ in range(ROWS // 2000):
        at = rng.randrange(len(rows))
        rows.insert(at, f"{rows[at]}x")
    (after / "table.csv").write_text("\n".join(rows) + "\n")


def moved(before: Path, after: Path) -> None:
    """A dataset of files of 1 to 200 KB, all of which go to folders by class."""
    rng = random.Random(SEED)
    (before / "images").mkdir()
    for number in range(MOVED_FILES):
        data = rng.randbytes(rng.randrange(1000, 60_000))
        (before / "images" / f"{number:05d}.bin").write_bytes(data)
        folder = after / f"class-{number % 10}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number:05d}.bin").write_bytes(data)


def _rows(count: int) -> list[str]:
    rng = random.Random(SEED)
    return [
        f"{number:09d},2026-{number % 12 + 1:02d}-{number % 28 + 1:02d},{rng.choice('abcdef')}-shop,"
        f"{rng.randrange(10**6)},{rng.random():.6f},{rng.gauss(50, 9):.3f}"
        for number in range(count)
    ]


def _save(path: Path, state: dict[str, Any]) -> None:
    header, at = {}, 0
    for name, array in state.items():
        kind = {"f4": "F32", "i8": "I64"}[array.dtype.str[1:]]
        header[name] = {
            "dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes],
        }  # fmt: skip
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in state.values():
            file.write(array.tobytes())


MADE: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "training": ("an MLP's npz, one epoch later", training),
    "optimizer": ("model and optimizer, 2 of 12 layers trained", optimizer),
    "adapters": ("model, adapters and biases trained", adapters),
    "growing": ("CSV, 5 % appended", growing),
    "edited": ("CSV, one row in 2,000 inserted", edited),
    "moved": ("2,000 files moved", moved),
}
