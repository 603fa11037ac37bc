"""The grammar of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import CorruptError, InvalidInputError
from ahstore.storage.paths import (
    FIRST_VERSION_NAME,
    MAX_VERSION,
    check_key,
    escape,
    unescape,
    version_name,
    version_number,
)

PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("part", "escaped"),
    [
        ("main", "main"),
        ("mnist-cnn_v1.2", "mnist-cnn_v1.2"),
        ("Main", "~main"),
        ("ABC", "~a~b~c"),
        (".", "~02e"),
        ("..", "~02e~02e"),
        (".a.b.", "~02ea.b~02e"),
        ("a/b", "a~02fb"),
        ("~", "~07e"),
        ("é", "~0c3~0a9"),
        ("A" * 128, "~9" + "ifaucqkb" * 25 + "ifauc"),
    ],
)
def test_spelling(part: str, escaped: str) -> None:
    # Golden: another spelling would lose every cell of the stores that exist.
    assert escape(part) == escaped
    assert unescape(escaped) == part


@given(PARTS)
def test_round_trip(part: str) -> None:
    try:
        escaped = escape(part)
    except InvalidInputError:
        assert len(part.encode()) > 158
        return
    assert unescape(escaped) == part
    assert escaped == escaped.lower()
    assert len(escaped.encode()) <= 255
    check_key(f"cells/x/{escaped}/ffffffffffff")


@given(PARTS, PARTS)
def test_different_parts_stay_apart_where_case_is_folded(one: str, other: str) -> None:
    # "Main" and "main" in one folder of a case-insensitive disk would be one branch.
    if one != other:
        assert escape(one).casefold() != escape(other).casefold()


@given(st.text("~09abcAf.-=/", min_size=1, max_size=12))
def test_one_spelling_only(escaped: str) -> None:
    # Two folders for one cell: two heads of one branch.
    try:
        part = unescape(escaped)
    except CorruptError:
        return
    assert escape(part) == escaped


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True))
def test_every_name_fits(name: str) -> None:
    assert unescape(escape(name)) == name


@pytest.mark.parametrize("part", ["", "\udc80", "ü" * 200, "x" * 256])
def test_what_can_not_be_a_part(part: str) -> None:
    with pytest.raises(InvalidInputError):
        escape(part)


def test_numbers_sort_newest_first() -> None:
    numbers = [0, 1, 2, 255, 256, 10**9, MAX_VERSION]
    names = [version_name(number) for number in numbers]
    assert names == sorted(names, reverse=True)
    assert [version_number(name) for name in names] == numbers
    assert names[0] == FIRST_VERSION_NAME == "ffffffffffff"
    for number in (-1, MAX_VERSION + 1):
        with pytest.raises(InvalidInputError):
            version_name(number)


@given(st.text(st.sampled_from("abf0/.~\n-A"), max_size=30))
def test_no_key_leaves_the_store(tail: str) -> None:
    for key in (tail, "hints/" + tail, "cells/" + tail + "/ffffffffffff"):
        try:
            check_key(key)
        except InvalidInputError:
            continue
        assert not {"", ".", ".."} & set(key.split("/"))
        assert "\n" not in key
