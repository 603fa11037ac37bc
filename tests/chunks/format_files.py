"""Files of known formats, as their own writers lay them out."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def tensors(sizes, seed=0):
    return {f"layer.{n}": noise(size, (seed, n).__hash__()) for n, size in enumerate(sizes)}


def safetensors(parts, metadata=None, *, header=None):
    offsets, at = {}, 0
    for name, data in parts.items():
        offsets[name] = {
            "dtype": "U8",
            "shape": [len(data)],
            "data_offsets": [at, at + len(data)],
        }
        at += len(data)
    if metadata:
        offsets["__metadata__"] = metadata
    if header is None:
        header = json.dumps(offsets, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + b"".join(parts.values())


def torch_zip(parts, *, pickle=b"\x80\x02}q\x00."):
    """As torch.save does: stored members, their data padded to 64 bytes by the local header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        members = {"m/data.pkl": pickle, "m/byteorder": b"little"}
        members |= {f"m/data/{n}": data for n, data in enumerate(parts.values())}
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            padding = -(file.tell() + 30 + len(name) + 4) % 64
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(info, data)
    return file.getvalue()


def npy(data):
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(data)},), }}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npz(parts, *, compression=zipfile.ZIP_STORED, comment=b""):
    """As numpy.savez does: every member with a zip64 field, its numbers in the local header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.comment = comment
        for name, data in parts.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                member.write(npy(data))
    return file.getvalue()


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def thrift(fields):
    """A struct in Thrift's compact protocol: {id: int | bytes | list of structs or ints | dict}."""
    out, last = b"", 0
    for number, value in fields.items():
        kind = {int: 6, bytes: 8, list: 9, dict: 12, bool: 1}[type(value)]
        step = number - last
        out += bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + varint(2 * number)
        out += thrift_value(value)
        last = number
    return out + b"\0"


def thrift_value(value):
    if isinstance(value, bool):
        return b""
    if isinstance(value, int):
        return varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if isinstance(value, dict):
        return thrift(value)
    inner = 12 if value and isinstance(value[0], dict) else 6
    head = bytes([len(value) << 4 | inner]) if len(value) < 15 else b"\xf6"
    if len(value) >= 15:
        head = bytes([0xF0 | inner]) + varint(len(value))
    return head + b"".join(thrift_value(v) for v in value)


def parquet(groups, *, change=lambda column: column):
    """Row groups of column chunks, given as bytes; ``change`` forges a column's metadata."""
    body, described = b"PAR1", []
    for group in groups:
        columns = []
        for name, data in group.items():
            metadata = {
                1: 2,
                2: [0, 3],
                3: [0],  # path_in_schema, here as integers: skipped all the same
                4: 1,
                5: 1000,
                6: len(data),
                7: len(data),
                9: len(body) + (20 if name.startswith("d") else 0),
                11: len(body) if name.startswith("d") else 0,
                12: {1: b"max", 2: b"min", 3: 0},
            }
            columns.append({2: len(body), 3: change(metadata)})
            body += data
        described.append({1: columns, 2: sum(map(len, group.values())), 3: 1000})
    schema = [{4: b"schema", 5: 1}, {1: 2, 3: 0, 4: b"a", 10: {1: {}}}]
    footer = thrift({1: 2, 2: schema, 3: 1000, 4: described, 6: b"by hand", 30: True})
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"
