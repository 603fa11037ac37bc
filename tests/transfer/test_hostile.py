"""Bundles that are whole and lie: each refused by a typed error, and nothing of them is seen."""

from __future__ import annotations

import hashlib
import io
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ahstore.codec import canonical
from ahstore.codec.digests import sha256
from ahstore.codec.envelope import seal
from ahstore.errors import AhError, CorruptError, NotFoundError
from ahstore.hub.records import AssetRecord, FolderRecord
from ahstore.ids import Address, AssetId, ChunkId, CommitId, FolderId, PageId, new_entity_id
from ahstore.objects.commit import Commit, encode
from ahstore.objects.file import ChunkRef, make_flags, pack_refs
from ahstore.packs.place import Kind
from ahstore.packs.writer import PackWriter
from ahstore.storage.memory import MemoryStorage
from ahstore.transfer.bundle_format import End, Manifest, decode_manifest, encode_end, encode_table
from ahstore.transfer.bundle_writer import BundleWriter
from ahstore.transfer.importing import import_bundle
from ahstore.transfer.offers import AssetOffer, RefOffer
from ahstore.transfer.sync import SyncOptions
from tests.transfer.conftest import MakeSide
from tests.transfer.kit import opened

ASSET = AssetId(new_entity_id())
FOLDER = FolderRecord(FolderId(new_entity_id()), "eve", "model", "f", (), "", 1.0)
RECORD = AssetRecord(ASSET, FOLDER.id, "eve", "model", "f", "a", (), "", 1.0)

Blob = tuple[Kind, Address, bytes]


def page(level: int, rows: list[Any]) -> bytes:
    return canonical.encode([level, rows])


def blob(kind: Kind, data: bytes) -> Blob:
    return kind, sha256(data), data


def commit_of(tree: bytes, **changes: Any) -> bytes:
    return encode(replace(Commit(ASSET, (), PageId(Address(tree)), "m", "eve", 1, {}), **changes))


def file_row(path: Any, data: bytes, **changes: Any) -> list[Any]:
    fields: dict[str, Any] = {
        "path": path,
        "size": len(data),
        "md5": hashlib.md5(data).digest(),
        "mtime": 0,
        "flags": 0,
        "type": 0,
        "refs": pack_refs([ChunkRef(ChunkId(sha256(data)), len(data))]) if data else b"",
        **changes,
    }
    return list(fields.values())


def bundle(blobs: list[Blob], tip: bytes, evaluations: bytes | None = None) -> bytes:
    root = None if evaluations is None else PageId(Address(evaluations))
    refs = (RefOffer("main", "branch", CommitId(Address(tip))),)
    offer = AssetOffer(FOLDER, RECORD, refs, True, root)
    out = io.BytesIO()
    writer = BundleWriter(out, "-", Manifest((offer,), (), 1.0, "s"))
    for family in ("data", "meta"):
        pack = PackWriter(writer.storage, family)  # type: ignore[arg-type]
        for kind, address, data in blobs:
            if (kind is Kind.CHUNK) == (family == "data"):
                pack.add(kind, address, data)
        pack.finish()
    writer.finish()
    return out.getvalue()


def with_tree(*blobs: Blob) -> bytes:
    """Return a bundle of one commit whose tree is the last page of ``blobs``."""
    root = [b for b in blobs if b[0] is Kind.PAGE][-1]
    commit = commit_of(root[1])
    return bundle([*blobs, blob(Kind.COMMIT, commit)], sha256(commit))


def with_rows(*rows: list[Any], chunks: tuple[bytes, ...] = (b"data",)) -> bytes:
    return with_tree(
        *(blob(Kind.CHUNK, data) for data in chunks), blob(Kind.PAGE, page(0, list(rows)))
    )


def under(*rows: list[Any], leaves: list[list[Any]]) -> bytes:
    pages = [blob(Kind.PAGE, page(0, leaf)) for leaf in leaves]
    pages.append(blob(Kind.PAGE, page(1, list(rows))))
    return with_tree(blob(Kind.CHUNK, b"data"), *pages)


LEAF_A = [file_row("a", b"data")]
LEAF_B = [file_row("b", b"data")]
ID_A, ID_B = sha256(page(0, LEAF_A)), sha256(page(0, LEAF_B))
WRONG = sha256(b"something else")


def list_refs(*refs: tuple[bytes, int]) -> bytes:
    return pack_refs([ChunkRef(ChunkId(Address(a)), n) for a, n in refs])


def bomb() -> bytes:
    """Return a bundle with a file of 2^60 bytes: lists that name one list 512 times, six levels deep."""
    data = b"x" * 64
    blobs = [blob(Kind.CHUNK, data)]
    address, length = sha256(data), len(data)
    for _ in range(6):
        refs = list_refs(*[(address, length)] * 512)
        blobs.append(blob(Kind.CHUNK, refs))
        address, length = sha256(refs), length * 512
    row = file_row(
        "huge", b"", size=length, flags=make_flags(executable=False, level=6),
        refs=list_refs((address, length)),
    )  # fmt: skip
    return with_tree(*blobs, blob(Kind.PAGE, page(0, [row])))


