"""What files hold: files of real writers read, hostile ones refused, within bounds."""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import time
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahstore.chunks.formats.reading import Glance
from ahstore.objects.parts.read import NotThisFormatError, detail, find_format, read_contents
from tests.chunks.format_files import npy, npz, parquet, safetensors, tensors, torch_zip

np = pytest.importorskip("numpy")


def glance(data):
    return Glance(lambda offset, length: data[offset : offset + length], len(data))


def read(data):
    format_ = find_format(glance(data))
    return None if format_ is None else read_contents(glance(data), format_)


def bytes_of(data, part):
    return b"".join(data[offset : offset + length] for offset, length in part.ranges)


def with_header(header, body=b""):
    return struct.pack("<Q", len(header)) + header + body


def test_safetensors():
    given_ = tensors([10, 0, 7])
    data = safetensors(given_, {"format": "pt", "x": 'a "data_offsets":{[0,1]} } in a string'})
    found = read(data)
    assert found.format == "safetensors"
    assert {name: bytes_of(data, part) for name, part in found.parts.items()} == given_
    assert [(p.dtype, p.shape) for p in found.parts.values()] == [
        ("U8", (10,)), ("U8", (0,)), ("U8", (7,)),
    ]  # fmt: skip


def entry(**changes):
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes


HOSTILE_HEADERS = {
    "nothing": b"",
    "no object": b"[]",
    "not closed": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
    "twice": b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2),
    "not UTF-8": b'{"\xff":{}}',
    "deep": b'{"a":' + b"[" * 8000,
    "deep in little": b'{"a":{"shape":' + b"[" * 3000 + b"]" * 3000 + b"}}",
    "overlapping": json.dumps({"a": entry(), "b": entry()}).encode(),
    "deep in a shape": b'{"a":{"dtype":"F32","shape":' + b"[" * 8000 + b"]" * 8000 + b"}}",
    "a number of many digits": b'{"a":{"dtype":"F32","shape":[' + b"9" * 7000 + b"]}}",
    "longer than looked at": b'{"a":{"dtype":"' + b"F" * 9000 + b'"}}',
    "behind the end": json.dumps({"a": entry()}).encode() + b"x",
    "metadata of numbers": b'{"__metadata__":{"a":1}}',
    "no place": json.dumps({"a": {"dtype": "F32", "shape": [1]}}).encode(),
    "no type": json.dumps({"a": entry(dtype=7)}).encode(),
    "a true offset": json.dumps({"a": entry(data_offsets=[False, 4])}).encode(),
    "a fraction": json.dumps({"a": entry(data_offsets=[0, 4.0])}).encode(),
    "negative": json.dumps({"a": entry(data_offsets=[-4, 0])}).encode(),
    "backwards": json.dumps({"a": entry(data_offsets=[4, 0])}).encode(),
    "another shape": json.dumps({"a": entry(shape=[2])}).encode(),
    "a shape of one overflow": json.dumps({"a": entry(shape=[2**62, 2**62, 0, 7])}).encode(),
    "a gap": json.dumps({"a": entry(data_offsets=[1, 5])}).encode(),
    "too long": json.dumps({"a": entry(shape=[2], data_offsets=[0, 8])}).encode(),
    "many dimensions": json.dumps({"a": entry(shape=[1] * 65)}).encode(),
}


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
def test_safetensors_that_lie_are_refused(name):
    data = with_header(HOSTILE_HEADERS[name], b"1234")
    if find_format(glance(data)):
        with pytest.raises(NotThisFormatError):
            read(data)
    with pytest.raises(NotThisFormatError):
        read_contents(glance(data), "safetensors")


