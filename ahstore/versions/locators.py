"""Locators: what a cell tells of where its newest blobs lie, so that a cold reader needs no index.

Implements docs/format/cells.md, "Locators". They are hints: a wrong one only costs a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ahstore.codec.canonical import Value
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.ids import Address, check_address
from ahstore.packs.place import Place

PLACES = "places"


def encode_places(places: Iterable[tuple[Address, Place]]) -> Value:
    """Return the field's form in a cell's value."""
    return [[bytes(address), place.to_value()] for address, place in places]


def decode_places(value: Value) -> Iterator[tuple[Address, Place]]:
    """Yield what the field tells; what is malformed is passed over."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) == 2:
            try:
                yield check_address(item[0]), Place.from_value(item[1])
            except (InvalidInputError, CorruptError):
                continue
