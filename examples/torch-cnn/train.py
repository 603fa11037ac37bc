"""Train the CNN on the digits, from scratch or from a checkpoint. `ah train` runs this."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from cnn import load_network, load_split, make_network, measure
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

params = json.loads(os.environ.get("AH_PARAMS") or "{}")
epochs = int(params.get("epochs", 5))
rate = float(params.get("rate", 0.003))
torch.manual_seed(int(params.get("seed", 0)))
torch.use_deterministic_algorithms(True)

images, labels = load_split(Path(os.environ["AH_DATASET_DIR"], "train"))
checkpoint = os.environ.get("AH_CHECKPOINT_DIR")
network = load_network(Path(checkpoint)) if checkpoint else make_network()

batches = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)
optimizer = torch.optim.Adam(network.parameters(), lr=rate)
for epoch in range(1, epochs + 1):
    for some_images, some_labels in batches:
        loss = nn.functional.cross_entropy(network(some_images), some_labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    now = measure(network, images, labels)
    print(f"epoch {epoch}: loss {now['loss']:.4f}, accuracy {now['accuracy']:.4f}", flush=True)

torch.save(network.state_dict(), Path(os.environ["AH_OUTPUT_DIR"], "model_state_dict.pt"))
