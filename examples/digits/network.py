"""A network of one hidden layer, in plain NumPy: what train.py and evaluate.py share.

Put your own model in its place. It is saved as arrays without pickle, so that whoever downloads
a model need not trust who trained it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

PIXELS, HIDDEN, CLASSES = 64, 48, 10
BRIGHTEST = 16.0


class Network:
    """Weights, and the number of epochs that made them."""

    def __init__(self, weights: dict[str, np.ndarray], epochs: int) -> None:
        self.weights = weights
        self.epochs = epochs

    @classmethod
    def random(cls, seed: int) -> Network:
        """Return an untrained network, the same one for the same seed."""
        rng = np.random.default_rng(seed)
        weights = {
            "w1": rng.normal(0, PIXELS**-0.5, (PIXELS, HIDDEN)),
            "b1": np.zeros(HIDDEN),
            "w2": rng.normal(0, HIDDEN**-0.5, (HIDDEN, CLASSES)),
            "b2": np.zeros(CLASSES),
        }
        return cls({name: array.astype(np.float32) for name, array in weights.items()}, epochs=0)

    @classmethod
    def load(cls, path: Path) -> Network:
        """Return the network that ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return cls(epochs=int(arrays.pop("epochs")), weights=arrays)

    def save(self, path: Path) -> None:
        """Write the arrays; the same network always gives the same bytes."""
        np.savez(path, epochs=np.int64(self.epochs), **self.weights)

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the hidden layer and the probability of each class."""
        w = self.weights
        hidden = np.maximum(images @ w["w1"] + w["b1"], 0)
        scores = hidden @ w["w2"] + w["b2"]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, scores / scores.sum(axis=1, keepdims=True)

    def measure(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return the mean cross-entropy and the part of the images that is named right."""
        probability = self.predict(images)[1]
        of_the_right_class = probability[np.arange(len(labels)), labels]
        return {
            "loss": float(-np.log(of_the_right_class + 1e-9).mean()),
            "accuracy": float((probability.argmax(axis=1) == labels).mean()),
        }

    def train_epoch(
        self, images: np.ndarray, labels: np.ndarray, *, rate: float, batch: int, seed: int
    ) -> None:
        """See every image once, in an order that only the seed and the epoch decide."""
        order = np.random.default_rng([seed, self.epochs]).permutation(len(images))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            self._step(images[chosen], labels[chosen], rate)
        self.epochs += 1

    def _step(self, images: np.ndarray, labels: np.ndarray, rate: float) -> None:
        w = self.weights
        hidden, probability = self.predict(images)
        error = probability
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        error_hidden = (error @ w["w2"].T) * (hidden > 0)
        w["w2"] -= rate * (hidden.T @ error)
        w["b2"] -= rate * error.sum(axis=0)
        w["w1"] -= rate * (images.T @ error_hidden)
        w["b1"] -= rate * error_hidden.sum(axis=0)


def load_split(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images as rows of numbers from 0 to 1, and labels."""
    images = np.load(folder / "images.npy", allow_pickle=False)
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    return images.reshape(len(images), PIXELS).astype(np.float32) / BRIGHTEST, labels
