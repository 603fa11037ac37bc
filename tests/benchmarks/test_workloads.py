"""The workloads are the same bytes wherever and whenever they are made."""

from __future__ import annotations

import pytest

from benchmarks.rows import ROWS, with_needs
from benchmarks.workloads import (
    MIB,
    Data,
    contents,
    edit_some,
    make_edited,
    make_large,
    make_many,
)


def make(root):
    data = Data(root)
    make_many(data.many, count=400, size=100)
    make_large(data.before / "data.bin", mib=2)
    make_edited(data.before / "data.bin", data.after / "data.bin")
    return data


def test_data_is_deterministic(tmp_path):
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    assert edit_some(first.many, count=3, seed=5) == [
        first.many / path.relative_to(second.many)
        for path in edit_some(second.many, count=3, seed=5)
    ]
    for name in ("many", "before", "after"):
        assert contents(getattr(first, name)) == contents(getattr(second, name))


def test_many_files_differ_and_spread(tmp_path):
    make_many(tmp_path / "many", count=400, size=100)
    found = contents(tmp_path / "many")
    assert len({digest for _, digest in found}) == 400
    assert len(list((tmp_path / "many").iterdir())) == 200


def test_edit_inserts_an_odd_length_and_overwrites(tmp_path):
    data = make(tmp_path)
    before = (data.before / "data.bin").read_bytes()
    after = (data.after / "data.bin").read_bytes()
    piece = 2 * MIB // 20
    insert_at, overwrite_at = 2 * MIB * 300 // 1024, 2 * MIB * 700 // 1024
    shift = len(after) - len(before)
    assert shift == piece + 17
    assert after[:insert_at] == before[:insert_at]
    assert after[insert_at + shift : overwrite_at + shift] == before[insert_at:overwrite_at]
    over = after[overwrite_at + shift : overwrite_at + shift + piece]
    assert over != before[overwrite_at : overwrite_at + piece]
    assert after[overwrite_at + shift + piece :] == before[overwrite_at + piece :]


def test_some_files_are_edited_in_place(tmp_path):
    data = make(tmp_path)
    before = contents(data.many)
    edited = edit_some(data.many, count=10, seed=1)
    assert len(set(edited)) == 10
    assert sum((contents(data.many) - before).values()) == 10
    assert {path.stat().st_size for path in edited} == {100}


def test_rows_bring_what_they_need():
    assert with_needs(["W6"]) == {"W1", "W4", "W6"}
    assert with_needs(ROWS) == set(ROWS)
    with pytest.raises(ValueError, match="no row 'W99'"):
        with_needs(["W1", "W99"])
