"""docs/format/cache.md against the code: the layouts of entries, and the numbers that are told."""

from __future__ import annotations

import os
import re
from pathlib import Path
from zlib import crc32

import pytest

from ahstore.codec import canonical
from ahstore.codec.digests import checksum64, sha256
from ahstore.index import (
    cache_dir,
    filestates,
    folderstates,
    index,
    lmdb_env,
    lmdb_files,
    lmdb_table,
    meta_cache,
    range_cache,
    stamps,
)
from ahstore.packs.format import KEY_BYTES, RECORD_BYTES
from ahstore.packs.place import Kind
from ahstore.packs.reader import PackReader
from ahstore.versions import repository, session
from ahstore.versions.repository import Repository
from tests.format.page import FormatPage

PAGE = FormatPage("cache")


def test_the_folder_of_a_store() -> None:
    key = cache_dir.cache_key("c", "file:///s", 1, 2)
    assert key == sha256(canonical.encode(["c", "file:///s", 1, 2])).hex()[:32]
    assert (
        "the first 32 hex digits of the SHA-256 of the canonical list `[creation id, canonical URL, device, inode]`"
        in PAGE.words
    )


def test_places_files_and_folders_are_stored_as_told(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    from ahstore.client.store import Store

    work = tmp_path / "work"
    (work / "many").mkdir(parents=True)
    (work / "one").write_bytes(b"1" * 9000)
    for name in "abc":
        (work / "many" / name).write_bytes(name.encode() * 100)
    for path in (work / "one", *(work / "many").iterdir()):
        os.utime(path, (1, 1))
    with Store.open(tmp_path / "s", user="ann", cache_dir=tmp_path / "cache") as store:
        store.create("model/f")
        store.create("model/f/m")
        for paths in (["one"], ["many"]):
            store.commit("model/f/m", "m", add=[str(work / path) for path in paths])
        repo: Repository = store.core.repo
        place = repo.index.get(Kind.CHUNK, sha256(b"1" * 9000))  # type: ignore[arg-type]
        raw = PackReader(repo.storage).read_raw_index(place.family, place.pack)
        folder = repo._cache_folder()
        names = set(os.listdir(folder or ""))
    told = {
        name for row in PAGE.table("## Folder") for name in re.findall(r"`([a-z.-]+)/?`", row[0])
    }
    assert names <= told | {"ranges"}
    with (
        lmdb.open(f"{folder}/index.lmdb", subdir=False, readonly=True, lock=False) as env,
        env.begin() as txn,
    ):
        entries = {bytes(key): bytes(value) for key, value in txn.cursor()}
    assert entries[b"!format"] == b"ahstore-cache-1"
    assert "`!format` holds the version, `ahstore-cache-1`" in PAGE.text
    assert {key[:1] for key in entries} <= {
        row[0][1:2].encode()
        for after in ("### Places", "### Things read", "### File states", "### Folders")
        for row in PAGE.table(after)
    } | {b"!", b"m"}
    # Places: number, bytes 33 to 59 of the pack's entry, CRC-32.
    key = sha256(b"1" * 9000) + bytes([Kind.CHUNK])
    value = entries[b"p" + key]
    family = {"data": b"\x01", "meta": b"\x02"}[place.family]
    number = entries[b"i" + family + bytes.fromhex(place.pack)]
    entry = next(
        raw[at : at + RECORD_BYTES]
        for at in range(0, len(raw), RECORD_BYTES)
        if raw[at : at + KEY_BYTES] == key
    )
    assert value[:4] == number
    assert value[4:31] == entry[33:60]
    assert value[31:] == crc32(key + value[:31]).to_bytes(4, "big")
    assert entries[b"k" + number] == family + bytes.fromhex(place.pack) + (
        len(raw) // RECORD_BYTES
    ).to_bytes(4, "big")
    # A file: size, mtime, ctime, inode, device, checksum, content.
    if not (found := {k: v for k, v in entries.items() if k[:1] == b"f"}):
        pytest.skip("the files were too young to be remembered")
    ((file_key, state),) = found.items()
    assert file_key == b"f" + os.fsencode(work / "one")
    stat = os.stat(work / "one")
    told_stat = [int.from_bytes(state[at : at + 8], "big") for at in range(0, 40, 8)]
    assert told_stat == [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
    assert state[40:48] in {checksum64(file_key[cut:] + state[48:]) for cut in (0, 1)}


def test_the_numbers() -> None:
    said = PAGE.words
    assert (
        f"The map is {lmdb_files.MAP_BYTES >> 30} GiB and doubles when it is full, up to {lmdb_env.MAX_MAP_BYTES >> 30} GiB"
        in said
    )
    assert f"slots for {lmdb_files._READERS} readers" in said
    assert f"more than {lmdb_table._MIN_STALE:,} and more than a quarter of the live ones" in said
    assert f"at most {index.ABSORBED_AT_ONCE:,} records" in said
    assert f"up to {index.ABSORBED_RECORDS:,} records" in said
    assert index.ASKED_SHARE == 16
    assert "when a sixteenth as many keys were asked" in said
    assert f"segments of at most {index.ABSORBED_FAR_RECORDS:,} records are taken in too" in said
    assert index.LOADED_AFTER == 4
    assert "a pack to which segments have led four times is loaded whole" in said
    assert session.LOOK_AROUND_BYTES == 2**20
    assert "until he has a megabyte of new data" in said
    assert f"If that is longer than {meta_cache.MAX_NAME_BYTES} bytes" in said
    assert f"with {meta_cache._ENTRY_BYTES} more each" in said
    assert f"What has more than {meta_cache.MAX_DATA_BYTES >> 20} MiB" in said
    assert (meta_cache._KEPT_SHARE, repository.MOST_META_BYTES >> 30) == (0.75, 2)
    assert (
        "over an eighth of the cache's size (at most 2 GiB), the longest unused are removed down to three quarters"
        in said
    )
    assert said.count(f"for one of {filestates.MAX_KEY_BYTES} bytes or more") == 2
    assert f"taken as {filestates.FINE_GRAIN_NS // 10**6} ms" in said
    assert f"as {filestates.COARSE_GRAIN_NS // 10**9} s on all others" in said
    assert f"at most {folderstates.MAX_VALUE_BYTES:,} bytes" in said
    assert f"an entry at most {folderstates.MAX_ENTRY_BYTES >> 30} GiB" in said
    assert stamps.STAMP_BYTES == 6 * 8
    assert f"One of more than {range_cache.MAX_RANGE_BYTES >> 20} MiB" in said
    assert (range_cache._CHECKS, range_cache._KEPT_SHARE) == (64, 0.8)
    assert "written a 64th of the limit" in said
    assert "down to four fifths" in said
    assert f"else {cache_dir.MOST_BYTES >> 30} GiB, or a tenth of the disk" in said
