"""Train on the handwritten digits. `ah train` runs this in a fresh checkout, and says where all is.

AH_DATASET_DIR     the dataset's files, read only
AH_CHECKPOINT_DIR  the model's files to go on from, only when the training continues one (-c)
AH_PARAMS          what was given with -p, as JSON
AH_OUTPUT_DIR      what is left here becomes the commit on the target branch
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from network import Network, load_split

params = json.loads(os.environ.get("AH_PARAMS") or "{}")
epochs = int(params.get("epochs", 5))
rate = float(params.get("rate", 0.1))
batch = int(params.get("batch", 32))
seed = int(params.get("seed", 0))

images, labels = load_split(Path(os.environ["AH_DATASET_DIR"], "train"))

checkpoint = os.environ.get("AH_CHECKPOINT_DIR")
if checkpoint:
    network = Network.load(Path(checkpoint, "model.npz"))
    print(f"continuing after epoch {network.epochs}", flush=True)
else:
    network = Network.random(seed)

for _ in range(epochs):
    network.train_epoch(images, labels, rate=rate, batch=batch, seed=seed)
    now = network.measure(images, labels)
    print(
        f"epoch {network.epochs}: loss {now['loss']:.4f}, accuracy {now['accuracy']:.4f}",
        flush=True,
    )

network.save(Path(os.environ["AH_OUTPUT_DIR"], "model.npz"))
