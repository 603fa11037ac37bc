"""What is read of a file's format: real files give their parts, all others nothing."""

from __future__ import annotations

import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahstore.chunks.boundaries import RULE, boundaries
from ahstore.chunks.formats.reading import MAX_PARTS, MAX_READ_BYTES
from tests.chunks.format_files import (
    noise,
    npz,
    parquet,
    safetensors,
    tensors,
    thrift,
    torch_zip,
    varint,
)

SIZES = [200_000, 100, 0, 90_000, 30_000, 300_001]


class File:
    """Bytes to look at, and what was looked at."""

    def __init__(self, data):
        self.data = data
        self.reads = []

    def __call__(self, offset, length):
        assert offset >= 0
        assert length >= 0
        self.reads.append(length)
        return self.data[offset : offset + length]


def find(data):
    file = File(data)
    found = boundaries(file, len(data))
    assert sum(file.reads) <= MAX_READ_BYTES
    assert list(found) == sorted(set(found))
    assert not found or (found[0] > 0 and found[-1] == len(data))
    return found


def parts(data):
    found = find(data)
    return [data[a:b] for a, b in zip([0, *found], found, strict=False)]


def test_safetensors():
    given_ = tensors(SIZES)
    file = safetensors(given_, {"format": "pt", "x": 'a "data_offsets":[0,1] in a string'})
    assert parts(file)[1:] == [data for data in given_.values() if data]


@pytest.mark.parametrize("comment", [b"", b"hello", b"x" * 65_535])
def test_npz(comment):
    given_ = tensors(SIZES)
    found = parts(npz(given_, comment=comment))
    assert [p for p in found if p in given_.values()] == [
        data for data in given_.values() if len(data) > 16_384
    ]


def test_compressed_members():
    given_ = {name: data + bytes(len(data)) for name, data in tensors(SIZES).items()}
    file = npz(given_, compression=zipfile.ZIP_DEFLATED)
    other = npz({"first": noise(20_001), **given_}, compression=zipfile.ZIP_DEFLATED)
    large = {part for part in parts(file) if len(part) > 16_384}
    assert len(large) == 4
    assert large < set(parts(other))


def test_torch():
    given_ = tensors(SIZES)
    found = parts(torch_zip(given_))
    assert {d for d in given_.values() if len(d) > 16_384} < set(found)


def test_files_of_real_writers(tmp_path):
    numpy = pytest.importorskip("numpy")
    arrays = {f"a{n}": numpy.arange(n * 9_000, dtype="f4").reshape(3, -1) for n in range(1, 9)}
    numpy.savez(tmp_path / "a.npz", **arrays)
    assert {a.tobytes() for a in arrays.values()} < set(parts((tmp_path / "a.npz").read_bytes()))
    numpy.savez_compressed(tmp_path / "b.npz", **arrays)
    assert len(find((tmp_path / "b.npz").read_bytes())) > len(arrays)


def test_a_zip_of_more_than_four_gib_is_read_by_its_wide_numbers(tmp_path):
    # A checkpoint of 7 billion parameters has offsets beyond 32 bits in its central directory.
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first", noise(20_000))
        archive.start_dir = 5 * 2**30  # where the next one goes: behind a hole
        archive.writestr("second", noise(20_000, 2))
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        last = archive.infolist()[-1].header_offset
    assert last > 2**32
    with path.open("rb") as file:

        def read_at(offset, length):
            file.seek(offset)
            return file.read(length)

        found = boundaries(read_at, size)
    begin = last + 30 + len("second")
    assert {last, begin, begin + 20_000} < set(found)


