"""Rows of the hub: what is written reads back, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec import canonical
from ahstore.errors import CorruptError
from ahstore.hub.records import (
    EvaluationEntry,
    Listing,
    Side,
    parse_evaluation_key,
    parse_folder_key,
)
from ahstore.ids import Address, CommitId, RunId, new_entity_id

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COMMITS = st.binary(min_size=32, max_size=32).map(lambda raw: CommitId(Address(raw)))
TIMES = st.floats(0, 2**40)
SIDES = st.builds(Side, COMMITS, TEXT, TEXT, st.lists(TEXT, max_size=3).map(tuple))
ENTRIES = st.builds(
    EvaluationEntry,
    model=SIDES,
    dataset=SIDES,
    dataset_path=TEXT,
    results=st.dictionaries(TEXT, TEXT, max_size=4),
    created=TIMES,
    run=st.none() | st.uuids().map(lambda uuid: RunId(new_entity_id())),
    by=TEXT,
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


@given(ENTRIES)
def test_an_evaluation_reads_back(entry: EvaluationEntry) -> None:
    stored = canonical.decode(canonical.encode(entry.to_value()))
    assert EvaluationEntry.from_value(stored, entry.model.commit) == entry


@given(st.lists(TEXT, max_size=4).map(tuple), TEXT, TIMES)
def test_a_listing_reads_back(labels: tuple[str, ...], description: str, created: float) -> None:
    listing = Listing(new_entity_id(), labels, description, created)
    stored = canonical.decode(canonical.encode(listing.to_value()))
    assert Listing.from_value(stored) == listing


@given(VALUES, COMMITS)
def test_other_values_give_the_typed_error(value: canonical.Value, commit: CommitId) -> None:
    with pytest.raises(CorruptError):
        Listing.from_value(value)
    with pytest.raises(CorruptError):
        EvaluationEntry.from_value(value, commit)


@given(ENTRIES, st.data())
def test_one_element_of_another_type_gives_the_typed_error(
    entry: EvaluationEntry, data: st.DataObject
) -> None:
    value = entry.to_value()
    at = data.draw(st.integers(0, len(value) - 1))
    wrong = data.draw(st.sampled_from([3, True, b"\x00", {"a": 1}, [[]], [1]]))
    if at == 2 or type(wrong) is not type(value[at]):
        value[at] = wrong
        with pytest.raises(CorruptError):
            EvaluationEntry.from_value(value, entry.model.commit)


def test_what_later_versions_add_is_ignored() -> None:
    # A store written by a later version must stay readable by this one.
    commit = CommitId(Address(bytes(32)))
    side = Side(commit, "main", "main", ())
    entry = EvaluationEntry(side, side, "u/dataset/f/a", {"metric": "{}"}, 1.0, None, "u")
    assert EvaluationEntry.from_value([*entry.to_value(), "new"], commit) == entry
    listing = Listing(new_entity_id(), ("a",), "", 1.0)
    assert Listing.from_value({**listing.to_value(), "zzz": 1}) == listing


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "a/b/c",
        "a/model",
        "a/model/b/c",
        "../model/b",
        "a/thing/b",
        "a/model/",
        "a/model/.b",
    ],
)
def test_other_keys_are_no_folders(key: str) -> None:
    with pytest.raises(CorruptError):
        parse_folder_key(key)


@given(TEXT)
def test_other_keys_are_no_evaluations(key: str) -> None:
    with pytest.raises(CorruptError):
        parse_evaluation_key(key)


def test_keys_read_back() -> None:
    dataset, evaluation = new_entity_id(), new_entity_id()
    key = f"{'ab' * 32}/{dataset}/{evaluation}"
    assert parse_evaluation_key(key) == (bytes([0xAB] * 32), dataset, evaluation)
    assert parse_folder_key("u/model/f") == ("u", "model", "f")
