"""Write scikit-learn's handwritten digits as files, to commit as a dataset.

python make_dataset.py FOLDER

1,797 images of 8 by 8 pixels from 0 to 16: the first 1,437 for training, the last 360 for
measuring. The data comes with scikit-learn: nothing is downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TRAINING_IMAGES = 1437


def write_split(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write one split as two arrays: images of shape (n, 8, 8) and labels of shape (n,)."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images.astype(np.uint8), allow_pickle=False)
    np.save(folder / "labels.npy", labels.astype(np.uint8), allow_pickle=False)


def main(folder: Path) -> None:
    """Write both splits below ``folder``."""
    digits = load_digits()
    for name, part in (
        ("train", slice(None, TRAINING_IMAGES)),
        ("test", slice(TRAINING_IMAGES, None)),
    ):
        write_split(folder / name, digits.images[part], digits.target[part])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