def with_wide_field(data, wide):
    """The last member's sizes say that they stand in an extra field, which is ``wide``."""
    at = data.rindex(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    name, _ = struct.unpack_from("<HH", data, at + 28)
    record = bytearray(data[at : at + 46 + name])
    record[20:28] = b"\xff" * 8
    record[30:32] = struct.pack("<H", len(wide))
    tail = bytearray(data[end:])
    tail[12:16] = struct.pack(
        "<I", int.from_bytes(tail[12:16], "little") + len(record) + len(wide) - (end - at)
    )
    return data[:at] + record + wide + tail


def test_a_member_whose_sizes_are_both_wide():
    # As a tensor of 4 GiB has them: the size as it was before compression stands first.
    data = torch_zip({"a": noise(20_000), "b": noise(30_000)})
    wide = struct.pack("<HHQQ", 1, 16, 10**12, 30_000)
    assert find(with_wide_field(data, wide))[:-1] == find(data)[:-1]


def test_a_wide_field_that_is_shorter_than_it_says():
    # Its commit failed with a traceback: any file can be committed, whatever it says of itself.
    data = torch_zip({"a": noise(20_000), "b": noise(30_000)})
    assert find(with_wide_field(data, struct.pack("<HH", 1, 16) + b"short")) == ()


def test_parquet():
    group = {"a": noise(70_000), "d1": noise(90_000, 2), "c": noise(10, 3)}
    other = {name: data[::-1] for name, data in group.items()}
    found = parts(parquet([group, other]))
    assert found[0] == b"PAR1"
    assert found[1:-1] == [*group.values(), *other.values()]
    assert len(parts(parquet([{f"c{n}": noise(50, n) for n in range(40)}]))) == 42


@pytest.mark.parametrize("make", [safetensors, npz, torch_zip])
def test_little_is_read(make):
    # What is read here comes before the file itself is: on a network drive each read is a trip.
    file = File(make(tensors([70_000] * 20)))
    assert boundaries(file, len(file.data))
    assert len(file.reads) <= 25
    assert sum(file.reads) <= 100_000


def test_other_files_have_none_and_cost_one_read():
    for data in (b"", b"x", noise(100_000), b"PK\x05\x06" + bytes(18), bytes(5000)):
        file = File(data)
        assert boundaries(file, len(data)) == ()
        assert len(file.reads) == 1


def header(text):
    return safetensors({"a": noise(1000)}, header=text)


OFFSETS = b'{"a":{"data_offsets":[%s]}}'
HOSTILE = {
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{" + noise(1000),
    "header beyond the file": struct.pack("<Q", 10_000) + b"{" + noise(1000),
    "end of 2^63": header(OFFSETS % b"0,9223372036854775808"),
    "end of 10^60": header(OFFSETS % (b"0,1" + b"0" * 60)),
    "negative": header(OFFSETS % b"-1,1000"),
    "fraction": header(OFFSETS % b"0,1e3"),
    "backwards": header(OFFSETS % b"1000,0"),
    "short of the file": header(OFFSETS % b"0,999"),
    "hole": header(b'{"a":{"data_offsets":[0,10]},"b":{"data_offsets":[20,1000]}}'),
    "overlap": header(b'{"a":{"data_offsets":[0,600]},"b":{"data_offsets":[500,1000]}}'),
    "three": header(OFFSETS % b"0,500,1000"),
    "JSON bomb": header(b'{"a":' + b"[" * 3_000_000),
    "too many": header(b"{" + OFFSETS[1:-1] % b"0,0" * (MAX_PARTS + 1) + OFFSETS % b"0,1000"),
    "only names": header(b'{"data_offsets":' * 200_000),
    "zip without end": npz(tensors(SIZES))[:-1],
    "zip with more behind it": npz(tensors(SIZES)) + b"x",
    "only an end": b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 18,
    "two letters": b"PK\x03\x04PK\x05\x06",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_lie_are_just_bytes(name):
    # One crafted file in a dataset must not stop the commit of the others, nor eat the machine.
    assert find(HOSTILE[name]) == ()


def forged(data, magic, offset, value):
    at = data.rindex(magic) + offset
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("magic", "offset", "value"),
    [
        (b"PK\x05\x06", 10, b"\xfe\xff"),  # more members than there are
        (b"PK\x05\x06", 12, b"\xff\xff\xff\x7f"),  # a directory of 2 GiB
        (b"PK\x05\x06", 16, b"\xff\xff\xff\x7f"),  # at 2 GiB
        (b"PK\x01\x02", 0, b"PKxx"),
        (b"PK\x01\x02", 20, b"\xfe\xff\xff\xff"),  # a member of 4 GiB
        (b"PK\x01\x02", 20, b"\xff\xff\xff\xff"),  # and one that says so elsewhere: nowhere
        (b"PK\x01\x02", 28, b"\xff\xff\xff\xff\xff\xff"),  # names of 64 KiB
        (b"PK\x01\x02", 42, b"\xfe\xff\xff\xff"),  # a member at 4 GiB
        (b"PK\x01\x02", 42, b"\x05\x00\x00\x00"),  # a member where none is
    ],
)
def test_zips_that_lie_are_just_bytes(magic, offset, value):
    data = torch_zip(tensors([20_000, 30_000]))
    assert find(data)
    assert find(forged(data, magic, offset, value)) == ()


@pytest.mark.parametrize(
    "change",
    [
        {7: 2**63},
        {7: -1},
        {7: 10**6},
        {9: 0},
        {9: -(2**63)},
        {9: 2**62},
        {7: None},
        {9: None},
        {9: b"text"},
        {7: {}},
    ],
)
def test_parquets_that_lie_are_just_bytes(change):
    def forge(column):
        return {n: v for n, v in sorted({**column, **change}.items()) if v is not None}

    assert find(parquet([{"a": noise(1000)}], change=forge)) == ()


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"\x19" * 10,
        b"\x1c" * 100_000,  # structs in structs
        b"\x19\x19" * 100_000,  # lists in lists
        b"\x49\xfc" + varint(2**62),  # more row groups than bytes
        b"\x49\xf1" + varint(2**30) + bytes(100),
        b"\x18" + varint(2**63) + b"x",
        b"\x1b" + varint(10**6 + 1) + b"\x88",
        b"\x16" + b"\xff" * 100,
        b"\x16" + b"\xff" * 20 + b"\x01\x00",  # a number of 147 bits
        b"\x1e\x00",
        thrift({4: [1, 2]}),
        thrift({4: 5}),
        thrift({4: [{1: [1]}]}),
        thrift({4: [{1: [{2: 4}]}]}),
    ],
)
def test_footers_that_are_none(footer):
    assert find(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1") == ()
    assert find(b"PAR1" + footer + struct.pack("<I", 2**32 - 1) + b"PAR1") == ()


FILES = [
    safetensors(tensors([70, 20_000])),
    npz(tensors([20_000, 30])),
    torch_zip(tensors([20_000, 30])),
    parquet([{"a": noise(300), "d": noise(20)}] * 3),
]


GOLDEN = [
    (136, 206, 20_206),
    (61, 189, 20_189, 20_408, 20_544),
    (70, 134, 192, 20_192, 20_318, 20_680),
    (4, 304, 324, 624, 644, 944, 964, 1308),
]


@given(st.sampled_from(FILES), st.data())
def test_damaged_files_never_raise(data, draw):
    # Whatever a disk or a person did to a file, it can be committed.
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, 300) | st.integers(-400, -1))
        damaged[at % len(data)] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, 40) | st.just(0))
    find(bytes(damaged[: len(damaged) - cut]))


