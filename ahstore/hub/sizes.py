"""Sizes as people write them: ``100Mi``, ``1.5G``, ``4096``.

Owns the grammar, which is that of Kubernetes quantities (binary suffixes ``Ki Mi Gi Ti Pi Ei``,
decimal ``K k M G T P E``). What a size limits is the business of those who ask for one.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ahstore.errors import InvalidInputError

MAX_SIZE = 2**63 - 1

_UNITS = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}
_BINARY = [(unit, size) for unit, size in _UNITS.items() if unit.endswith("i")]
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?)(Ki|Mi|Gi|Ti|Pi|Ei|[kKMGTPE])?", re.ASCII)
_NEARLY = re.compile(
    r"([0-9]{1,19}(?:\.[0-9]{1,19})?)[ _]?([kmgtpe])(i?)(?:b|bytes?)?", re.ASCII | re.IGNORECASE
)
_EXAMPLES = "write a number of bytes, or one with a unit: 100Mi, 1.5Gi, 500M"


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` says, a fraction of a byte counting as a whole one.

    Raises:
        InvalidInputError: it is no size, is zero, or is more than 2**63 - 1 bytes.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"invalid size {text[:80]!r}: {_advice(text)}", value=text[:80])
    exact = Fraction(match[1]) * _UNITS[match[2] or ""]
    size = -(-exact.numerator // exact.denominator)
    if size == 0:
        raise InvalidInputError(f"invalid size {text!r}: it must be more than zero", value=text)
    if size > MAX_SIZE:
        raise InvalidInputError(f"invalid size {text!r}: the limit is {MAX_SIZE} bytes", value=text)
    return size


def _advice(text: str) -> str:
    if not text.strip():
        return f"it is empty; {_EXAMPLES}"
    if text.strip().startswith("-"):
        return f"it must be more than zero; {_EXAMPLES}"
    plain = re.fullmatch(r"([0-9]{1,19}) ?(?:b|bytes?)", text.strip(), re.ASCII | re.IGNORECASE)
    if plain:
        return f"did you mean {plain[1]}?"
    nearly = _NEARLY.fullmatch(text.strip())
    if nearly:
        return f"did you mean {nearly[1]}{nearly[2].upper()}{nearly[3].lower()}?"
    return _EXAMPLES


def format_size(size: int) -> str:
    """Return the shortest exact spelling of ``size`` bytes: the largest binary unit that divides.

    Raises:
        InvalidInputError: it is not between 1 and 2**63 - 1.
    """
    if not 1 <= size <= MAX_SIZE:
        raise InvalidInputError(f"invalid size {size}: use 1 to {MAX_SIZE} bytes", value=size)
    for unit, factor in reversed(_BINARY):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
