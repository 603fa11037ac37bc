from __future__ import annotations

import pytest

from ahstore.codec.ends import END_BYTES, check_version, open_end, seal_end
from ahstore.errors import CorruptError, UnsupportedError


def test_what_was_sealed_is_opened_and_nothing_else() -> None:
    end = seal_end(b"fields", b"KPHA")
    assert len(end) == 6 + END_BYTES
    assert open_end(end, b"KPHA", size=6, what="a pack") == b"fields"
    for wrong in (end[1:], b"", b"x" + end, end[:-1]):
        with pytest.raises(CorruptError, match="not a pack, or truncated"):
            open_end(wrong, b"KPHA", size=6, what="a pack")
    with pytest.raises(CorruptError, match="not a segment"):
        open_end(end, b"XIHA", size=6, what="a segment")
    for at in range(6 + 8):
        damaged = bytearray(end)
        damaged[at] ^= 1
        with pytest.raises(CorruptError, match="is damaged"):
            open_end(bytes(damaged), b"KPHA", size=6, what="a pack")


def test_a_later_version_is_no_damage() -> None:
    check_version(1, 1, what="a pack")
    with pytest.raises(UnsupportedError, match="a pack of version 2: this version of ahstore"):
        check_version(2, 1, what="a pack")
