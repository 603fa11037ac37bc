"""New ids are UUIDs that any other program takes for such."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from ahstore.ids import new_entity_id, new_pack_id, parse_entity_id, parse_pack_id, uuid_text


@given(st.integers(0, 2**128 - 1), st.sampled_from([4, 8]))
def test_ids_made_by_hand_are_uuids(number: int, version: int) -> None:
    text = uuid_text(number, version=version)
    found = uuid.UUID(text)
    assert str(found) == text == parse_entity_id(text)
    assert found.variant == uuid.RFC_4122
    assert found.int >> 76 & 0xF == version
    assert found.int & (2**62 - 1) == number & (2**62 - 1)
    assert found.int >> 80 == number >> 80


def test_new_ids_differ() -> None:
    assert len({new_entity_id() for _ in range(1000)}) == 1000
    assert len({parse_pack_id(new_pack_id()) for _ in range(1000)}) == 1000