def test_a_header_of_many_lists_takes_no_memory():
    # As one JSON value these are 150 MB.
    data = with_header(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}")
    tracemalloc.start()
    try:
        with pytest.raises(NotThisFormatError):
            read(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40e6


def test_a_type_of_later_times_is_shown():
    header = json.dumps({"a": {"dtype": "F3", "shape": [9], "data_offsets": [0, 4]}}).encode()
    part = read(with_header(header, b"1234")).parts["a"]
    assert (part.dtype, part.shape, part.opaque) == ("F3", (9,), "F3 is not known")


ARRAYS = [
    np.arange(6, dtype="<i8").reshape(2, 3),
    np.asfortranarray(np.ones((2, 3), ">f4")),
    np.array(3.0),
    np.zeros((0, 4), "?"),
    np.array(["ab", "cde"]),
    np.array([b"x"]),
    np.array(["2026-01-01"], "M8[D]"),
    np.zeros(3, [("a", "<f4"), ("b", "<i8", (2,)), ("c, ]", "S3")]),
    np.ones(2, "c16"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_of_numpy(array, version):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    data = file.getvalue()
    found = read(data)
    part = found.parts["array"]
    assert (found.format, part.shape) == ("npy", array.shape)
    assert bytes_of(data, part) == array.tobytes("F" if part.fortran else "C")
    if array.dtype.names is None:
        assert np.dtype(part.dtype) == array.dtype
    assert bool(part.opaque) == (array.dtype.names is not None)


def test_pickled_objects_are_told_and_have_no_values():
    for dtype in (object, [("a", "<f4"), ("b", object)]):
        file = io.BytesIO()
        np.save(file, np.zeros(2, dtype), allow_pickle=True)
        assert "pickled" in read(file.getvalue()).parts["array"].opaque


def npy_of(text, body=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"{'descr': '<f4', 'fortran_order': False}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': ((1,),)}",
        b"{'descr': 'float', 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': " + b"[" * 60_000,
        b"{'descr': " + b"-" * 60_000,
        b"{" * 60_000,
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 70 + b")}",
        b"{'descr': '<f4'; 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} or {",
    ],
)
def test_npy_that_lies_is_refused(text):
    if text.endswith(b"or {"):  # what stands behind the end says nothing
        assert read(npy_of(text, b"1234")).parts["array"].shape == (1,)
        return
    with pytest.raises(NotThisFormatError):
        read(npy_of(text, b"1234"))


@pytest.mark.parametrize("make", [np.savez, np.savez_compressed])
def test_npz_of_numpy(make):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b/c": np.zeros(70_000, "i1"), "s": np.array(1)}
    file = io.BytesIO()
    make(file, **arrays)
    data = file.getvalue()
    found = read(data)
    assert (found.format, list(found.parts)) == ("npz", list(arrays))
    for name, array in arrays.items():
        assert found.parts[name].shape is None  # not read yet
        part = detail(glance(data), found.parts[name])
        assert (np.dtype(part.dtype), part.shape) == (array.dtype, array.shape)
        assert part.raw_bytes == array.nbytes
        if make is np.savez:
            assert bytes_of(data, part) == array.tobytes()


def test_torch_is_read_by_records_and_no_pickle_is_loaded():
    evil = b"cos\nsystem\n(S'touch canary'\ntR."
    data = torch_zip(tensors([100, 200]), pickle=evil)
    found = read(data)
    assert found.format == "pytorch"
    assert list(found.parts) == ["data.pkl", "byteorder", "data/0", "data/1"]
    part = detail(glance(data), found.parts["data/1"])
    assert bytes_of(data, part) == tensors([100, 200])["layer.1"]
    assert part.dtype is None
    assert part.opaque


def zipped(names, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name in names:
            archive.writestr(name, b"content of " + name.encode())
    return bytearray(file.getvalue())


def test_any_zip_is_read_by_members():
    found = read(bytes(zipped(["a.txt", "ä/b.bin"])))
    assert (found.format, list(found.parts)) == ("zip", ["a.txt", "ä/b.bin"])


def test_zips_that_lie_are_refused():
    data = zipped(["a", "b"])
    overlapping = data.replace(struct.pack("<I", data.rindex(b"PK\x03\x04")), b"\x05\0\0\0")
    with pytest.raises(NotThisFormatError):
        read(bytes(overlapping))
    same = data.replace(b"PK\x01\x02", b"PK\x01\x02", 1)
    at = same.rindex(b"b", 0, same.rindex(b"PK\x05\x06"))
    same[at : at + 1] = b"a"
    with pytest.raises(NotThisFormatError, match="twice"):
        read(bytes(same))
    no_local = bytearray(data)
    no_local[0:4] = b"PK\x03\x04"
    no_local[data.rindex(b"PK\x03\x04") + 26] = 255  # the second name is long
    with pytest.raises(NotThisFormatError):
        detail(glance(bytes(no_local)), read(bytes(no_local)).parts["b"])


def test_parquet_of_pyarrow():
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "i": pa.array([1, 2, None], pa.int64()),
            "u": pa.array([1, 2, 3], pa.uint8()),
            "s": ["a", "b", "c"],
            "t": pa.array([1, 2, 3], pa.timestamp("ns")),
            "m": pa.array([1, 2, 3], pa.timestamp("ms")),
            "d": pa.array([1, 2, 3]).cast(pa.decimal128(22, 2)),
            "l": [[1], [], [2, 3]],
            "r": [{"x": 1.0}] * 3,
            "h": pa.array(np.zeros(3, "f2")),
            "b": [True, False, None],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2)
    data = file.getvalue()
    found = read(data)
    assert {n: p.dtype for n, p in found.parts.items()} == {
        "i": "int64", "u": "uint8", "s": "string", "t": "timestamp[ns]", "m": "timestamp[ms]",
        "d": "decimal(22, 2)", "l.list.element": "int64", "r.x": "double", "h": "float16",
        "b": "boolean",
    }  # fmt: skip
    assert found.group_rows == (2, 1)
    assert {p.shape for p in found.parts.values()} == {(3,)}
    assert [n for n, p in found.parts.items() if p.opaque] == ["l.list.element", "r.x"]
    theirs = pq.ParquetFile(io.BytesIO(data)).metadata
    for number, part in enumerate(found.parts.values()):
        for group, (offset, length) in enumerate(part.ranges):
            column = theirs.row_group(group).column(number)
            first = column.dictionary_page_offset or column.data_page_offset
            assert (offset, length) == (first, column.total_compressed_size)


def test_a_column_of_another_type_than_its_schema_says_is_refused():
    good, bad = (
        parquet([{"a": b"0123456789"}], change=lambda column, kind=kind: column | {1: kind})
        for kind in (2, 5)
    )
    assert list(read(good).parts) == ["a"]
    with pytest.raises(NotThisFormatError, match="type"):
        read(bad)


def test_a_schema_of_endless_names_is_refused():
    # Its paths together would take gigabytes: each column below a path of 31 long names.
    from tests.chunks.format_files import thrift

    schema = [{4: b"root", 5: 1}]
    schema += [{4: b"n" * 1000, 5: 1} for _ in range(29)] + [{4: b"n" * 1000, 5: 20_000}]
    schema += [{1: 2, 4: b"%d" % number} for number in range(20_000)]
    footer = thrift({1: 2, 2: schema, 3: 0, 4: []})
    started = time.process_time()
    with pytest.raises(NotThisFormatError, match="names"):
        read(b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2**20  # KiB: 1 GiB


def test_little_is_read_of_each():
    for make in (safetensors, npz, torch_zip):
        data = make(tensors([300_000] * 5))
        asked = []

        def read_at(offset, length, data=data, asked=asked):
            asked.append(length)
            return data[offset : offset + length]

        file = Glance(read_at, len(data))
        found = read_contents(file, find_format(file))
        for part in found.parts.values():
            detail(Glance(read_at, len(data)), part)
        assert sum(asked) < 70_000 + 5_000  # a zip's end may have a long comment


FILES = [
    safetensors(tensors([40, 50])),
    npy(b"0123456789"),
    npz(tensors([40, 50])),
    npz(tensors([40, 50]), compression=zipfile.ZIP_DEFLATED),
    torch_zip(tensors([40, 50])),
    parquet([{"a": b"0123456789"}]),
]


def look(data):
    """Read all that is told of a file; the parts lie in it."""
    try:
        found = read(data)
        for part in found.parts.values() if found else ():
            for offset, length in detail(glance(data), part).ranges:
                assert 0 <= offset <= offset + length <= len(data)
    except NotThisFormatError:
        pass


@given(st.sampled_from(FILES), st.data())
@settings(max_examples=1500, deadline=1000)
def test_damaged_files_raise_nothing_else(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(damaged) - 1))
        piece = draw.draw(st.binary(min_size=1, max_size=8))
        if draw.draw(st.booleans()):
            damaged[at : at + len(piece)] = piece
        else:
            damaged[at:at] = piece
    look(bytes(damaged))


HEADS = [b"PAR1", b"PK\x03\x04", b"\x93NUMPY\x01\0\x40\0{'descr': ", struct.pack("<Q", 60) + b"{"]


@given(st.sampled_from(HEADS), st.binary(max_size=400))
@settings(max_examples=500, deadline=1000)
def test_random_files_raise_nothing_else(head, rest):
    look(head + rest)


@pytest.mark.long
def test_many_damaged_files_raise_nothing_else():
    rng = random.Random(7)
    for _ in range(60_000):
        data = bytearray(rng.choice(FILES))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(9))
        look(bytes(data))
