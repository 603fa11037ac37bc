"""Rows of the hub: what is written reads back, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec import canonical
from ahstore.errors import CorruptError
from ahstore.hub.evaluation_rows import FIELDS, EvaluationEntry, EvaluationReader, Side
from ahstore.hub.records import AssetRecord, EvaluationRecord, Listing, parse_folder_key
from ahstore.ids import Address, AssetId, CommitId, EvaluationId, FolderId, new_entity_id

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COMMITS = st.binary(min_size=32, max_size=32).map(lambda raw: CommitId(Address(raw)))
TIMES = st.floats(0, 2**40)
NAMES = st.lists(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), max_size=3).map(tuple)
SIDES = st.builds(Side, COMMITS, TEXT, TEXT, NAMES)
IDS = st.uuids().map(str)
ENTRIES = st.builds(
    EvaluationEntry,
    id=IDS,
    model=SIDES,
    dataset=IDS,
    dataset_side=SIDES,
    dataset_path=TEXT,
    results=st.dictionaries(TEXT, TEXT, max_size=4),
    created=TIMES,
    run=st.none() | IDS,
    by=TEXT,
)
MODEL = AssetRecord(
    id=AssetId(new_entity_id()),
    folder=FolderId(new_entity_id()),
    owner="ann",
    type="model",
    folder_name="f",
    name="a",
    labels=(),
    description="",
    created=0.0,
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


def read(key: str, value: canonical.Value) -> EvaluationRecord:
    return EvaluationReader(MODEL, lambda _, path: path).read(key, value)


@given(ENTRIES)
def test_an_evaluation_reads_back(entry: EvaluationEntry) -> None:
    stored = canonical.decode(canonical.encode(entry.to_value()))
    assert read(entry.key, stored) == EvaluationRecord(
        id=entry.id,
        model=MODEL.id,
        model_commit=entry.model.commit,
        model_ref=f"ann/model/f/a:{entry.model.ref}",
        model_branch=entry.model.branch,
        model_tags=entry.model.tags,
        dataset=entry.dataset,
        dataset_commit=entry.dataset_side.commit,
        dataset_ref=f"{entry.dataset_path}:{entry.dataset_side.ref}",
        dataset_branch=entry.dataset_side.branch,
        dataset_tags=entry.dataset_side.tags,
        results=entry.results,
        created=entry.created,
        run=entry.run,
        by=entry.by,
    )


@given(st.lists(TEXT, max_size=4).map(tuple), TEXT, TIMES)
def test_a_listing_reads_back(labels: tuple[str, ...], description: str, created: float) -> None:
    listing = Listing(new_entity_id(), labels, description, created)
    stored = canonical.decode(canonical.encode(listing.to_value()))
    assert Listing.from_value(stored) == listing


@given(VALUES, ENTRIES)
def test_other_values_give_the_typed_error(value: canonical.Value, entry: EvaluationEntry) -> None:
    with pytest.raises(CorruptError):
        Listing.from_value(value)
    with pytest.raises(CorruptError):
        read(entry.key, value)


@given(ENTRIES, st.data())
def test_one_element_of_another_type_gives_the_typed_error(
    entry: EvaluationEntry, data: st.DataObject
) -> None:
    value = entry.to_value()
    at = data.draw(st.integers(0, len(value) - 1))
    wrong = data.draw(st.sampled_from([True, b"\x00", b"\x00" * 33, None, {"a": 1}, [[]], 13, -1]))
    value[at] = wrong
    if at == 0 and wrong == 13 and len(value) > 13 and len(value) % 2:
        return  # a later version's field, and results after it
    with pytest.raises(CorruptError):
        read(entry.key, value)


def test_what_later_versions_add_is_ignored() -> None:
    # A store written by a later version must stay readable by this one.
    commit = CommitId(Address(bytes(32)))
    side = Side(commit, "main", "main", ())
    evaluation, dataset = EvaluationId(new_entity_id()), AssetId(new_entity_id())
    entry = EvaluationEntry(
        evaluation, side, dataset, side, "u/dataset/f/a", {"metric": "{}"}, 1.0, None, "u"
    )
    fields = entry.to_value()
    later = [FIELDS + 2, *fields[1:FIELDS], 7, [8], *fields[FIELDS:]]
    assert read(entry.key, later) == read(entry.key, fields)
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


@given(
    TEXT
    | st.sampled_from(
        ["//", "a/b/c", f"{'0' * 64}/{MODEL.id}", f"{'0' * 64}/{MODEL.id}/{'0' * 36}"]
    )
)
def test_other_keys_are_no_evaluations(key: str) -> None:
    side = Side(CommitId(Address(bytes(32))), "", "", ())
    entry = EvaluationEntry(EvaluationId(MODEL.id), side, MODEL.id, side, "", {}, 0.0, None, "")
    read(entry.key, entry.to_value())
    with pytest.raises(CorruptError):
        read(key, entry.to_value())


def test_the_key_of_a_folder_reads_back() -> None:
    assert parse_folder_key("u/model/f") == ("u", "model", "f")