GOOD_LEAF = page(0, LEAF_A)
CASES: dict[str, Callable[[], bytes]] = {
    "a chunk of other bytes": lambda: with_tree(
        (Kind.CHUNK, sha256(b"data"), b"dada"), blob(Kind.PAGE, GOOD_LEAF)
    ),
    "a compressed chunk of other bytes": lambda: with_tree(
        (Kind.CHUNK, sha256(b"b" * 9999), b"a" * 9999),
        blob(Kind.PAGE, page(0, [file_row("a", b"b" * 9999)])),
    ),
    "a page of other bytes": lambda: with_tree(
        (Kind.PAGE, sha256(b"x"), GOOD_LEAF), blob(Kind.CHUNK, b"data")
    ),
    "a commit of other bytes": lambda: bundle(
        [(Kind.COMMIT, WRONG, commit_of(ID_A))], WRONG
    ),
    "no commit": lambda: bundle([blob(Kind.CHUNK, b"data")], WRONG),
    "a commit that is none": lambda: bundle([blob(Kind.COMMIT, b"\x80")], sha256(b"\x80")),
    "no tree": lambda: bundle(
        [blob(Kind.COMMIT, commit_of(WRONG))], sha256(commit_of(WRONG))
    ),
    "no chunk": lambda: with_tree(blob(Kind.PAGE, GOOD_LEAF)),
    "a missing parent": lambda: bundle(
        [
            blob(Kind.CHUNK, b"data"),
            blob(Kind.PAGE, GOOD_LEAF),
            blob(Kind.COMMIT, commit_of(ID_A, parents=(CommitId(WRONG),))),
        ],
        sha256(commit_of(ID_A, parents=(CommitId(WRONG),))),
    ),
    "a page that is none": lambda: with_tree(blob(Kind.PAGE, b"\x93\x00\x90\xc0")),
    "msgpack bomb": lambda: with_tree(blob(Kind.PAGE, b"\x92\x00\xdd\x00\x10\x00\x00" + b"\x80" * 2**20)),
    "deep msgpack": lambda: with_tree(blob(Kind.PAGE, b"\x91" * 100_000)),
    "a path out": lambda: with_rows(file_row("../x", b"data")),
    "an absolute path": lambda: with_rows(file_row("/etc/passwd", b"data")),
    "a control character": lambda: with_rows(file_row("a\x1b", b"data")),
    "a path that is a number": lambda: with_rows(file_row(7, b"data")),
    "a size too large": lambda: with_rows(file_row("a", b"data", size=5)),
    "a chunk longer than it is": lambda: with_rows(
        file_row("a", b"", size=5, refs=list_refs((sha256(b"data"), 5)))
    ),
    "a chunk of two lengths": lambda: with_rows(
        file_row("a", b"data"), file_row("b", b"", size=3, refs=list_refs((sha256(b"data"), 3)))
    ),
    "flags": lambda: with_rows(file_row("a", b"data", flags=2)),
    "a wrong count": lambda: under(["a", 4, ID_A, 2], ["b", 4, ID_B, 1], leaves=[LEAF_A, LEAF_B]),
    "a wrong weight": lambda: under(["a", 5, ID_A, 1], ["b", 4, ID_B, 1], leaves=[LEAF_A, LEAF_B]),
    "a wrong last key": lambda: under(["aa", 4, ID_A, 1], ["b", 4, ID_B, 1], leaves=[LEAF_A, LEAF_B]),
    "a page twice": lambda: under(["a", 4, ID_A, 1], ["b", 4, ID_A, 1], leaves=[LEAF_A]),
    "one page below": lambda: under(["a", 4, ID_A, 1], leaves=[LEAF_A]),
    "a missing leaf": lambda: under(["a", 4, ID_A, 1], ["b", 4, ID_B, 1], leaves=[LEAF_A]),
    "a list that lies": lambda: with_rows(
        file_row("a", b"", size=9, flags=make_flags(executable=False, level=1),
                 refs=list_refs((sha256(list_refs((sha256(b"data"), 4))), 9))),
        chunks=(b"data", list_refs((sha256(b"data"), 4))),
    ),
    "a list that is none": lambda: with_rows(
        file_row("a", b"", size=4, flags=make_flags(executable=False, level=1),
                 refs=list_refs((sha256(b"data"), 4)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_that_lies_is_refused(case: str, make_side: MakeSide) -> None:
    target = make_side("memory")
    own = target.asset("own")
    target.commit(own, {"mine": b"mine"})
    before = target.snapshot()
    for dry_run in (True, False):
        with opened(CASES[case]()) as file, pytest.raises(AhError) as caught:
            import_bundle(target.hub, file, SyncOptions(dry_run=dry_run))
        assert isinstance(caught.value, CorruptError | NotFoundError)
    # The folder may be there by now; no asset, ref or commit.
    after = target.snapshot()
    assert {key: after[key] for key in after if key != FOLDER.path} == before


def test_the_cases_are_refused_for_what_they_say(make_side: MakeSide) -> None:
    target = make_side("memory")
    with opened(with_rows(file_row("a", b"data"))) as file:
        import_bundle(target.hub, file, SyncOptions())
    assert target.snapshot()[f"{RECORD.path}:main"]


def test_a_file_of_2_to_60_bytes_costs_nothing(make_side: MakeSide) -> None:
    # Walked list by list it would take for ever: 512^6 chunks, all the same one.
    target = make_side("memory")
    began = time.process_time()
    with opened(bomb()) as file:
        import_bundle(target.hub, file, SyncOptions())
    assert time.process_time() - began < 5
    assert target.hub.get_asset_by_id(ASSET)


def manifest_value() -> dict[str, Any]:
    refs = (RefOffer("main", "branch", CommitId(WRONG)),)
    offer = AssetOffer(FOLDER, RECORD, refs, True, None)
    return {"v": 1, "assets": [offer.to_value()], "required": [], "created": 1.0, "store": "s"}


BAD_MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "id": lambda m: m["assets"][0].update(id="../../etc"),
    "upper case id": lambda m: m["assets"][0].update(id=str(ASSET).upper() + "A"),
    "name": lambda m: m["assets"][0].update(name="../x"),
    "type": lambda m: m["assets"][0].update(type="code"),
    "labels": lambda m: m["assets"][0].update(labels=["\x1b[2J"]),
    "many labels": lambda m: m["assets"][0].update(labels=[str(i) for i in range(65)]),
    "description": lambda m: m["assets"][0].update(description="\x00"),
    "created": lambda m: m["assets"][0].update(created=float("nan")),
    "another key": lambda m: m["assets"][0].update(more=1),
    "folder": lambda m: m["assets"][0]["folder"].update(name="a/b"),
    "owner": lambda m: m["assets"][0]["folder"].update(owner="-rf"),
    "folder's id": lambda m: m["assets"][0]["folder"].update(id="x"),
    "ref": lambda m: m["assets"][0].update(refs=[["../../x", "branch", bytes(32)]]),
    "HEAD": lambda m: m["assets"][0].update(refs=[["HEAD", "branch", bytes(32)]]),
    "ref twice": lambda m: m["assets"][0].update(refs=[["a", "branch", bytes(32)]] * 2),
    "ref's kind": lambda m: m["assets"][0].update(refs=[["a", "note", bytes(32)]]),
    "ref's commit": lambda m: m["assets"][0].update(refs=[["a", "branch", bytes(31)]]),
    "evaluations": lambda m: m["assets"][0].update(evaluations=b"x"),
    "whole": lambda m: m["assets"][0].update(whole=1),
    "required": lambda m: m.update(required=["x"]),
    "no assets": lambda m: m.update(assets={}),
    "extra": lambda m: m.update(extra=1),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_a_manifest_that_breaks_a_grammar_is_refused(case: str) -> None:
    value = manifest_value()
    decode_manifest(canonical.encode(value))
    BAD_MANIFESTS[case](value)
    with pytest.raises(CorruptError):
        decode_manifest(canonical.encode(value))


def test_a_manifest_that_claims_to_be_huge_takes_no_memory() -> None:
    # A length of 4 GiB in the first bytes must not be believed.
    head = bytearray(seal(b"BNDL", b""))
    head[8:12] = b"\xff\xff\xff\xff"
    body = bytes(head) + encode_table([])
    end = encode_end(End(len(head), hashlib.sha256(body).digest()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptError):
        opened(body + end)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_evaluations_that_are_none_are_refused(make_side: MakeSide) -> None:
    target = make_side("memory")
    for row in (["x", 0, []], [f"{'0' * 64}/{ASSET}/{ASSET}", 0, [1, 2]], ["x", 0]):
        tree = page(0, [row])
        commit = commit_of(ID_A)
        data = bundle(
            [
                blob(Kind.CHUNK, b"data"),
                blob(Kind.PAGE, GOOD_LEAF),
                blob(Kind.PAGE, tree),
                blob(Kind.COMMIT, commit),
            ],
            sha256(commit),
            sha256(tree),
        )
        with opened(data) as file, pytest.raises(CorruptError):
            import_bundle(target.hub, file, SyncOptions())
        assert set(target.snapshot()) <= {FOLDER.path}


def test_a_store_whose_packs_lie_is_refused(make_side: MakeSide) -> None:
    # The same as for a bundle: an index that is right and bytes that are not those of the address.
    source, target = make_side("memory"), make_side("memory")
    model = source.asset()
    source.commit(model, {"a": b"one" * 1000})
    storage = source.repo.storage
    assert isinstance(storage, MemoryStorage)
    liar = PackWriter(storage, "data")
    liar.add(Kind.CHUNK, sha256(b"one" * 1000), b"two" * 1000)
    finished = liar.finish()
    assert finished is not None
    source.repo.index.add(finished)
    from ahstore.transfer.sync import sync

    with pytest.raises(CorruptError):
        sync(source.hub, target.hub)
    assert f"{model.path}:main" not in target.snapshot()