@given(st.sampled_from([b"PAR1", b"PK\x03\x04", struct.pack("<Q", 60) + b"{"]), st.binary())
def test_random_files_never_raise(head, rest):
    find(head + rest)
    find(head + rest + struct.pack("<I", len(rest)) + b"PAR1")


def test_a_file_that_shrinks_while_it_is_looked_at_is_just_bytes():
    data = safetensors(tensors(SIZES))
    assert boundaries(lambda at, n: data[at : at + n][: n // 2], len(data)) == ()
    data = FILES[1]
    assert boundaries(lambda at, n: data[at : at + n][: 300 if n == 512 else n], len(data)) == ()


def test_errors_of_reading_are_passed_on():
    def broken(offset, length):
        raise OSError(5, "I/O error")

    with pytest.raises(OSError, match="I/O"):
        boundaries(broken, 100)


def test_results_are_pinned():
    # With other boundaries an unchanged checkpoint would look changed in every store that has it.
    # What is found may change only together with boundaries.RULE.
    assert RULE == 1
    assert [find(data) for data in FILES] == GOLDEN


def test_a_footer_that_repeats_itself_is_given_up():
    # 16 MiB of one field, again and again, would take seconds of each commit.
    def file(times):
        column = b"\x3c" + b"\x05\x0e\x02" * times + b"\x05\x12\x08" + b"\0\0"
        footer = b"\x49\x1c\x19\x1c" + column + b"\0\0"
        return b"PAR1x" + footer + struct.pack("<I", len(footer)) + b"PAR1"

    assert find(file(2))[:2] == (4, 5)
    assert find(file(1_100_000)) == ()
