"""Measure a trained CNN on the digits it has not seen. `ah evaluate` runs this."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cnn import load_network, load_split, measure

network = load_network(Path(os.environ["AH_CHECKPOINT_DIR"])).eval()
images, labels = load_split(Path(os.environ["AH_DATASET_DIR"], "test"))

metric = measure(network, images, labels)
print(f"{len(images)} images: {metric}")
Path(os.environ["AH_RESULTS_DIR"], "metric.json").write_text(json.dumps(metric))
