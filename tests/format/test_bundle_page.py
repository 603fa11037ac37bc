"""A bundle taken apart by docs/format/bundle.md alone, and its packs read by the stranger."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from ahstore.client.store import Store
from tests.format import stranger

FAMILIES = {1: "data", 2: "meta"}


def unpack(bundle: Path, folder: Path) -> dict:  # type: ignore[type-arg]
    """Write a bundle's packs into a folder as a store has them; return the manifest."""
    data = bundle.read_bytes()
    offset, digest, check, magic = struct.unpack(">Q32s8s8s", data[-56:])
    assert magic == b"AHBUNDLE"
    assert check == stranger.checksum(data[-56:-16])
    assert hashlib.sha256(data[:-56]).digest() == digest
    (length,) = struct.unpack_from(">I", data, 8)
    at = 20 + length
    manifest = stranger.decode(stranger.open_envelope(b"BNDL", data[:at]))
    table = stranger.open_envelope(b"BNDT", data[offset:-56])
    for family, pack, size in struct.iter_unpack(">B16sQ", table):
        path = folder / "packs" / FAMILIES[family] / pack.hex()[:2] / pack.hex()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[at : at + size])
        at += size
    assert at == offset
    (folder / "store.json").write_text('{"format": 1}')
    return manifest  # type: ignore[no-any-return]


def test_a_bundle_is_what_its_page_says(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", user="ann", cache_dir=tmp_path / "c") as store:
        store.create("model/f", labels=["x"])
        model = store.create("model/f/a", description="what it is")
        store.create("dataset/d")
        store.create("dataset/d/s")
        for number in range(3):
            (tmp_path / "x").write_bytes(b"line %d\n" % number * 5000)
            store.commit("model/f/a", "m", add=[str(tmp_path / "x")])
        store.create("model/f/a:v1", resource="tag")
        store.version("model/f/a").create_evaluation({"m": {"t": "x" * 9000}}, "dataset/d/s")
        store.export(["model/f/a", "dataset/d/s"], tmp_path / "b.ahb")
        head = store.core.refs.get(model.record.id, "main").commit
    manifest = unpack(tmp_path / "b.ahb", tmp_path / "packs")
    assert set(manifest) == {"v", "assets", "required", "created", "store"}
    assert (manifest["v"], manifest["required"]) == (1, [])
    assets = {asset["name"]: asset for asset in manifest["assets"]}
    asset = assets["a"]
    assert set(asset) == {
        "id", "type", "name", "labels", "description", "created", "folder", "refs", "whole", "evaluations",
    }  # fmt: skip
    assert set(asset["folder"]) == {"id", "owner", "name", "labels", "description", "created"}
    assert (asset["id"], asset["type"], asset["description"]) == (model.id, "model", "what it is")
    assert sorted(asset["refs"]) == [["main", "branch", head], ["v1", "tag", head]]
    theirs = stranger.Store(str(tmp_path / "packs"))
    assert len(list(theirs.log(head))) == 4
    (row,) = theirs.files(head)
    assert theirs.content(row) == b"line 2\n" * 5000
    (evaluation,) = theirs.rows(asset["evaluations"])
    assert "x" * 9000 in theirs.payload(evaluation)[-1]
    assert set(theirs.places) == {
        (address, kind) for address, kind in theirs.places if theirs.blob(kind, address) is not None
    }
