"""Files whose format tells their parts, as commits see them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ahstore.objects.chunklist import walk
from ahstore.versions.restoring.checkout import find_object, open_object
from tests.chunks.format_files import npz, parquet, safetensors, torch_zip
from tests.versions.kit import Asset


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("make", [safetensors, npz, torch_zip, lambda parts: parquet([parts])])
def test_a_checkpoint_with_one_changed_layer_adds_one_layer(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    # What a training run's checkpoints cost together follows from this.
    layers = {f"l{n}": noise(400_000 + n) for n in range(6)}
    asset.write(model=make(layers))
    first = find_object(asset.repo, asset.commit(), "model")
    changed = make({**layers, "l3": noise(400_103)})
    asset.write(model=changed)
    commit = asset.commit()
    second = find_object(asset.repo, commit, "model")
    assert first is not None
    assert second is not None
    read = asset.repo.read_chunk
    had = {ref.id for ref, _ in walk(first.level, first.refs, read)}
    added = [ref.length for ref, _ in walk(second.level, second.refs, read) if ref.id not in had]
    assert 400_103 <= sum(added) <= 400_103 + 3000
    with open_object(asset.repo, commit, "model") as stream:
        assert stream.read() == changed
