"""Canonical msgpack: one encoding per value, and only CorruptError for anything else."""

from __future__ import annotations

import math
import time
import tracemalloc

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ahstore.codec.canonical import MAX_DEPTH, Limits, decode, encode
from ahstore.errors import CorruptError, InvalidInputError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(values)
def test_a_value_comes_back(value):
    data = encode(value)
    assert decode(data) == value
    assert encode(decode(data)) == data
    assert decode(memoryview(data)) == value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), scalars))
def test_the_order_of_keys_does_not_matter(value):
    assert encode(dict(reversed(value.items()))) == encode(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, "c0"),
        (True, "c3"),
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (-1, "ff"),
        (-33, "d0df"),
        (65536, "ce00010000"),
        (2**64 - 1, "cfffffffffffffffff"),
        (1.0, "cb3ff0000000000000"),
        ("é", "a2c3a9"),
        (b"\x00", "c40100"),
        ([1, [2]], "92019102"),
        ({"b": 1, "a": [{"d": None, "c": b""}]}, "82a1619182a163c400a164c0a16201"),
    ],
)
def test_the_encoding_is_the_documented_one(value, data):
    # Ids are digests of these bytes: another encoding would change every id ever given.
    assert encode(value).hex() == data
    assert decode(bytes.fromhex(data)) == value


def test_nan_and_infinities_pass():
    assert math.isnan(decode(encode(math.nan)))
    assert decode(encode([math.inf, -math.inf, -0.0])) == [math.inf, -math.inf, 0.0]


class _Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: 2},
        {b"a": 2},
        {"a": (1,)},
        {_Text("a"): 1},
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"\ud800": 1},
        bytearray(b"x"),
        memoryview(b"x"),
        object(),
        msgpack.Timestamp(1),
        [msgpack.ExtType(1, b"")],
        _Text("a"),
    ],
)
def test_other_values_are_refused(value):
    with pytest.raises(InvalidInputError):
        encode(value)


def _nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded_both_ways():
    assert decode(encode(_nested(MAX_DEPTH))) == _nested(MAX_DEPTH)
    with pytest.raises(InvalidInputError):
        encode(_nested(MAX_DEPTH + 1))
    too_deep = b"\x91" * (MAX_DEPTH + 1) + b"\x01"
    with pytest.raises(CorruptError):
        decode(too_deep)
    assert decode(too_deep, limits=Limits(depth=None)) == _nested(MAX_DEPTH + 1)
    with pytest.raises(CorruptError):
        decode(b"\x81\xa1a" * (MAX_DEPTH + 1) + b"\x01")
    assert decode(encode([[1], 2]), limits=Limits(depth=2)) == [[1], 2]
    with pytest.raises(CorruptError):
        decode(encode([2, [1]]), limits=Limits(depth=1))


HOSTILE = {
    "nothing": b"",
    "trailing bytes": b"\x01\x01",
    "truncated list": b"\x92\x01",
    "reserved byte": b"\xc1",
    "long int": b"\xcc\x01",
    "long list head": b"\xdc\x00\x01\x01",
    "long string head": b"\xd9\x01a",
    "float32": b"\xca\x3f\x80\x00\x00",
    "unsorted keys": b"\x82\xa1b\x01\xa1a\x01",
    "duplicate keys": b"\x82\xa1a\x01\xa1a\x01",
    "unsorted keys within": b"\x91\x82\xa1b\x01\xa1a\x01",
    "int key": b"\x81\x01\x01",
    "bytes key": b"\x81\xc4\x01a\x01",
    "list as key": b"\x81\x90\x01",
    "ext": b"\xd4\x01\x00",
    "empty ext": b"\xc7\x00\x05",
    "timestamp": b"\xd6\xff\x00\x00\x00\x01",
    "long timestamp": b"\xc7\x0c\xff" + bytes(12),
    "bad timestamp": b"\xd7\xff" + b"\xff" * 8,
    "not UTF-8": b"\xa1\xff",
    "surrogate": b"\xa3\xed\xa0\x80",
    "huge list": b"\xdd\xff\xff\xff\xff",
    "huge map": b"\xdf\xff\xff\xff\xff",
    "huge string": b"\xdb\xff\xff\xff\xff",
    "huge bytes": b"\xc6\xff\xff\xff\xff",
    "depth 100,000": b"\x91" * 100_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_encodings_are_corrupt(data):
    with pytest.raises(CorruptError):
        decode(data)
    with pytest.raises(CorruptError):
        decode(data, limits=Limits(depth=None, items=10**6))


BOMBS = {
    "empty maps": b"\xdd\x00\x3f\xff\x00" + b"\x80" * 0x3FFF00,
    "empty lists": b"\xdd\x00\x3f\xff\x00" + b"\x90" * 0x3FFF00,
    "many lists of empty maps": (b"\xdc\xff\xff" + b"\x80" * 65535) * 60,
    "open lists of empty maps": (b"\xdc\xff\xff" + b"\x80" * 65530) * 60,
    "open lists of ints": (b"\xdc\xff\xff" + b"\xcd\xff\xff" * 65530) * 20,
    "open lists without bodies": b"\xdc\xff\xff" * 1000,
    "4 MiB of list heads": b"\xdd\x00\x00\xff\xff" * 800_000,
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_cost_little(data):
    # 5 MB of empty maps took 366 MB without bounds: a page from elsewhere could kill its reader.
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(CorruptError):
        decode(data)
    seconds = time.monotonic() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256_000_000
    assert seconds < 5  # far above what it takes, far below what a quadratic decoder would


def test_bytes_and_items_are_bounded():
    data = encode([0] * 100)
    assert decode(data, limits=Limits(bytes=len(data), items=100)) == [0] * 100
    for limits in (Limits(bytes=len(data) - 1), Limits(items=99)):
        with pytest.raises(CorruptError):
            decode(data, limits=limits)
    nested = encode([[0] * 10 for _ in range(10)])
    assert decode(nested, limits=Limits(items=110)) == [[0] * 10 for _ in range(10)]
    with pytest.raises(CorruptError):
        decode(nested, limits=Limits(items=105))


@given(st.binary(max_size=200))
@example(b"\xd6\xff\x00\x00\x00\x00")
def test_any_bytes_are_a_value_or_corrupt(data):
    try:
        value = decode(data)
    except CorruptError:
        return
    assert encode(value) == data


@given(values, st.data())
def test_damaged_encodings_are_a_value_or_corrupt(value, data):
    raw = bytearray(encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode(bytes(raw))
    except CorruptError:
        return
    assert encode(found) == raw
