"""The digests are the published functions, on any buffer."""

from __future__ import annotations

from ahstore.codec import digests


def test_known_digests():
    # Addresses and checksums are stored: another function under the same name loses every byte.
    assert digests.sha256(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")
    assert digests.md5(b"abc").hex() == "900150983cd24fb0d6963f7d28e17f72"
    assert digests.checksum64(b"abc").hex() == "78af5f94892f3950"
    assert digests.checksum64(b"").hex() == "2d06800538d394c2"


def test_any_buffer_will_do():
    for data in (b"abc", bytearray(b"abc"), memoryview(b"xabc")[1:]):
        assert digests.sha256(data) == digests.sha256(b"abc")
        assert digests.md5(data) == digests.md5(b"abc")
        assert digests.checksum64(data) == digests.checksum64(b"abc")
