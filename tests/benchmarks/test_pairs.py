"""The costs of pairs are those that counting by hand gives."""

from __future__ import annotations

import random

from ahstore.chunks.cutter import Cutter
from benchmarks.pairs import Store, markdown, parameters


def test_what_a_second_version_adds(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
    noise = random.Random(1).randbytes(300_000)
    (before / "a").write_bytes(noise)
    (before / "text").write_bytes(b"words " * 5000)
    (after / "moved").write_bytes(noise)
    (after / "new").write_bytes(b"other words " * 5000)
    store = Store(Cutter(parameters(64)))
    first, second = store.add(before), store.add(after)
    assert (first.read, first.files, first.new) == (330_000, 2, 330_000)
    assert 300_000 <= first.stored < 301_000
    assert (second.read, second.files, second.new, second.chunks) == (360_000, 2, 60_000, 1)
    assert second.stored < 500
    assert second.refs == first.refs
    text = "\n".join(markdown({"a pair": {64: (first, second)}}, [64]))
    assert "| a pair | 2 / 2 | 0.3 / 0.4 | 43.5% |" in text
    assert "| a pair | 0.06 |" in text
