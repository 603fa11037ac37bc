"""What differs inside of files: right, and read from no more than what may differ."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ahstore.objects.chunklist import walk
from ahstore.objects.file import FLAGS, LEVEL_SHIFT, REFS, Row
from ahstore.versions.comparing.parts import Inside, compare_inside
from ahstore.versions.comparing.values import Values
from tests.chunks.format_files import noise, npy, npz, parquet, safetensors, tensors, torch_zip
from tests.versions.kit import Asset

Change = tuple[str, str, tuple[str, ...]]


@pytest.fixture
def url() -> str:
    return "memory://inside"


def rows(asset: Asset, *contents: bytes) -> list[Row]:
    """The rows of these contents, committed one after the other."""
    found = []
    for content in contents:
        asset.write(file=content)
        row = asset.repo.files(asset.commit()).find("file")
        assert row is not None
        found.append(row)
    return found


def shown(inside: Inside) -> list[Change]:
    return [(change.kind, change.name, change.what) for change in inside.changes]


class Reads:
    def __init__(self) -> None:
        self.chunks = 0
        self.bytes = 0


@contextmanager
def counted(asset: Asset) -> Iterator[Reads]:
    """Count the chunks that are read of files, lists left out."""
    reads, inner = Reads(), asset.repo.read_chunks

    def read_chunks(chunks: list[Any]) -> Iterator[tuple[Any, bytes]]:
        for address, data in inner(chunks):
            reads.chunks += 1
            reads.bytes += len(data)
            yield address, data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asset.repo, "read_chunks", read_chunks)
        yield reads


def number_of_chunks(asset: Asset, row: Row) -> int:
    return sum(1 for _ in walk(row[FLAGS] >> LEVEL_SHIFT, row[REFS], asset.repo.read_chunk))


LARGE = tensors([3_000_000, 200_000, 1_000_000, 300, 2_000_000])


def with_change(parts: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {**parts, name: noise(len(parts[name]), 99)}


@pytest.mark.parametrize(
    ("make", "prefix"), [(safetensors, "layer."), (npz, "layer."), (torch_zip, "data/")]
)
def test_of_one_changed_tensor_headers_and_one_chunk_are_read(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes], prefix: str
) -> None:
    # That it costs what a download costs is why people do not look.
    old, new = rows(asset, make(LARGE), make(with_change(LARGE, "layer.2")))
    with counted(asset) as reads:
        inside = compare_inside(asset.repo, old, new)
    assert shown(inside) == [("modified", f"{prefix}2", ("content",))]
    assert not inside.note
    # Of each side: head, directory, the member's header, and where the changed tensor begins.
    assert reads.chunks <= 2 * 4
    assert reads.bytes < 2 * 330_000
    assert number_of_chunks(asset, old) > 15


@pytest.mark.parametrize("make", [safetensors, npz])
def test_where_chunks_tell_that_a_tensor_changed_it_is_not_read(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    large = LARGE["layer.0"]
    changed = {**LARGE, "layer.0": large[:1_500_000] + b"!" + large[1_500_001:]}
    old, new = rows(asset, make(LARGE), make(changed))
    with counted(asset) as reads:
        inside = compare_inside(asset.repo, old, new)
    assert shown(inside) == [("modified", "layer.0", ("content",))]
    assert reads.bytes < 3000  # headers


def test_what_is_kept_of_a_file_is_bounded(asset: Asset) -> None:
    from ahstore.versions.comparing.content import KEPT_BYTES, Content

    (row,) = rows(asset, noise(3 * KEPT_BYTES))
    content = Content(asset.repo, row)
    assert sum(map(len, content.blocks(0, content.size))) == content.size
    assert 0 < sum(map(len, content._kept.values())) <= KEPT_BYTES


@pytest.mark.parametrize("make", [safetensors, npz])
def test_of_values_the_changed_chunks_are_read(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    pytest.importorskip("numpy")
    large = noise(6_000_000)
    changed = large[:3_000_000] + bytes([large[3_000_000] ^ 1]) + large[3_000_001:]
    old, new = rows(
        asset, make({"a": large, "b": noise(100, 2)}), make({"a": changed, "b": noise(100, 2)})
    )
    with counted(asset) as reads:
        inside = compare_inside(asset.repo, old, new, values=True)
    (change,) = inside.changes
    assert change.values == Values(6_000_000, 1, 1.0, 1.0, 0)
    assert reads.bytes < 2 * 1_200_000  # a chunk each, or two


def test_of_a_parquet_file_footers_and_one_chunk_are_read(asset: Asset) -> None:
    columns = {name: noise(2_000_000, ord(name)) for name in "abc"}
    changed = {**columns, "b": noise(2_000_000, 9)}
    pa = pytest.importorskip("pyarrow")
    old, new = (parquet_of(pa, parts) for parts in (columns, changed))
    before, after = rows(asset, old, new)
    with counted(asset) as reads:
        inside = compare_inside(asset.repo, before, after)
    assert shown(inside) == [("modified", "b", ("content",))]
    assert inside.unchanged == 2
    assert reads.bytes < 1_000_000


def parquet_of(pa: Any, columns: dict[str, bytes], **options: Any) -> bytes:
    import numpy as np
    import pyarrow.parquet as pq

    file = io.BytesIO()
    table = pa.table({name: np.frombuffer(data, "<i4") for name, data in columns.items()})
    pq.write_table(table, file, compression="none", use_dictionary=False, **options)
    return file.getvalue()


@pytest.mark.parametrize("make", [safetensors, npz])
def test_a_tensor_before_which_one_was_inserted_is_unchanged_and_unread(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    old, new = rows(asset, make(LARGE), make({"first": noise(500_001), **LARGE}))
    with counted(asset) as reads:
        inside = compare_inside(asset.repo, old, new)
    assert shown(inside) == [("added", "first", ())]
    assert inside.unchanged == 5
    assert reads.bytes < 3000  # headers


def test_small_tensors_that_share_a_chunk_are_told_apart(asset: Asset) -> None:
    small = tensors([100] * 50)
    old, new = rows(asset, safetensors(small), safetensors(with_change(small, "layer.7")))
    assert shown(compare_inside(asset.repo, old, new)) == [("modified", "layer.7", ("content",))]
    # Moved by a longer header, and still the same.
    renamed = {("another.name" if n == "layer.0" else n): data for n, data in small.items()}
    (moved,) = rows(asset, safetensors(renamed))
    inside = compare_inside(asset.repo, old, moved)
    assert renames(inside) == [("layer.0", "another.name")]
    assert inside.unchanged == 49
    apart = compare_inside(asset.repo, old, moved, renames=False)
    assert [change[:2] for change in shown(apart)] == [
        ("added", "another.name"), ("deleted", "layer.0"),
    ]  # fmt: skip


def renames(inside: Inside) -> list[tuple[str, str]]:
    """Old and new names, of changes that all are renames."""
    assert {change.kind for change in inside.changes} <= {"renamed"}
    assert all(change.what == () and change.values is None for change in inside.changes)
    return [(change.old.name, change.name) for change in inside.changes if change.old]


@pytest.mark.parametrize("make", [safetensors, npz])
def test_tensors_that_were_all_renamed_are_told_without_reading_them(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    # A prefix more, as frameworks add one, looked like another model.
    same_shape = {f"layer.{n}": noise(300_000, n) for n in range(40)}
    parts = {**same_shape, **LARGE, "bias": noise(100, 5)}
    old, new = rows(asset, make(parts), make({f"model.{n}": data for n, data in parts.items()}))
    with counted(asset) as reads:
        inside = compare_inside(asset.repo, old, new)
    assert renames(inside) == [(name, f"model.{name}") for name in parts]
    assert inside.unchanged == 0
    # Headers, and of small arrays the chunks that they share.
    assert reads.bytes < 200_000


@pytest.mark.parametrize("make", [safetensors, npz])
def test_parts_that_have_a_twin_are_no_renames(
    asset: Asset, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    # Which of two equal ones became the new one nobody can say.
    zeros, alone = bytes(4000), noise(4000, 1)
    old, new = rows(
        asset,
        make({"a": zeros, "b": zeros, "c": alone, "d": noise(400, 2), "e": b""}),
        make({"x": zeros, "y": alone, "z": noise(400, 3), "f": b""}),
    )
    found = [
        (kind, name.split("/")[-1]) for kind, name, _ in shown(compare_inside(asset.repo, old, new))
    ]
    assert found[0] == ("added", "x")
    assert ("renamed", "y") in found
    assert {("added", "z"), ("added", "f")} <= {*found}
    assert {("deleted", name) for name in "abde"} <= {*found}
    # And two new ones of one old one neither.
    again, twice = rows(asset, make({"a": alone}), make({"x": alone, "y": alone}))
    kinds = [kind for kind, *_ in shown(compare_inside(asset.repo, again, twice))]
    assert kinds == ["added", "added", "deleted"]


def test_another_type_shape_or_byte_is_no_rename(asset: Asset) -> None:
    data = noise(24, 1)
    before = header(a=("F32", [6], data))
    for after in (
        header(b=("I32", [6], data)),
        header(b=("F32", [2, 3], data)),
        header(b=("F32", [6], data[:-1] + b"x")),
    ):
        inside = compare_inside(asset.repo, *rows(asset, before, after))
        assert [change.kind for change in inside.changes] == ["added", "deleted"]
    inside = compare_inside(asset.repo, *rows(asset, before, header(b=("F32", [6], data))))
    assert renames(inside) == [("a", "b")]


def test_a_renamed_column_is_one(asset: Asset) -> None:
    pa = pytest.importorskip("pyarrow")
    one, two = noise(400_000, 1), noise(400_000, 2)
    before, after = (
        parquet_of(pa, parts) for parts in ({"a": one, "b": two}, {"a": one, "c": two})
    )
    old, new = rows(asset, before, after)
    assert renames(compare_inside(asset.repo, old, new)) == [("b", "c")]


def header(**entries: tuple[str, list[int], bytes]) -> bytes:
    offsets, body = {}, b""
    for name, (dtype, shape, data) in entries.items():
        end = len(body) + len(data)
        offsets[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), end]}
        body += data
    text = json.dumps(offsets).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_types_and_shapes(asset: Asset) -> None:
    old = header(a=("F32", [2, 3], b"x" * 24), b=("F32", [4], b"y" * 16), c=("U8", [2], b"zz"))
    new = header(a=("F32", [3, 2], b"x" * 24), b=("F16", [4], b"y" * 8), c=("I8", [2], b"zz"))
    inside = compare_inside(asset.repo, *rows(asset, old, new))
    assert shown(inside) == [
        ("modified", "a", ("shape",)), ("modified", "b", ("content", "dtype")),
        ("modified", "c", ("dtype",)),
    ]  # fmt: skip
    change = inside.changes[1]
    assert change.old is not None
    assert change.new is not None
    assert (change.old.dtype, change.new.dtype) == ("F32", "F16")


def test_an_array_compressed_otherwise_is_the_same(asset: Asset) -> None:
    parts = {"a": bytes(70_000) + noise(70_000), "b": noise(5000, 2)}
    loose = npz(parts, compression=zipfile.ZIP_DEFLATED)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in parts.items():
            archive.writestr(name + ".npy", npy(data))
    old, again, stored = rows(asset, loose, file.getvalue(), npz(parts))
    assert shown(compare_inside(asset.repo, old, again)) == []
    assert shown(compare_inside(asset.repo, old, stored)) == []
    (changed,) = rows(asset, npz(with_change(parts, "b"), compression=zipfile.ZIP_DEFLATED))
    assert shown(compare_inside(asset.repo, stored, changed)) == [("modified", "b", ("content",))]


def test_other_files_have_no_inside(asset: Asset) -> None:
    old, new = rows(asset, b"text", b"more text")
    assert compare_inside(asset.repo, old, new) == Inside("")
    empty, array = rows(asset, b"", npy(b"123"))
    assert compare_inside(asset.repo, new, empty) == Inside("")
    inside = compare_inside(asset.repo, empty, array)
    assert inside.note == "the format changed: other -> npy"


HOSTILE = {
    "safetensors": safetensors({"a": b"123"})[:-1],
    "npy": npy(b"123")[:-1],
    "zip": torch_zip({"a": b"123"})[:-30],
    "parquet": parquet([{"a": b"123"}])[:-1],
}


@pytest.mark.parametrize("format_", HOSTILE)
def test_a_file_that_lies_is_changed_and_can_not_be_read(asset: Asset, format_: str) -> None:
    make = {
        "safetensors": lambda: safetensors({"a": b"123"}),
        "npy": lambda: npy(b"123"),
        "zip": lambda: torch_zip({"a": b"123"}),
        "parquet": lambda: parquet([{"a": b"123"}]),
    }[format_]
    good, bad = rows(asset, make(), HOSTILE[format_])
    for old, new in ((good, bad), (bad, good)):
        inside = compare_inside(asset.repo, old, new)
        assert inside.format == format_
        assert inside.note.startswith(f"can't be read as {format_}")
        assert inside.changes == ()


def test_a_member_that_lies_is_named_and_the_others_are_compared(asset: Asset) -> None:
    parts = {"a": noise(1000), "b": noise(1000, 2)}
    bad = npz(with_change(parts, "a"))
    at = bad.index(b"'descr'")
    old, new = rows(asset, npz(parts), bad[:at] + b"'descR'" + bad[at + 7 :])
    inside = compare_inside(asset.repo, old, new)
    (change,) = inside.changes
    assert (change.name, change.what) == ("a", ("content",))
    assert change.note == "can't be read: an array's header is malformed"


def claiming(raw: int, fill: int) -> bytes:
    """A deflated array of 100,000 bytes that claims to be ``raw`` bytes."""
    real = npy(bytes([fill]) * 100_000)
    length = real.index(b"\n") + 1
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({raw},), }}"
    head = real[:10] + text.ljust(length - 11).encode() + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", head + real[length:])
    data = bytearray(file.getvalue())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", raw + length)
    return bytes(data)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (2**32 - 1000, "it is compressed beyond belief"),
        (10**6, "it is shorter than its header says"),
    ],
)
def test_what_is_not_as_long_as_it_claims_is_given_up(asset: Asset, raw: int, why: str) -> None:
    # A few KiB become terabytes, if their header is believed.
    inside = compare_inside(asset.repo, *rows(asset, claiming(raw, 0), claiming(raw, 1)))
    (change,) = inside.changes
    assert change.note == f"can't be read: {why}"


def test_damage_in_the_store_is_not_taken_for_a_file_that_lies(
    asset: Asset, tmp_path: Path
) -> None:
    from ahstore.errors import CorruptError

    old, new = rows(asset, safetensors(tensors([300])), safetensors(tensors([301])))

    def damaged(chunks: list[Any]) -> Iterator[Any]:
        raise CorruptError("damaged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asset.repo, "read_chunks", damaged)
        with pytest.raises(CorruptError):
            compare_inside(asset.repo, old, new)


def test_no_numpy_is_needed_to_see_what_differs(
    asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from ahstore.errors import UnsupportedError

    for name in ("ahstore.versions.comparing.values", "ahstore.versions.comparing.numbers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    old, new = rows(asset, npz(LARGE), npz(with_change(LARGE, "layer.3")))
    assert shown(compare_inside(asset.repo, old, new)) == [("modified", "layer.3", ("content",))]
    with pytest.raises(UnsupportedError, match=r"pip install 'ahstore\[diff\]'"):
        compare_inside(asset.repo, old, new, values=True)
