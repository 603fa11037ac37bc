"""Commits: bytes, ids, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec import canonical
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.objects.commit import Commit, commit_id, decode, encode

FIRST = Commit(
    asset="35c3b845-9bd2-405a-8c79-f3dbca75269f",
    parents=(),
    tree=bytes(range(32)),
    message="Repository created",
    committer="user",
    date_us=1_669_891_757_000_000,
)
SECOND = dataclasses.replace(
    FIRST,
    parents=(bytes(32), b"\xff" * 32),
    message="éclair 数据\n\nbody",
    metadata={"run": {"params": [1, 2.5, None, True]}, "a": b"\x00"},
)


def test_golden_ids():
    # An id that changed would orphan every history written before.
    assert (
        commit_id(encode(FIRST)).hex()
        == "e31e970522fc6b3582706bc6b4c0df63dd8d71ad9db0aabc752d8dd6e2e13701"
    )
    assert (
        commit_id(encode(SECOND)).hex()
        == "360816de465f384c9addf25b180de3a90d2dd3b697803aec581ceb8a21af444f"
    )


@pytest.mark.parametrize("commit", [FIRST, SECOND])
def test_what_was_encoded_is_decoded(commit):
    assert decode(encode(commit)) == commit


@given(
    message=st.text(st.characters(exclude_categories=["Cs"])),
    date=st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    parents=st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=16),
)
def test_any_commit_comes_back(message, date, parents):
    commit = dataclasses.replace(FIRST, message=message, date_us=date, parents=tuple(parents))
    assert decode(encode(commit)) == commit


@pytest.mark.parametrize(
    "bad",
    [
        {"asset": "x"},
        {"asset": "../../etc/passwd"},
        {"parents": (b"short",)},
        {"parents": (bytes(32), bytes(32))},
        {"parents": tuple(bytes([i]) * 32 for i in range(17))},
        {"tree": b""},
        {"tree": "0" * 64},
        {"message": None},
        {"message": "\ud800"},
        {"message": "x" * (1 << 20)},
        {"committer": ""},
        {"committer": "x" * 257},
        {"date_us": 1.5},
        {"date_us": True},
        {"date_us": 1 << 62},
        {"metadata": []},
        {"metadata": {"x": object()}},
    ],
)
def test_malformed_commits_are_refused(bad):
    with pytest.raises(InvalidInputError):
        encode(dataclasses.replace(FIRST, **bad))


@pytest.mark.parametrize("change", [{"v": 2}, {"v": True}, {"extra": 1}, {"tree": None}])
def test_documents_that_are_no_commits_are_corrupt(change):
    document = canonical.decode(encode(FIRST)) | change
    with pytest.raises(CorruptError):
        decode(canonical.encode(document))


@given(data=st.binary(max_size=400), cut=st.integers(0, 300), flip=st.integers(0, 2000))
def test_damage_gives_typed_errors_only(data, cut, flip):
    whole = bytearray(encode(SECOND))
    whole[flip % len(whole)] ^= 1 << flip % 8
    for damaged in (data, bytes(whole), encode(FIRST)[:cut]):
        with contextlib.suppress(CorruptError):
            assert encode(decode(damaged)) == damaged
