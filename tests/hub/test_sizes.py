from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.errors import InvalidInputError
from ahstore.hub.sizes import MAX_SIZE, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("100Mi", 100 * 2**20),
        ("1Ki", 1024),
        ("1K", 1000),
        ("1k", 1000),
        ("500M", 500_000_000),
        ("2G", 2 * 10**9),
        ("2Gi", 2 * 2**30),
        ("3Ti", 3 * 2**40),
        ("3T", 3 * 10**12),
        ("1.5Gi", 3 * 2**29),
        ("0.5Ki", 512),
        ("0.1", 1),
        ("1.0001k", 1001),
        ("7Ei", 7 * 2**60),
        ("1P", 10**15),
        ("0000000000000000001", 1),
        (str(MAX_SIZE), MAX_SIZE),
    ],
)
def test_sizes_are_understood(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("100Mib", "did you mean 100Mi?"),
        ("100MiB", "did you mean 100Mi?"),
        ("100mi", "did you mean 100Mi?"),
        ("100MB", "did you mean 100M?"),
        ("100mb", "did you mean 100M?"),
        ("1.5gib", "did you mean 1.5Gi?"),
        ("100 Mi", "did you mean 100Mi?"),
        (" 100Mi", "did you mean 100Mi?"),
        ("100m", "did you mean 100M?"),
        ("100B", "did you mean 100?"),
        ("100 bytes", "did you mean 100?"),
        ("", "empty"),
        (" ", "empty"),
        ("-1", "more than zero"),
        ("-1Mi", "more than zero"),
        ("0", "more than zero"),
        ("0.0Gi", "more than zero"),
        ("8Ei", "the limit is"),
        ("9223372036854775808", "the limit is"),
        ("Mi", "write a number"),
        ("1e3", "write a number"),
        ("1,5Gi", "write a number"),
        ("1_000", "write a number"),
        ("+1", "write a number"),
        (".5Gi", "write a number"),
        ("1.Gi", "write a number"),
        ("nan", "write a number"),
        ("inf", "write a number"),
        ("0x10", "write a number"),
        ("１００", "write a number"),
        ("١", "write a number"),
        ("1\n", "did you mean"),
        ("1Mi\n", "did you mean 1Mi?"),
        ("1Xi", "write a number"),
        ("9" * 100_000, "write a number"),
        ("1." + "0" * 100_000, "write a number"),
        ("\udcff", "write a number"),
    ],
)
def test_other_spellings_are_refused_with_advice(text: str, hint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_size(text)
    assert hint in str(caught.value) or (hint == "did you mean" and "write" in str(caught.value))
    assert len(str(caught.value)) < 300


@given(st.integers(1, MAX_SIZE))
def test_a_formatted_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size
    assert parse_size(str(size)) == size


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1])
def test_what_is_no_size_is_not_formatted(size: int) -> None:
    with pytest.raises(InvalidInputError):
        format_size(size)


@given(
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.sampled_from(["Ki", "Mi", "Gi", "Ti", "k", "K", "M", "G", "T", ""]),
)
def test_decimals_are_exact_and_round_up(whole: int, thousandths: int, unit: str) -> None:
    power = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}.get(unit)
    factor = 1000**power if power is not None else 1024 ** ("KMGT".index(unit[0]) + 1)
    exact = (whole + Fraction(thousandths, 1000)) * factor
    text = f"{whole}.{thousandths:03}{unit}"
    if exact == 0:
        with pytest.raises(InvalidInputError):
            parse_size(text)
    else:
        assert 0 <= parse_size(text) - exact < 1


@given(st.text(max_size=40))
def test_any_text_gives_a_size_or_the_typed_error(text: str) -> None:
    try:
        size = parse_size(text)
    except InvalidInputError:
        return
    assert 1 <= size <= MAX_SIZE
