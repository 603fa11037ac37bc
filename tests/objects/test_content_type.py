"""The table of content types is frozen: the same files are the same tree everywhere."""

from __future__ import annotations

import hashlib
import json

import pytest

from ahstore.errors import InvalidInputError
from ahstore.objects import content_type


def test_the_table_only_grows():
    # Changing a line would show stored files under another type and change the ids of new trees.
    frozen = json.dumps(content_type._TABLE[:135])
    assert (
        hashlib.sha256(frozen.encode()).hexdigest()
        == "43ef0ba21b23de1cadee8d44af8bd8c81b0c0d5ec7c38d688178ec06367bdccd"
    )


def test_no_type_and_no_extension_is_there_twice():
    listed = [one for _, extensions in content_type._TABLE for one in extensions.split()]
    assert len(set(listed)) == len(listed)
    assert len(set(content_type.TYPES)) == len(content_type.TYPES)
    for name in content_type.TYPES:
        assert content_type._TYPE.match(name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model_state_dict.pt", "application/octet-stream"),
        ("asset-hub.metadata", "application/octet-stream"),
        ("model.safetensors", "application/octet-stream"),
        ("train/0001.PNG", "image/png"),
        ("data.tar.gz", "application/gzip"),
        ("data.d/README", "application/octet-stream"),
        (".png", "application/octet-stream"),
        ("dir/.png", "application/octet-stream"),
        ("x.", "application/octet-stream"),
        ("x.m\u212av", "application/octet-stream"),  # its lower case is m, k, v
        ("metric.json", "application/json"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.npz", "application/zip"),
    ],
)
def test_guesses(path, expected):
    assert content_type.guess(path) == expected
    assert content_type.decode(content_type.guess_code(path)) == expected


def test_codes_and_names():
    assert content_type.encode("application/octet-stream") == 0
    assert content_type.encode("text/x-mine") == "text/x-mine"
    assert content_type.decode("text/x-mine") == "text/x-mine"
    assert content_type.decode(60_000) == content_type.DEFAULT
    for name in content_type.TYPES:
        assert content_type.decode(content_type.encode(name)) == name


@pytest.mark.parametrize("bad", ["", "text", "a/b/c", "a/ b", "a/b\n", "a" * 130 + "/b"])
def test_malformed_types_are_refused(bad):
    with pytest.raises(InvalidInputError):
        content_type.encode(bad)
