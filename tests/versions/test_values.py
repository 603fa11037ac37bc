"""How far values are apart: as numpy computes it on whole arrays, for every type."""

from __future__ import annotations

import io
import json
import math
import random
import resource
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")

from ahstore.codec.digests import sha256  # noqa: E402
from ahstore.ids import AssetId, ChunkId, new_entity_id  # noqa: E402
from ahstore.objects.chunklist import build  # noqa: E402
from ahstore.objects.file import ChunkRef  # noqa: E402
from ahstore.objects.parts.part import Part, Range  # noqa: E402
from ahstore.objects.samebytes import Listed  # noqa: E402
from ahstore.versions.adding.commits import create_asset_root  # noqa: E402
from ahstore.versions.comparing.numbers import numbers_of  # noqa: E402
from ahstore.versions.comparing.parts import PartChange, compare_inside  # noqa: E402
from ahstore.versions.comparing.raw import Cut  # noqa: E402
from ahstore.versions.comparing.values import Values, _runs  # noqa: E402
from ahstore.versions.repository import Repository  # noqa: E402
from tests.chunks.format_files import torch_zip  # noqa: E402
from tests.versions.kit import Asset  # noqa: E402


@pytest.fixture(scope="module")
def asset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asset]:
    repo = Repository.open("memory://values", create=True)
    asset_id = AssetId(new_entity_id())
    create_asset_root(repo, asset_id, committer="ann")
    yield Asset(repo, asset_id, tmp_path_factory.mktemp("work"))
    repo.close()


def compare(asset: Asset, old: bytes, new: bytes) -> list[PartChange]:
    found = []
    for content in (old, new):
        asset.write(file=content, other=random.randbytes(8))
        found.append(asset.repo.files(asset.commit()).find("file"))
    assert found[0] is not None
    assert found[1] is not None
    return list(compare_inside(asset.repo, found[0], found[1], values=True).changes)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def safetensors(**parts: tuple[str, Any]) -> bytes:
    offsets, body = {}, b""
    for name, (dtype, array) in parts.items():
        data = array.tobytes()
        end = len(body) + len(data)
        offsets[name] = {
            "dtype": dtype, "shape": list(array.shape), "data_offsets": [len(body), end],
        }  # fmt: skip
        body += data
    text = json.dumps(offsets).encode()
    return struct.pack("<Q", len(text)) + text + body


def only(changes: list[PartChange]) -> PartChange:
    (change,) = changes
    return change


def values(asset: Asset, old: bytes, new: bytes) -> Values:
    change = only(compare(asset, old, new))
    assert change.values is not None, change.note
    return change.values


DTYPES = ["<f4", "<f8", "<f2", ">f4", "i1", "u1", "<i4", ">i8", "<u8", "?", "<c8"]


