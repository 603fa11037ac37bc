"""Bytes as numbers: the types of safetensors and NumPy, those NumPy has no name for widened.

Needs numpy, which is optional: imported only when values are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ahstore.objects.parts.part import Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Family: TypeAlias = Literal["real", "integer", "complex", "bytes"]

_PLAIN = {
    "BOOL": "u1", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
_SMALL = {"F8_E4M3": (4, 3, 7), "F8_E5M2": (5, 2, 15), "F8_E8M0": (8, 0, 127)}
_FAMILIES: dict[str, Family] = {
    "b": "integer", "i": "integer", "u": "integer", "f": "real", "c": "complex",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a type's elements are read.

    Attributes:
        item_bytes: of an element.
        family: how they are compared; ``bytes`` are only told to be the same or not.
        decode: makes an array of elements from bytes.
    """

    item_bytes: int
    family: Family
    decode: Callable[[bytes], Array]


def numbers_of(part: Part) -> Numbers:
    """Return how the elements of a part with a known type are read.

    Raises:
        TypeError: numpy has no such type.
    """
    name = part.dtype or ""
    if name == "BF16":
        return Numbers(2, "real", _widened)
    if name in _SMALL:
        table = _table(name)
        return Numbers(1, "real", lambda data: table[np.frombuffer(data, np.uint8)])
    dtype = np.dtype(_PLAIN.get(name, name))
    family = _FAMILIES.get(dtype.kind, "bytes")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    if family == "bytes":
        size = dtype.itemsize
        return Numbers(size, family, lambda data: np.frombuffer(data, np.dtype((np.void, size))))
    return Numbers(dtype.itemsize, family, lambda data: np.frombuffer(data, dtype))


def _widened(data: bytes) -> Array:
    """Return bfloat16 as float32, of which they are the upper half."""
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


@cache
def _table(name: str) -> Array:
    """Return the value of each of the 256 floats of 8 bits."""
    exponent_bits, fraction_bits, bias = _SMALL[name]
    return np.array(
        [_small(byte, exponent_bits, fraction_bits, bias) for byte in range(256)], np.float64
    )


def _small(byte: int, exponent_bits: int, fraction_bits: int, bias: int) -> float:
    if exponent_bits == 8:  # no sign, no fraction
        return float("nan") if byte == 255 else 2.0 ** (byte - bias)
    sign = -1.0 if byte & 128 else 1.0
    exponent = byte >> fraction_bits & (1 << exponent_bits) - 1
    fraction = byte & (1 << fraction_bits) - 1
    if exponent == (1 << exponent_bits) - 1:
        if fraction_bits == 2:  # E5M2 is as IEEE has it
            return float("nan") if fraction else sign * float("inf")
        if fraction == (1 << fraction_bits) - 1:  # E4M3 has no infinities
            return float("nan")
    if exponent == 0:
        return sign * fraction * 2.0 ** (1 - bias - fraction_bits)
    return sign * (1 + fraction / (1 << fraction_bits)) * 2.0 ** (exponent - bias)
