"""What the parts that run in process share: timing a call, finding a dataset."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from ahstore.client.dataset import Dataset
from ahstore.client.ref import Branch
from ahstore.client.store import Store


def milliseconds(work: Callable[..., object], *args: object, **kwargs: object) -> float:
    """Call ``work`` and return how long it took."""
    started = time.perf_counter()
    work(*args, **kwargs)
    return (time.perf_counter() - started) * 1000


def quantiles(samples: Sequence[float]) -> dict[str, float]:
    """Return median and 99th percentile of milliseconds."""
    ordered = sorted(samples)
    at = min(len(ordered) - 1, len(ordered) * 99 // 100)
    return {"ms": statistics.median(ordered), "p99 ms": ordered[at]}


def get_dataset(store: Store, path: str) -> Dataset:
    """Return a dataset by its path."""
    found = store.get(path)
    assert isinstance(found, Dataset)
    return found


def get_main(store: Store, path: str) -> Branch:
    """Return a dataset's branch ``main``."""
    return get_dataset(store, path).get_branch("main")
