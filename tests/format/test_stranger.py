"""A reader written from docs/format alone sees what ahstore sees."""

from __future__ import annotations

import ast
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahstore.client.store import Store as Ours
from ahstore.packs.place import Kind
from ahstore.packs.reader import list_packs
from tests.format import stranger

READER = Path(stranger.__file__)


def test_it_does_not_know_ahstore() -> None:
    tree = ast.parse(READER.read_text())
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"msgpack", "xxhash", "zstandard"}


def compare(folder: Path) -> int:
    """Compare all that both see of a store; return the bytes of all files."""
    theirs = stranger.Store(str(folder))
    size = 0
    with Ours.open(folder, user="ann", cache_dir=folder.parent / "cache") as ours:
        hub = ours.core.hub
        assets = {a.path: a for f in hub.list_folders() for a in hub.list_assets(f)}
        found = dict(theirs.assets())
        assert set(found) == set(assets)
        assert {key for key, _ in theirs.folders()} == {f.path for f in hub.list_folders()}
        for path, record in assets.items():
            value = found[path]
            assert (value["id"], value["labels"]) == (record.id, list(record.labels))
            assert (value["description"], value["created"]) == (record.description, record.created)
            refs = list(theirs.refs(record.id))
            kept = ours.core.refs.list(record.id)
            assert sorted(refs) == sorted((r.name, r.kind, r.commit) for r in kept)
            for _, _, commit in refs:
                size += compare_history(theirs, ours, commit)
            if record.type == "model":
                mine = hub.list_evaluations(record)
                assert sorted(theirs.evaluations(record.id)) == sorted(
                    (e.id, e.model_commit, e.dataset_commit, e.results) for e in mine
                )
    return size


def compare_history(theirs: stranger.Store, ours: Ours, commit: bytes) -> int:
    from ahstore.versions.history.log import log

    repo, size = ours.core.repo, 0
    history = dict(theirs.log(commit))
    assert set(history) == {one for one, _ in log(repo, commit)}  # type: ignore[arg-type]
    for one, value in history.items():
        body = repo.read_commit(one)  # type: ignore[arg-type]
        assert (value["message"], value["committer"], value["date"], value["metadata"]) == (
            body.message,
            body.committer,
            body.date_us,
            body.metadata,
        )
        rows = list(theirs.files(one))
        assert rows == list(repo.files(one).scan())  # type: ignore[arg-type]
        if one == commit:
            size += sum(len(theirs.content(row)) for row in rows)
    return size


names = st.from_regex(r"[a-z][a-zé ]{0,8}(/[A-Z]{1,3})?", fullmatch=True)
bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=60),
    st.integers(0, 99).map(lambda n: b"%d says hello\n" % n * 500),
    st.integers(0, 9).map(lambda n: struct.pack("<2000d", *[n + i / 7 for i in range(2000)])),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.dictionaries(names, bodies, min_size=1, max_size=6)),
        st.tuples(st.just("branch"), st.sampled_from(["dev", "Fix-1", "a.b"])),
        st.tuples(st.just("tag"), st.sampled_from(["v1", "V.2"])),
        st.tuples(st.just("delete"), st.sampled_from(["dev", "v1", "Fix-1"])),
        st.tuples(st.just("evaluate"), st.integers(0, 3)),
        st.tuples(st.just("drop"), st.just("other")),
    ),
    max_size=8,
)


def run(store: Ours, work: Path, script: list) -> None:  # type: ignore[type-arg]
    store.create("model/f", description="é" * 3000)  # a record of its own
    model = store.create("model/f/a", labels=["x", "y"])
    store.create("dataset/d")
    store.create("dataset/d/set")
    store.create("model/f/other")
    for number, (step, detail) in enumerate(script):
        taken = {ref.name for ref in store.core.refs.list(model.record.id)}
        if step == "commit":
            folder = work / str(number)
            files = {
                k: v for k, v in detail.items() if not any(o.startswith(k + "/") for o in detail)
            }
            for name, body in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(body)
            branch = "dev" if "dev" in taken and number % 2 else "main"
            store.commit(
                f"model/f/a:{branch}", "m", delete=_all(store, branch), add=[f"{folder}/*"]
            )
        elif step in ("branch", "tag") and detail not in taken:
            store.create(f"model/f/a:{detail}", resource=step)
        elif step == "delete" and detail in taken:
            store.delete(f"model/f/a:{detail}")
        elif step == "evaluate":
            store.version("model/f/a").create_evaluation(
                {"metric": {"v": detail, "t": "x" * detail * 3000}}, "dataset/d/set"
            )
        elif step == "drop" and any(a["name"] == "other" for a in store.list("model/f")):
            store.delete("model/f/other")


