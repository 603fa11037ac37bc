from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec import canonical
from ahstore.errors import InvalidInputError
from ahstore.hub.labels import (
    MAX_DESCRIPTION_BYTES,
    MAX_LABEL_LENGTH,
    MAX_LABELS,
    check_description,
    check_labels,
)


def test_labels_keep_their_order_and_stand_once() -> None:
    assert check_labels(["b", "a", "b", "computer vision", "视觉"]) == (
        "b",
        "a",
        "computer vision",
        "视觉",
    )
    assert check_labels([]) == ()
    assert len(check_labels(map(str, range(MAX_LABELS)))) == MAX_LABELS


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("", "empty"),
        (" ", "empty"),
        (" a", "space"),
        ("a ", "space"),
        ("a\nb", "not allowed"),
        ("a\x00", "not allowed"),
        ("a\x1b[31m", "not allowed"),
        ("a\u2028b", "not allowed"),
        ("\udcff", "not valid UTF-8"),
        ("a" * (MAX_LABEL_LENGTH + 1), "the limit is"),
        (3, "not a text"),
        (None, "not a text"),
        (b"a", "not a text"),
    ],
)
def test_other_labels_are_refused(label: object, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem) as caught:
        check_labels(["fine", label])  # type: ignore[list-item]
    str(caught.value).encode("utf-8")


def test_one_text_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(InvalidInputError, match="a list of texts"):
        check_labels("vision")


def test_there_may_be_so_many_labels() -> None:
    with pytest.raises(InvalidInputError, match="the limit is"):
        check_labels(map(str, range(MAX_LABELS + 1)))


@pytest.mark.parametrize("text", ["", "line\nline", "tab\t", "ä" * (MAX_DESCRIPTION_BYTES // 2)])
def test_descriptions(text: str) -> None:
    assert check_description(text) == text


@pytest.mark.parametrize(
    "text", ["\x00", "\x1b[31m", "\r", "\udcff", "a" * (MAX_DESCRIPTION_BYTES + 1)]
)
def test_other_descriptions_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid description") as caught:
        check_description(text)
    assert len(str(caught.value)) < 200


@given(st.lists(st.text(max_size=10), max_size=4), st.text(max_size=30))
def test_what_is_accepted_can_be_stored(labels: list[str], text: str) -> None:
    try:
        accepted = [*check_labels(labels), check_description(text)]
    except InvalidInputError:
        return
    canonical.encode(list[canonical.Value](accepted))
