"""Measure a trained model on the digits it has not seen. `ah evaluate` runs this.

AH_CHECKPOINT_DIR  the files of the model's commit, read only
AH_DATASET_DIR     the dataset's files, read only
AH_RESULTS_DIR     each NAME.json left here becomes results[NAME] of the evaluation
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from network import Network, load_split

network = Network.load(Path(os.environ["AH_CHECKPOINT_DIR"], "model.npz"))
images, labels = load_split(Path(os.environ["AH_DATASET_DIR"], "test"))

metric = network.measure(images, labels)
print(f"{len(images)} images: {metric}")
Path(os.environ["AH_RESULTS_DIR"], "metric.json").write_text(json.dumps(metric))