@given(st.sampled_from(DTYPES), st.integers(0, 2**32), st.integers(1, 300_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_as_numpy_has_it(asset: Asset, dtype: str, seed: int, size: int, compressed: bool) -> None:
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal(size) * 50).astype(dtype)
    b = a.copy()
    at = rng.integers(0, size, rng.integers(1, 20))
    b[at] = (rng.standard_normal(len(at)) * 50).astype(dtype)
    changed = int((a != b).sum())
    changes = compare(asset, npz(compressed, a=a), npz(compressed, a=b))
    if not changed and not changes:
        return
    found = only(changes).values
    assert found is not None
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    apart = np.abs(a.astype(wide) - b.astype(wide))
    if a.dtype.kind in "iu":  # beyond 53 bits numpy's own floats are not exact
        apart = np.array([abs(int(x) - int(y)) for x, y in zip(a[at], b[at], strict=True)], "f8")
        apart = apart[np.unique(at, return_index=True)[1]]
    assert (found.total, found.changed, found.not_finite) == (size, changed, 0)
    assert found.l2 == pytest.approx(float(np.sqrt((apart**2).sum())), rel=1e-9)
    assert found.max == pytest.approx(float(apart.max()), rel=1e-9)


def test_bfloat16_is_widened(asset: Asset) -> None:
    a = np.arange(200_000, dtype=np.float32)
    b = a.copy()
    b[[7, 100_000]] += [1, 512]
    halves = [(array.view(np.uint32) >> 16).astype("<u2") for array in (a, b)]
    old, new = (safetensors(w=("BF16", half)) for half in halves)
    found = values(asset, old, new)
    assert (found.total, found.changed) == (200_000, 2)
    assert found.max == 512.0
    assert found.l2 == pytest.approx(math.hypot(512, 1))


# The values that the formats' own papers give for these bytes.
FLOATS = {
    "F8_E4M3": {0x00: 0.0, 0x01: 2**-9, 0x08: 2**-6, 0x38: 1.0, 0x7E: 448.0, 0xFE: -448.0},
    "F8_E5M2": {0x01: 2**-16, 0x04: 2**-14, 0x3C: 1.0, 0x7B: 57344.0, 0x7C: math.inf, 0xBC: -1.0},
    "F8_E8M0": {0x00: 2.0**-127, 0x7F: 1.0, 0xFE: 2.0**127},
}
NANS = {"F8_E4M3": [0x7F, 0xFF], "F8_E5M2": [0x7D, 0x7F, 0xFF], "F8_E8M0": [0xFF]}


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_of_eight_bits(asset: Asset, dtype: str) -> None:
    from ahstore.objects.parts.part import Part

    numbers = numbers_of(Part("a", (), dtype=dtype))
    known = FLOATS[dtype]
    assert numbers.decode(bytes(known)).tolist() == list(known.values())
    assert np.isnan(numbers.decode(bytes(NANS[dtype]))).all()
    table = numbers.decode(bytes(range(256)))
    assert np.isnan(table).sum() == {"F8_E4M3": 2, "F8_E5M2": 6, "F8_E8M0": 1}[dtype]
    old, new = (safetensors(w=(dtype, np.array(each, "u1"))) for each in ([0x38], [0x40]))
    if dtype == "F8_E4M3":
        assert values(asset, old, new) == Values(1, 1, 1.0, 1.0, 0)


def test_nan_and_infinity(asset: Asset) -> None:
    nan, inf = math.nan, math.inf
    a = np.array([nan, nan, 1.0, inf, inf, -inf, 2.0, 5.0])
    b = np.array([nan, 1.0, nan, inf, -inf, 3.0, 2.0, 1.0])
    assert values(asset, npy(a), npy(b)) == Values(8, 5, 4.0, 4.0, 4)
    # One NaN has many spellings.
    c = a.copy().view("u8")
    c[0] ^= 1
    assert values(asset, npy(a), npy(c.view("f8"))) == Values(8, 0, 0.0, 0.0, 0)


def test_large_numbers_do_not_overflow(asset: Asset) -> None:
    a, b = np.array([1e200, 1e-200]), np.array([-1e200, 1e-200])
    found = values(asset, npy(a), npy(b))
    assert (found.l2, found.max) == (2e200, 2e200)
    tiny = values(asset, npy(np.zeros(2)), npy(np.array([3e-200, 4e-200])))
    assert tiny.l2 == pytest.approx(5e-200)
    low, high = np.array([-(2**63), 2**62], "i8"), np.array([2**63 - 1, 2**62 + 1], "i8")
    found = values(asset, npy(low), npy(high))
    assert (found.changed, found.max) == (2, 2.0**64)
    unsigned = values(asset, npy(np.array([0, 2**64 - 1], "u8")), npy(np.array([1, 0], "u8")))
    assert (unsigned.changed, unsigned.max) == (2, 2.0**64)


def test_another_type_of_the_same_shape_is_compared_by_value(asset: Asset) -> None:
    a = np.array([0.1, 0.5, 100.0], "<f4")
    half = (a.view("u4") >> 16).astype("<u2")
    found = values(asset, safetensors(w=("F32", a)), safetensors(w=("BF16", half)))
    assert (found.total, found.changed) == (3, 1)
    assert found.max == pytest.approx(0.1 - 0.099609375, rel=1e-3)
    mixed = values(asset, npy(np.array([1, 2], "i8")), npy(np.array([1, 3], "u1")))
    assert mixed == Values(2, 1, 1.0, 1.0, 0)


def test_what_is_no_number_is_counted(asset: Asset) -> None:
    found = values(asset, npy(np.array(["a", "bc"])), npy(np.array(["a", "bd"])))
    assert found == Values(2, 1, None, None, 0)
    times = [np.array(["2026-01-01", each], "M8[D]") for each in ("2026-01-02", "NaT")]
    assert values(asset, npy(times[0]), npy(times[1])) == Values(2, 1, None, None, 0)


def note(asset: Asset, old: bytes, new: bytes) -> str:
    change = only(compare(asset, old, new))
    assert change.values is None
    return change.note


def test_why_values_are_not_compared_is_said(asset: Asset) -> None:
    records = [np.array([(1, each)], [("a", "i4"), ("b", "f4")]) for each in (1, 2)]
    assert "several fields" in note(asset, npy(records[0]), npy(records[1]))
    pickled = [np.array([each], object) for each in ("a", "b")]
    assert "pickled" in note(asset, npy(pickled[0]), npy(pickled[1]))
    assert "shapes differ" in note(asset, npy(np.zeros(3)), npy(np.ones(4)))
    square = np.arange(6.0).reshape(2, 3)
    assert "another order" in note(asset, npy(square), npy(np.asfortranarray(square)))
    torch = [torch_zip({"a": each * 100}) for each in (b"x", b"y")]
    assert "not known" in note(asset, *torch)
    four = [safetensors(w=("F4", np.array([each], "u1").repeat(1))) for each in (1, 2)]
    odd = [each.replace(b'"shape": [1]', b'"shape": [2]') for each in four]
    assert "F4 is not known" in note(asset, *odd)
    text = npy(np.array(["a"])), npy(np.array([1.0]))
    assert "not comparable" in note(asset, *text)


def test_an_array_in_columns_is_compared_as_it_lies(asset: Asset) -> None:
    a = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    b = a.copy(order="F")
    b[1, 2] = 0
    assert values(asset, npy(a), npy(b)) == Values(6, 1, 5.0, 5.0, 0)


def test_values_that_end_early_are_told(asset: Asset) -> None:
    arrays = [np.random.default_rng(seed).integers(0, 9, 50_000) for seed in (1, 2)]
    old, new = (npz(True, a=array) for array in arrays)
    at = new.index(b"\x93") if b"\x93NUMPY" in new else 200
    broken = new[:at] + bytes(400) + new[at + 400 :]
    change = only(compare(asset, old, broken))
    assert "can't be" in change.note


def test_memory_does_not_follow_the_size(asset: Asset) -> None:
    # Values of 64 MiB on either side, all different.
    a = np.zeros(2**24, "<f4")
    old, new = npz(True, a=a), npz(True, a=a + 1)
    del a
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = values(asset, old, new)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert found == Values(2**24, 2**24, pytest.approx(4096.0), 1.0, 0)
    assert (after - before) < 40 * 1024  # KiB


# Columns.


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def columns_of(asset: Asset, old: bytes, new: bytes) -> dict[str, Values | str]:
    return {c.name: c.values or c.note for c in compare(asset, old, new)}


def test_columns(asset: Asset) -> None:
    pa = pytest.importorskip("pyarrow")
    rng = np.random.default_rng(3)
    old = {
        "f": rng.standard_normal(5000),
        "i": pa.array([None if n % 7 == 0 else n for n in range(5000)]),
        "s": [f"row {n % 100}" for n in range(5000)],
        "b": [n % 3 == 0 for n in range(5000)],
        "t": pa.array(range(5000), pa.timestamp("us")),
        "d": pa.array([n * 100 for n in range(5000)]).cast(pa.decimal128(22, 2)),
        "l": [[n] for n in range(5000)],
        "same": np.arange(5000),
    }
    f = old["f"].copy()
    f[4000] += 2
    i = old["i"].to_pylist()
    i[0], i[1], i[2] = 7, None, i[2] + 3
    t = old["t"].to_pylist()
    t[9] = None
    d = old["d"].to_pylist()
    d[1] += 5
    new = {
        **old,
        "f": f,
        "i": pa.array(i),
        "s": [*old["s"][:-2], "x", "y"],
        "b": [not old["b"][0], *old["b"][1:]],
        "t": pa.array(t, pa.timestamp("us")),
        "d": pa.array(d, pa.decimal128(22, 2)),
        "l": [[0, 0], *old["l"][1:]],
    }
    for sizes in ((1000, 1000), (1000, 777)):
        found = columns_of(
            asset,
            parquet(old, row_group_size=sizes[0]),
            parquet(new, row_group_size=sizes[1]),
        )
        assert found["f"] == Values(5000, 1, pytest.approx(2.0), pytest.approx(2.0), 0)
        assert found["i"] == Values(5000, 3, 3.0, 3.0, 2)
        assert found["s"] == Values(5000, 2, None, None, 0)
        assert found["b"] == Values(5000, 1, 1.0, 1.0, 0)
        assert found["t"] == Values(5000, 1, None, None, 0)
        assert found["d"] == Values(5000, 1, 5.0, 5.0, 0)
        assert found["l.list.element"] == "values are not compared: a nested column"
        if sizes[0] == sizes[1]:
            assert "same" not in found
        else:  # stored differently, the same values
            assert found["same"] == Values(5000, 0, 0.0, 0.0, 0)


def test_only_row_groups_that_differ_are_read(
    asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"a": np.random.default_rng(1).standard_normal(400_000), "z": np.zeros(400_000)}
    b = old["a"].copy()
    b[399_999] += 1
    options = {"row_group_size": 50_000, "compression": "none", "use_dictionary": False}
    versions = [parquet(each, **options) for each in (old, {**old, "a": b})]
    read = 0
    inner = asset.repo.read_chunks

    def read_chunks(chunks: Any) -> Iterator[Any]:
        nonlocal read
        for address, data in inner(chunks):
            read += len(data)
            yield address, data

    monkeypatch.setattr(asset.repo, "read_chunks", read_chunks)
    found = columns_of(asset, *versions)
    assert found["a"] == Values(400_000, 1, pytest.approx(1.0), pytest.approx(1.0), 0)
    # One group of eight, on either side, and footers; 6.4 MB would be all.
    assert read < 2_500_000


def test_damage_in_the_store_is_no_matter_of_the_column(
    asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Taken for a file that lies, it would be passed over in silence.
    from ahstore.errors import StorageError
    from ahstore.versions.comparing import columns

    def damaged(*_: object) -> bytes:
        raise StorageError("the disk failed")

    monkeypatch.setattr(columns._Stream, "read", damaged)
    with pytest.raises(StorageError):
        compare(asset, parquet({"a": [1]}), parquet({"a": [2]}))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.data())
@settings(max_examples=200, deadline=None)
def test_elements_that_chunks_cut_through_are_compared_whole(sizes: list[int], data: Any) -> None:
    # A weight whose bytes lie in two chunks would otherwise be left out, or half of it compared.
    length = sum(sizes) // 4 * 4
    one = bytes(length)
    other = bytearray(one)
    for at in data.draw(st.lists(st.integers(0, max(0, length - 1)), max_size=3)):
        other[at : at + 1] = b"x" if length else b""
    sides = [
        Cut(_Plain(content, sizes), Part("a", (Range(0, length),), "<f4", (length // 4,)))  # type: ignore[arg-type]
        for content in (one, bytes(other))
    ]
    named = {
        element
        for first, number in _runs(*sides, 4, length // 4)
        for element in range(first, first + number)
    }
    differ = {at // 4 for at in range(length) if one[at] != other[at]}
    assert differ <= named <= set(range(length // 4))


class _Plain:
    """A file of chunks of given sizes, by its list alone."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        refs, at = [], 0
        for size in sizes:
            if chunk := content[at : at + size]:
                refs.append(ChunkRef(ChunkId(sha256(chunk)), len(chunk)))
            at += size
        kept: dict[ChunkId, bytes] = {}

        def put(data: bytes) -> ChunkId:
            kept[ChunkId(sha256(data))] = data
            return ChunkId(sha256(data))

        self.listed = Listed(*build(refs, put), kept.__getitem__)


def test_columns_of_other_types(asset: Asset) -> None:
    pa = pytest.importorskip("pyarrow")
    a = {"x": pa.array([1, 2, 3], pa.int32()), "y": ["a", "b", "c"]}
    b = {"x": pa.array([1.0, 2.5, 3.0], pa.float64()), "y": [1, 2, 3]}
    found = columns_of(asset, parquet(a), parquet(b))
    assert found["x"] == Values(3, 1, 0.5, 0.5, 0)
    assert found["y"] == "values can't be read: the types are not comparable"


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_damaged_columns_are_told_and_never_raise(asset: Asset, seed: int) -> None:
    rng = random.Random(seed)
    old = parquet({"a": list(range(2000)), "s": [str(n % 50) for n in range(2000)]})
    new = bytearray(old)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(4, len(new) - 8)
        new[at] = rng.randrange(256)
    compare(asset, old, bytes(new))


def test_without_pyarrow_the_error_says_what_to_install(
    asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from ahstore.errors import UnsupportedError

    old, new = parquet({"a": [1]}), parquet({"a": [2]})
    monkeypatch.delitem(sys.modules, "ahstore.versions.comparing.columns", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'ahstore\[diff\]'"):
        compare(asset, old, new)
