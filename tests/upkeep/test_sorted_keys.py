"""Sorted sets of keys: the same answers in memory and on disk, with little held in memory."""

from __future__ import annotations

import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from ahstore.upkeep.sorted_keys import KeySorter

KEYS = st.binary(min_size=3, max_size=3)


@given(st.lists(KEYS), st.integers(1, 9), KEYS)
def test_a_set_is_a_set(keys: list[bytes], memory_keys: int, other: bytes) -> None:
    sorter = KeySorter(3, memory_keys=memory_keys)
    for key in keys[::2]:
        sorter.add(key)
    with sorter.finish() as half:
        more = KeySorter(3, memory_keys=memory_keys)
        more.include(half)
        more.update(keys[1::2])
        with more.finish() as found:
            assert list(found) == sorted(set(keys))
            assert len(found) == len(set(keys))
            assert [key for batch in found.batches(2) for key in batch] == sorted(set(keys))
            assert all(key in found for key in keys)
            assert (other in found) == (other in keys)


def test_many_keys_take_little_memory() -> None:
    """A store of a billion chunks must be collected on the machine of whoever runs gc."""
    randbytes = random.Random(1).randbytes
    tracemalloc.start()
    sorter = KeySorter(33, memory_keys=10_000)
    for _ in range(100):
        sorter.update({randbytes(33) for _ in range(1000)})
    with sorter.finish() as found:
        count = sum(1 for _ in found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 10_000 * 300  # all of them in a set of Python's would be 14 MB
