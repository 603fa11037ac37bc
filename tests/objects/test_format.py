"""The format does not drift: golden addresses, the worked example, and a second implementation."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgpack
import pytest

from ahstore.objects import chunklist
from ahstore.objects.commit import Commit, commit_id, encode
from ahstore.objects.file import ChunkRef
from ahstore.objects.tree import build

PAGE = Path(__file__).parents[2] / "docs" / "format" / "objects.md"


def sha256(data):
    return hashlib.sha256(data).digest()


def bits_of(key):
    return "".join(f"{byte:08b}" for byte in sha256(key.encode()))


def naive_root(rows):
    """The rule of the format page, word by word and all in memory."""
    level, found = 0, {}
    while True:
        pages, page = [], []
        for row in rows:
            page.append(row)
            if bits_of(row[0])[6 * level : 6 * level + 6] == "000000" or len(page) == 256:
                pages.append(page)
                page = []
        if page or not pages:
            pages.append(page)
        above = []
        for page in pages:
            data = msgpack.packb([level, page])
            found[sha256(data)] = data
            count = sum(row[3] for row in page) if level else len(page)
            above.append(
                [page[-1][0] if page else "", sum(row[1] for row in page), sha256(data), count]
            )
        if len(pages) == 1:
            return above[0][2], found
        rows, level = above, level + 1


def naive_list(refs, level=0):
    if len(refs) <= 4:
        return level, b"".join(address + length.to_bytes(8, "big") for address, length in refs)
    groups, group = [], []
    for ref in refs:
        group.append(ref)
        ends = len(group) >= 32 and ref[0][31] % 128 == 0
        if ends or len(group) == 512:
            groups.append(group)
            group = []
    groups += [group] if group else []
    above = []
    for group in groups:
        data = b"".join(address + length.to_bytes(8, "big") for address, length in group)
        above.append((sha256(data), sum(length for _, length in group)))
    return naive_list(above, level + 1)


def some_rows(count):
    keys = sorted(f"{number % 7}/{number * 37:x}é数" for number in range(count))
    return [[key, len(key), {"b": [1, -1], "c": 1.5}, None, b"x"] for key in keys]


@pytest.mark.parametrize("count", [0, 1, 2, 64, 300, 5000, 60_000])
def test_trees_are_as_the_format_page_says(pages, count):
    rows = some_rows(count)
    root, expected = naive_root(rows)
    assert build(rows, pages) == root
    assert pages.data == expected


@pytest.mark.parametrize(
    ("count", "root"),
    [
        (0, "e53bd4ecd7ae0201c7312ef3a9f78bae2bad2babd9ac86fa98d9578f367e9928"),
        (5, "96df8f0e89ebcd7a0a33e4323f01055bc3cfe9b68e38d3c0fb7c0bcba4ac5e22"),
        (1000, "944dc67fd98a305bd0f73dec0daa6f61a711dc040216438dad8f78c485a3df61"),
        (20_000, "a4c26716092279ade67799709e1a214e7b17d9e5ea03df45bb433fde2d154345"),
    ],
)
def test_golden_roots(pages, count, root):
    # A root that changed would make every version differ from itself in stores written before.
    assert build(some_rows(count), pages).hex() == root


@pytest.mark.parametrize("count", [0, 4, 5, 600, 30_000])
def test_chunk_lists_are_as_the_format_page_says(pages, count):
    refs = [ChunkRef(sha256(b"%d" % number), number + 1) for number in range(count)]
    assert chunklist.build(refs, pages.put_chunk) == naive_list(refs)


def worked_example(pages):
    content = b"hello\n"
    address = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert sha256(content).hex() == address
    reference = bytes.fromhex(address) + (6).to_bytes(8, "big")
    now = 1_669_891_757
    md5 = hashlib.md5(content).digest()
    root = build([["data/hello.txt", 6, md5, now * 10**9, 0, 1, reference]], pages)
    asset = "35c3b845-9bd2-405a-8c79-f3dbca75269f"
    commit = encode(Commit(asset, (), root, "Add hello", "user", now * 10**6))
    refs = [ChunkRef(sha256(b"%d" % number), 65536) for number in range(1000)]
    return {
        "leaf": pages.data[root].hex(),
        "root": root.hex(),
        "commit": commit.hex(),
        "commit_id": commit_id(commit).hex(),
        "empty": build([], pages).hex(),
        "root_300": build([[f"{number:03}", 1] for number in range(300)], pages).hex(),
        "list_1000": chunklist.build(refs, pages.put_chunk)[1].hex(),
    }


def test_the_worked_example_is_what_the_code_does(pages):
    text = re.sub(r"\s", "", PAGE.read_text())
    for name, value in worked_example(pages).items():
        assert value in text, name
