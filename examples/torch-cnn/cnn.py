"""A small convolutional network for the 8 by 8 digits: what train.py and evaluate.py share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

BRIGHTEST = 16.0


def make_network() -> nn.Module:
    """Return an untrained network; ``torch.manual_seed`` decides its weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 2 * 2, 10),
    )


def load_network(folder: Path) -> nn.Module:
    """Return the network whose weights a training left; tensors only, nothing is unpickled."""
    network = make_network()
    network.load_state_dict(torch.load(folder / "model_state_dict.pt", weights_only=True))
    return network


def load_split(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of shape (n, 1, 8, 8) with values from 0 to 1, and labels of shape (n,)."""
    images = np.load(folder / "images.npy", allow_pickle=False)
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    return (
        torch.from_numpy(images).float().unsqueeze(1) / BRIGHTEST,
        torch.from_numpy(labels).long(),
    )


@torch.no_grad()
def measure(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return the mean cross-entropy and the part of the images that is named right."""
    scores = network(images)
    return {
        "loss": nn.functional.cross_entropy(scores, labels).item(),
        "accuracy": (scores.argmax(dim=1) == labels).float().mean().item(),
    }