def _all(store: Ours, branch: str) -> list[str]:
    return [row["path"] for row in store.list(f"model/f/a:{branch}")]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_random_stores(script: list) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Ours.open(root / "store", user="ann", cache_dir=root / "c") as store:
            run(store, root / "work", script)
        compare(root / "store")


def test_large_files_compressed_ones_and_deep_trees(tmp_path: Path) -> None:
    rng = random.Random(3)
    work = tmp_path / "work"
    (work / "many").mkdir(parents=True)
    for number in range(3000):
        (work / "many" / f"{number:05}").write_bytes(b"%d" % number * (number % 40))
    (work / "noise").write_bytes(rng.randbytes(12 * 2**20))  # lists of chunks
    (work / "text").write_bytes(b"".join(b"line %d\n" % n for n in range(200_000)))
    floats = struct.pack("<200000f", *[rng.gauss(0, 1) for _ in range(200_000)])
    (work / "floats").write_bytes(floats)
    (work / "doubles").write_bytes(struct.pack("<60000d", *[rng.random() for _ in range(60_000)]))
    (work / "empty").write_bytes(b"")
    with Ours.open(tmp_path / "store", user="ann", cache_dir=tmp_path / "c") as store:
        store.create("model/f")
        store.create("model/f/a")
        store.commit("model/f/a", "m", add=[f"{work}/*"])
        (work / "text").write_bytes(b"")
        store.commit("model/f/a", "m", add=[str(work / "text")])
        repo = store.core.repo
        places = [
            place
            for family, pack in list_packs(repo.storage)
            for _, place in repo.packs.read_index(family, pack)
        ]
        assert len({place.codec for place in places if place.kind is Kind.CHUNK}) >= 3
        head = store.core.refs.get(store.asset("model/f/a").record.id, "main").commit
    theirs = stranger.Store(str(tmp_path / "store"))
    assert any(row[4] >> 4 for row in theirs.files(head))  # a list of chunks
    assert decode_level(theirs, head) > 0
    assert compare(tmp_path / "store") > 12 * 2**20


def decode_level(store: stranger.Store, commit: bytes) -> int:
    level, _ = stranger.decode(store.blob(stranger.PAGE, store.commit(commit)["tree"]))
    return int(level)


def test_it_tells_damage(tmp_path: Path) -> None:
    # A reader that accepts anything would prove nothing of what it accepts.
    with Ours.open(tmp_path / "store", user="ann", cache_dir=tmp_path / "c") as store:
        store.create("model/f")
        store.create("model/f/a")
        (tmp_path / "x").write_bytes(b"content" * 100)
        store.commit("model/f/a", "m", add=[str(tmp_path / "x")])
    packs = [path for path in (tmp_path / "store" / "packs").rglob("*") if path.is_file()]
    for path in packs:
        data = path.read_bytes()
        path.chmod(0o644)
        for at in range(0, len(data), 7):
            damaged = bytearray(data)
            damaged[at] ^= 4
            path.write_bytes(damaged)
            with pytest.raises((stranger.DamagedError, KeyError)):
                read_all(tmp_path / "store")
        path.write_bytes(data)
    read_all(tmp_path / "store")


def read_all(folder: Path) -> None:
    store = stranger.Store(str(folder))
    for address, kind in store.places:
        store.blob(kind, address)


def test_as_a_program(tmp_path: Path) -> None:
    with Ours.open(tmp_path / "store", user="ann", cache_dir=tmp_path / "c") as store:
        store.create("model/f")
        model = store.create("model/f/a")
        (tmp_path / "x").write_bytes(b"content")
        store.commit("model/f/a", "m", add=[f"{tmp_path / 'x'}:sub/y"])
        asset = model.id
    where = str(tmp_path / "store")
    listed = subprocess.run(
        [sys.executable, READER, where], capture_output=True, text=True, check=True
    )
    assert f"ann/model/f/a {asset}" in listed.stdout
    subprocess.run([sys.executable, READER, where, asset, "main", tmp_path / "out"], check=True)
    assert (tmp_path / "out" / "sub" / "y").read_bytes() == b"content"
