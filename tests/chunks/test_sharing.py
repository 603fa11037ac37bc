"""What a version adds to the one before it where the cutter knows the format, and where not."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from ahstore.chunks.boundaries import boundaries
from ahstore.chunks.cutter import Cutter, CuttingParameters
from tests.chunks.format_files import noise, npz, parquet, safetensors, tensors, torch_zip

# A model's shape: large matrices, each with a small bias, and a run of small ones.
SMALL = CuttingParameters(nominal=4096, min=1024, max=16_384)
SIZES = [60_000, 400, 30_000, 200, 100, 90_000, 400, *[150] * 60, 50_000, 1024, 20_000, 40]
LAYER = "layer.5"
MAKERS = [safetensors, torch_zip, npz, lambda parts: parquet([parts, {}])]


def chunks(data, *, knows=True):
    found = boundaries(lambda at, n: data[at : at + n], len(data)) if knows else ()
    cut = Cutter(SMALL).cut([data], found)
    return {hashlib.sha256(chunk).digest(): len(chunk) for chunk in cut}


def added(old, new, **how):
    had = chunks(old, **how)
    return sum(length for digest, length in chunks(new, **how).items() if digest not in had)


def overhead(make):
    # Headers, directory, and a run of small parts beside what changed.
    return len(make(tensors(SIZES))) - sum(SIZES) + SMALL.max


@pytest.mark.parametrize("make", MAKERS)
def test_a_changed_tensor_adds_itself(make):
    parts = tensors(SIZES)
    changed = {**parts, LAYER: noise(len(parts[LAYER]), 99)}
    assert added(make(parts), make(changed)) <= len(parts[LAYER]) + overhead(make)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [3, 777, 70_001])
def test_an_inserted_tensor_adds_itself(make, size):
    parts = tensors(SIZES)
    items = list(parts.items())
    longer = dict([*items[:3], ("new", noise(size, 99)), *items[3:]])
    assert added(make(parts), make(longer)) <= size + overhead(make)
    assert added(make(longer), make(parts)) <= overhead(make)


@pytest.mark.parametrize("make", MAKERS)
def test_order_does_not_matter(make):
    # Frameworks write the same tensors in another order after a rename; they add no data.
    parts = tensors(SIZES)
    turned = dict(reversed(parts.items()))
    assert added(make(parts), make(turned)) <= overhead(make) + SMALL.max


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("other", MAKERS)
def test_the_same_tensors_in_another_format_add_no_data(make, other):
    # The small ones are written again, with the headers.
    parts = tensors([60_000, 300, 30_000, 17_001])
    assert added(make(parts), other(parts)) < 5000


def test_formats_are_what_saves():
    # Else the tests above would pass without this part of the program.
    sizes = [4000] * 40
    parts = {str(n): noise(size, n) for n, size in enumerate(sizes)}
    changed = {
        name: noise(4000, 500 + int(name)) if int(name) % 2 else data
        for name, data in parts.items()
    }
    old, new = safetensors(parts), safetensors(changed)
    assert added(old, new) == 20 * 4000
    assert added(old, new, knows=False) > 1.5 * 20 * 4000


def test_members_that_did_not_change_are_shared_when_compressed():
    parts = {name: data + bytes(len(data)) for name, data in tensors(SIZES).items()}

    def make(parts):
        return npz(parts, compression=zipfile.ZIP_DEFLATED)

    changed = {**parts, LAYER: noise(len(parts[LAYER]), 99)}
    assert added(make(parts), make(changed)) <= len(parts[LAYER]) + 2 * SMALL.max
