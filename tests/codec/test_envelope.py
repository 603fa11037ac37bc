"""The envelope: whole, or CorruptError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.codec.envelope import HEADER_BYTES, seal, unseal
from ahstore.errors import CorruptError, InvalidInputError


@given(st.binary(max_size=300))
def test_a_payload_comes_back(payload):
    assert unseal(b"CELL", seal(b"CELL", payload)) == payload


def test_the_bytes_are_the_documented_ones():
    assert seal(b"CELL", b"abc").hex() == "4148533143454c4c00000003a8763d451a90a2bd616263"


def test_every_flipped_bit_is_found():
    data = seal(b"CELL", b"some payload")
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            unseal(b"CELL", bytes(damaged))


def test_every_truncation_and_any_addition_is_found():
    data = seal(b"CELL", b"some payload")
    for length in range(len(data)):
        with pytest.raises(CorruptError):
            unseal(b"CELL", data[:length])
    with pytest.raises(CorruptError):
        unseal(b"CELL", data + b"\0")


def test_a_document_of_another_kind_is_corrupt():
    # A lease's file put in a branch's place must not be read as a branch.
    with pytest.raises(CorruptError):
        unseal(b"CELL", seal(b"ROOT", b"x"))
    # Nor may its payload be passed off by changing the header: the checksum covers the kind.
    moved = bytearray(seal(b"ROOT", b"x"))
    moved[4:8] = b"CELL"
    with pytest.raises(CorruptError):
        unseal(b"CELL", bytes(moved))


@given(st.binary(max_size=100))
def test_any_bytes_are_corrupt(data):
    with pytest.raises(CorruptError):
        unseal(b"CELL", data)


def test_odd_kinds_are_refused():
    with pytest.raises(InvalidInputError):
        seal(b"LONGER", b"")
    assert len(seal(b"CELL", b"")) == HEADER_BYTES
