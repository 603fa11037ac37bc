"""ahstore: versions for models and datasets, with training and evaluation in their history."""

from ahstore._version import __version__

__all__ = ["__version__"]
